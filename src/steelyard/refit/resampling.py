"""Logistic regression on resampled features; imbalanced-learn (extra ``resample``) resamples."""

from __future__ import annotations

from abc import abstractmethod
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from steelyard import _checks as check
from steelyard.refit.linear import LastLayer, LogisticRefit, Refit, RefitError

if TYPE_CHECKING:
    from steelyard.refit.linear import Features, Labels


class Resampled(Refit):
    """Samples are made or left out until the classes are as many; then :class:`LogisticRefit`."""

    def check_installed(self) -> None:
        """As :class:`Refit`: imbalanced-learn."""
        if find_spec("imblearn") is None:
            raise check.InputError(
                f"{type(self).__name__} needs imbalanced-learn; pip install steelyard[resample]."
            )

    def __call__(self, features: Features, target: Labels, num_classes: int, seed: int) -> LastLayer:
        """As :class:`Refit`."""
        self.check_installed()
        there, number = np.unique(target, return_inverse=True)  # imbalanced-learn expects 0, 1, 2, ...
        fewest = int(np.bincount(number).min())
        try:
            x, y = self.resample(features.astype(np.float64), number, fewest, seed)
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise RefitError(f"{type(self).__name__} cannot resample these features: {reason}.") from error
        return LogisticRefit()(x, there[y], num_classes, seed)

    @abstractmethod
    def resample(self, features: Features, target: Labels, fewest: int, seed: int) -> tuple[Features, Labels]:
        """Resampled features and classes; the rarest of all classes has ``fewest`` samples."""

    def _between(self, neighbours: int, fewest: int) -> int:
        """As many neighbours in the sample's own class as asked for, or as the rarest class can give."""
        if fewest < 2:
            raise RefitError(
                f"{type(self).__name__} makes samples between two of a class, but the rarest class has only "
                "one training sample; give it a second, or choose another method."
            )
        return min(neighbours, fewest - 1)


class SMOTE(Resampled):
    """New samples of the rarer classes, between a sample's features and those of a neighbour of its class.

    Args:
        neighbours: >= 1, of which one is drawn; fewer where the rarest class has no more.

    References:
        Chawla, Bowyer, Hall, Kegelmeyer, "SMOTE: synthetic minority over-sampling technique", JAIR 2002.
    """

    def __init__(self, neighbours: int = 5) -> None:
        self.neighbours = check.whole("neighbours", neighbours, 1)

    def resample(self, features: Features, target: Labels, fewest: int, seed: int) -> tuple[Features, Labels]:
        """Every class as large as the largest."""
        k = self._between(self.neighbours, fewest)
        sampler = import_module("imblearn.over_sampling").SMOTE(k_neighbors=k, random_state=seed)
        x, y = sampler.fit_resample(features, target)
        return x, y


class ADASYN(Resampled):
    """As SMOTE, with more new samples where a sample's neighbours are of other classes.

    A class none of whose samples has such neighbours, as trained features often have it, is filled up as by
    SMOTE.

    Args:
        neighbours: >= 1; fewer where the rarest class has no more.

    References:
        He, Bai, Garcia, Li, "ADASYN: adaptive synthetic sampling approach for imbalanced learning", IJCNN
        2008.
    """

    def __init__(self, neighbours: int = 5) -> None:
        self.neighbours = check.whole("neighbours", neighbours, 1)

    def resample(self, features: Features, target: Labels, fewest: int, seed: int) -> tuple[Features, Labels]:
        """Every class about as large as the largest."""
        library, k = import_module("imblearn.over_sampling"), self._between(self.neighbours, fewest)
        counts = np.bincount(target)
        xs, ys = [features], [target]
        for rarer in np.flatnonzero(counts < counts.max()).tolist():
            how = {"sampling_strategy": {rarer: int(counts.max())}, "random_state": seed}
            try:
                x, y = library.ADASYN(n_neighbors=k, **how).fit_resample(features, target)
            except (
                ValueError,
                RuntimeError,
            ):  # no neighbour of another class, or too few samples to share out
                x, y = library.SMOTE(k_neighbors=k, **how).fit_resample(features, target)
            xs.append(x[len(features) :])
            ys.append(y[len(features) :])
        return np.concatenate(xs), np.concatenate(ys)


class NearMiss(Resampled):
    """Of the more frequent classes only the samples that are nearest to the rarest class.

    Args:
        neighbours: >= 1, to which the mean distance is taken; fewer where the rarest class has no more.

    References:
        Mani, Zhang, "kNN approach to unbalanced data distributions: a case study involving information
        extraction", ICML workshop on learning from imbalanced data sets, 2003 (NearMiss-1).
    """

    def __init__(self, neighbours: int = 3) -> None:
        self.neighbours = check.whole("neighbours", neighbours, 1)

    def resample(self, features: Features, target: Labels, fewest: int, seed: int) -> tuple[Features, Labels]:  # noqa: ARG002 - draws nothing
        """Every class as small as the smallest."""
        sampler = import_module("imblearn.under_sampling").NearMiss(n_neighbors=min(self.neighbours, fewest))
        x, y = sampler.fit_resample(features, target)
        return x, y


class ClusterCentroids(Resampled):
    """The more frequent classes as the centers of as many clusters as the rarest class has samples.

    References:
        Yen, Lee, "Cluster-based under-sampling approaches for imbalanced data distributions", Expert Systems
        with Applications, 2009.
    """

    def resample(self, features: Features, target: Labels, fewest: int, seed: int) -> tuple[Features, Labels]:  # noqa: ARG002 - it counts itself
        """Every class as small as the smallest."""
        x, y = (
            import_module("imblearn.under_sampling")
            .ClusterCentroids(random_state=seed)
            .fit_resample(features, target)
        )
        return x, y


class NeighbourhoodCleaning(Resampled):
    """Without the samples of the more frequent classes that lie among others, or among the rarest class.

    It cleans borders and does not make the classes equal.

    Args:
        neighbours: >= 1, that decide about a sample.

    References:
        Laurikkala, "Improving identification of difficult small classes by balancing class distribution",
        AIME 2001.
    """

    def __init__(self, neighbours: int = 3) -> None:
        self.neighbours = check.whole("neighbours", neighbours, 1)

    def resample(self, features: Features, target: Labels, fewest: int, seed: int) -> tuple[Features, Labels]:  # noqa: ARG002 - draws nothing
        """What is left after cleaning."""
        cleaning = import_module("imblearn.under_sampling").NeighbourhoodCleaningRule(
            n_neighbors=self.neighbours
        )
        x, y = cleaning.fit_resample(features, target)
        return x, y


class InstanceHardness(Resampled):
    """Of the more frequent classes only the samples that are easy for a random forest that has not seen them.

    References:
        Smith, Martinez, Giraud-Carrier, "An instance level analysis of data complexity", Machine Learning,
        2014.
    """

    def resample(self, features: Features, target: Labels, fewest: int, seed: int) -> tuple[Features, Labels]:
        """Every class about as small as the smallest; hardness by cross-validation over up to 5 parts."""
        if fewest < 2:
            raise RefitError(
                "InstanceHardness cross-validates, but the rarest class has only one training sample; "
                "give it a second, or choose another method."
            )
        threshold = import_module("imblearn.under_sampling").InstanceHardnessThreshold
        x, y = threshold(cv=min(5, fewest), random_state=seed).fit_resample(features, target)
        return x, y
