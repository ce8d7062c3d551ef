from __future__ import annotations

import math
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from imblearn.metrics import (
    classification_report_imbalanced,
    geometric_mean_score,
    make_index_balanced_accuracy,
)
from sklearn import metrics as sk
from torchmetrics.functional.classification import multiclass_accuracy

from steelyard import metrics
from steelyard._checks import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

EXACT = 1e-12  # ratios of counts: one division and a short sum away from each other


def drawn(seed: int, classes: int, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Labels of all classes, the last ones rare, and decisions that are right about half of the time."""
    rng = np.random.default_rng(seed)
    share = 0.5 ** np.arange(classes)
    target = np.concatenate([np.arange(classes), rng.choice(classes, n - classes, p=share / share.sum())])
    guess = np.concatenate([np.arange(classes), rng.integers(classes, size=n - classes)])
    return target, np.where(rng.random(n) < 0.5, target, guess)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_agrees_with_scikit_learn_where_every_class_is_there(classes: int) -> None:
    target, prediction = drawn(classes, classes)
    np.testing.assert_array_equal(
        metrics.confusion_matrix(target, prediction), sk.confusion_matrix(target, prediction)
    )
    precision, recall, f1, count = sk.precision_recall_fscore_support(target, prediction, zero_division=0)
    np.testing.assert_allclose(metrics.precision_per_class(target, prediction), precision, rtol=0, atol=EXACT)
    np.testing.assert_allclose(metrics.recall_per_class(target, prediction), recall, rtol=0, atol=EXACT)
    np.testing.assert_allclose(metrics.f1_per_class(target, prediction), f1, rtol=0, atol=EXACT)
    np.testing.assert_array_equal(metrics.support(target), count)
    assert metrics.accuracy(target, prediction) == sk.accuracy_score(target, prediction)
    for ours, theirs in [
        (metrics.balanced_accuracy, recall.mean()),
        (metrics.mean_recall, sk.balanced_accuracy_score(target, prediction)),
        (metrics.mean_precision, precision.mean()),
        (metrics.mean_f1, sk.f1_score(target, prediction, average="macro")),
    ]:
        assert ours(target, prediction) == pytest.approx(theirs, rel=0, abs=EXACT)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_agrees_with_imbalanced_learn(classes: int) -> None:
    target, prediction = drawn(classes, classes)
    report = classification_report_imbalanced(
        target, prediction, output_dict=True, alpha=0.3, zero_division=0
    )
    assert metrics.g_mean(target, prediction) == pytest.approx(geometric_mean_score(target, prediction))
    assert metrics.iba(target, prediction, alpha=0.3) == pytest.approx(report["avg_iba"], rel=0, abs=EXACT)
    each = make_index_balanced_accuracy(alpha=0.3)(geometric_mean_score)(target, prediction, average=None)
    np.testing.assert_allclose(metrics.iba_per_class(target, prediction, 0.3), each, rtol=0, atol=EXACT)
    each = geometric_mean_score(target, prediction, average=None)
    np.testing.assert_allclose(metrics.g_mean_per_class(target, prediction), each, rtol=0, atol=EXACT)


def test_an_absent_class_is_nan_and_left_out_of_means() -> None:
    target, prediction = [0, 0, 2, 2], [0, 1, 2, 2]  # class 1 is said but not there, class 3 neither
    for per_class in (metrics.recall_per_class, metrics.precision_per_class, metrics.f1_per_class):
        figures = per_class(target, prediction, classes=4)
        assert np.isnan(figures).tolist() == [False, True, False, True]
    assert metrics.support(target, classes=4).tolist() == [2, 0, 2, 0]
    assert metrics.balanced_accuracy(target, prediction) == 0.75
    assert metrics.mean_precision(target, prediction) == 1.0
    assert metrics.mean_f1(target, prediction) == pytest.approx((2 / 3 + 1) / 2)
    assert metrics.g_mean(target, prediction) == pytest.approx(math.sqrt(0.5))
    with pytest.warns(UserWarning, match="not in y_true"):
        assert sk.balanced_accuracy_score(target, prediction) == 0.75


def test_a_class_that_is_there_but_never_said_counts_as_0() -> None:
    target, prediction = [0, 0, 1], [0, 0, 0]
    assert metrics.precision_per_class(target, prediction).tolist() == [2 / 3, 0]
    assert metrics.f1_per_class(target, prediction).tolist() == [0.8, 0]
    assert metrics.g_mean(target, prediction) == 0


def test_nothing_there_is_nan_not_0() -> None:
    for measure in (
        metrics.accuracy,
        metrics.balanced_accuracy,
        metrics.mean_precision,
        metrics.mean_f1,
        metrics.g_mean,
        metrics.iba,
    ):
        assert math.isnan(measure([], [])), measure.__name__
    assert metrics.confusion_matrix([], [], classes=2).tolist() == [[0, 0], [0, 0]]
    assert math.isnan(metrics.iba([0, 0], [0, 0]))  # the only class has no rest to stand against
    assert math.isnan(metrics.top_k_accuracy([], np.zeros((0, 3)), k=1))
    assert math.isnan(metrics.close_enough_accuracy([], np.zeros((0, 3)), a=0))
    assert math.isnan(metrics.multilabel_balanced_accuracy([[1], [1]], [[1], [0]]))


@pytest.mark.parametrize("k", [1, 2, 4])
def test_top_k_agrees_with_scikit_learn_and_torchmetrics(k: int) -> None:
    rng = np.random.default_rng(k)
    target, score = np.concatenate([np.arange(5), rng.integers(5, size=95)]), rng.normal(size=(100, 5))
    found = metrics.top_k_accuracy(target, score, k)
    assert found == sk.top_k_accuracy_score(target, score, k=k)
    theirs = multiclass_accuracy(
        torch.from_numpy(score), torch.from_numpy(target), 5, average="micro", top_k=k
    )
    assert found == pytest.approx(theirs.item(), abs=1e-6)  # float32


def test_top_1_breaks_ties_as_argmax_does() -> None:
    rng = np.random.default_rng(0)
    target, score = rng.integers(4, size=200), rng.integers(3, size=(200, 4))
    assert metrics.top_k_accuracy(target, score, 1) == metrics.accuracy(target, score.argmax(axis=1))
    assert metrics.top_k_accuracy([0, 1, 2, 3], np.zeros((4, 4)), 2) == 0.5
    assert metrics.top_k_accuracy(target, score, 4) == metrics.top_k_accuracy(target, score, 9) == 1


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_close_enough_is_its_definition_and_grows_with_a(seed: int, a: float) -> None:
    rng = np.random.default_rng(seed)
    target, probability = rng.integers(3, size=20), rng.dirichlet(np.ones(3), size=20)
    by_hand = np.mean([row[y] >= max(row) - a for row, y in zip(probability, target, strict=True)])
    found = metrics.close_enough_accuracy(target, probability, a)
    assert found == by_hand
    assert metrics.accuracy(target, probability.argmax(axis=1)) <= found
    assert metrics.close_enough_accuracy(target, probability, 1) == 1


def test_superclass_accuracy_is_accuracy_after_the_mapping() -> None:
    target, prediction = drawn(0, 6)
    superclass = np.array([0, 0, 1, 1, 2, 2])
    assert metrics.superclass_accuracy(target, prediction, superclass) == sk.accuracy_score(
        superclass[target], superclass[prediction]
    )
    assert metrics.superclass_accuracy(target, prediction, np.arange(6)) == metrics.accuracy(
        target, prediction
    )


def test_balanced_accuracy_per_label_is_that_of_each_column() -> None:
    rng = np.random.default_rng(3)
    target, prediction = rng.integers(2, size=(2, 40, 5))
    target[:, 4] = 1
    found = metrics.balanced_accuracy_per_label(target, prediction)
    expected = [sk.balanced_accuracy_score(target[:, label], prediction[:, label]) for label in range(4)]
    np.testing.assert_allclose(found[:4], expected)
    assert math.isnan(found[4])


def test_multilabel_is_the_mean_of_binary_balanced_accuracies() -> None:
    rng = np.random.default_rng(1)
    target, prediction = rng.integers(2, size=(2, 50, 4))
    each = [sk.balanced_accuracy_score(target[:, i], prediction[:, i]) for i in range(4)]
    assert metrics.multilabel_balanced_accuracy(target, prediction) == pytest.approx(np.mean(each))
    always = np.column_stack([target, np.ones(50, int)])  # a label that is always there is left out
    assert metrics.multilabel_balanced_accuracy(
        always, np.column_stack([prediction, np.ones(50, int)])
    ) == pytest.approx(np.mean(each))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40), st.randoms())
def test_order_does_not_matter_and_measures_stay_within_0_and_1(
    pairs: list[tuple[int, int]], random: Random
) -> None:
    mixed = random.sample(pairs, len(pairs))
    for measure in (metrics.accuracy, metrics.balanced_accuracy, metrics.mean_f1, metrics.g_mean):
        one, other = (measure(*np.array(rows).T.reshape(2, -1)) for rows in (pairs, mixed))
        assert one == pytest.approx(other, rel=0, abs=EXACT)
        assert 0 <= one <= 1 + EXACT


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.accuracy([0, 1], [0]), "of equal length, got 2 and 1"),
        (lambda: metrics.accuracy([[0]], [0]), r"target of shape \(N,\), got \(1, 1\)"),
        (lambda: metrics.accuracy([0.0], [0]), "whole class numbers, got float64; use astype"),
        (lambda: metrics.accuracy([0], [-1]), "prediction of class numbers from 0, got -1"),
        (lambda: metrics.recall_per_class([0, 3], [0, 0], classes=3), "below the 3 classes, got 3"),
        (lambda: metrics.confusion_matrix([0], [0], classes=-1), "classes must be a whole number"),
        (lambda: metrics.top_k_accuracy([0], [[1.0, 2.0]], k=0), "k must be a whole number of at least 1"),
        (lambda: metrics.top_k_accuracy([0], [1.0], k=1), r"scores of shape \(N, C\)"),
        (lambda: metrics.top_k_accuracy([2], [[1.0, 2.0]], k=1), "below the 2 classes of the scores, got 2"),
        (lambda: metrics.top_k_accuracy([0], [[1.0, math.nan]], k=1), "without NaN, got 1 of 2"),
        (
            lambda: metrics.close_enough_accuracy([0], [[1.0]], a=-1),
            "a must be a finite number of at least 0",
        ),
        (lambda: metrics.superclass_accuracy([0], [2], [0, 1]), "below the 2 classes, got 2"),
        (lambda: metrics.multilabel_balanced_accuracy([0], [0]), r"of shape \(N, L\)"),
        (lambda: metrics.multilabel_balanced_accuracy([[2]], [[0]]), "target of 0 and 1 only"),
        (lambda: metrics.iba([0], [0], alpha=-1), "alpha must be"),
    ],
)
def test_bad_input_is_one_clear_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_metrics_load_without_torch() -> None:
    code = "import sys, steelyard.metrics; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_the_face_lists_every_public_name() -> None:
    assert metrics.__all__ == sorted(metrics.__all__)
    assert all(hasattr(metrics, name) for name in metrics.__all__)
