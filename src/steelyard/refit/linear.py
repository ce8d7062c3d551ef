"""Linear classifiers on fixed features, in the form of a network's last layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from steelyard import _checks as check

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Features = NDArray[np.floating[Any]]
    Labels = NDArray[np.int64]

_NEVER = -1e4  # logit of a class without samples


class RefitError(ArithmeticError):
    """The samples are not such that this refit can learn from them."""


class LastLayer(NamedTuple):
    """Weights (C, D) and bias (C,) that make logits of features: ``features @ weight.T + bias``."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]


class Refit(ABC):
    """What learns a last layer from fixed features."""

    def check_installed(self) -> None:  # noqa: B027 - most need nothing but this package
        """Require the libraries that learning needs, so that none is missed after hours of training.

        Raises:
            InputError: if one is missing.
        """

    @abstractmethod
    def __call__(self, features: Features, target: Labels, num_classes: int, seed: int) -> LastLayer:
        """The layer learned from ``features`` (N, D) of samples of the classes ``target`` (N,).

        Args:
            features: Finite.
            target: Whole numbers in 0..C-1; classes may be absent, whose logit then is -10,000.
            num_classes: C.
            seed: Of whatever is drawn at random.

        Raises:
            RefitError: if the samples are too few or too much alike.
        """


class LogisticRefit(Refit):
    """Logistic regression on the features: the control of the resampling methods, which add to it.

    Multinomial, with an L2 penalty of strength 1 on the weights of standardised features.

    >>> features, target = np.array([[0.0], [1.0], [3.0], [4.0]]), np.array([0, 0, 1, 1])
    >>> weight, bias = LogisticRefit()(features, target, num_classes=2, seed=0)
    >>> (features @ weight.T + bias).argmax(1)
    array([0, 0, 1, 1])
    """

    def __call__(self, features: Features, target: Labels, num_classes: int, seed: int) -> LastLayer:
        """As :class:`Refit`."""
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - a second, for refits alone

        return _learned(LogisticRegression(max_iter=1000, random_state=seed), features, target, num_classes)


class WeightedSVM(Refit):
    """Linear support vector machine on the features, in which each class counts the same.

    One machine per class against the rest, with the squared hinge; its distances become the logits, which are
    no log-probabilities: judge it by its decisions, or calibrate it.

    Args:
        cost: > 0, of errors against the size of the weights; C in scikit-learn.

    References:
        Akbani, Kwek, Japkowicz, "Applying support vector machines to imbalanced datasets", ECML 2004.
    """

    def __init__(self, cost: float = 1.0) -> None:
        self.cost = check.positive("cost", cost)

    def __call__(self, features: Features, target: Labels, num_classes: int, seed: int) -> LastLayer:
        """As :class:`Refit`."""
        from sklearn.svm import LinearSVC  # noqa: PLC0415 - as above

        machine = LinearSVC(
            C=self.cost,
            class_weight="balanced",
            tol=1e-3,  # liblinear scales it by the rare class's share: a tenth of it can take minutes
            max_iter=10_000,
            random_state=seed,
        )
        return _learned(machine, features, target, num_classes)


def _learned(estimator: Any, features: Features, target: Labels, num_classes: int) -> LastLayer:
    """The layer of a linear ``estimator`` of scikit-learn, fitted on standardised features."""
    there = np.unique(target)
    if len(there) < 2:
        raise RefitError(f"expected samples of at least two classes to learn from, got {len(there)}.")
    x = features.astype(np.float64)
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    deviation[deviation == 0] = 1
    estimator.fit((x - mean) / deviation, target)
    rows, bias = estimator.coef_ / deviation, estimator.intercept_
    if len(there) == 2:  # one row for both classes, the second one's side
        rows, bias = np.concatenate([-rows, rows]) / 2, np.concatenate([-bias, bias]) / 2
    layer = LastLayer(np.zeros((num_classes, x.shape[1])), np.full(num_classes, _NEVER))
    layer.weight[there], layer.bias[there] = rows, bias - rows @ mean
    return layer
