"""What models say against labels: means, ratios and which classes they know, by loops over samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.report.doubt import Known, Opinion, doubt, evened, known, unequal


def drawn(seed: int, samples: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.dirichlet(np.ones(classes), samples), generator.integers(0, classes, samples)


def test_means_are_over_the_models_that_saw_a_sample() -> None:
    generator = np.random.default_rng(0)
    label = generator.integers(0, 3, 20)
    parts, seen = [], {row: [] for row in range(20)}
    for model in range(4):
        rows = generator.permutation(20)[: 8 + model]
        probability = drawn(model, len(rows), 3)[0]
        parts.append(Opinion.of_one(rows, label[rows], probability))
        for row, p in zip(rows.tolist(), probability, strict=True):
            seen[row].append(p)
    nested = Opinion.mean([Opinion.mean(parts[:2]), Opinion.mean(parts[2:])])
    there = [row for row in seen if seen[row]]
    for found in (Opinion.mean(parts), nested):
        assert found.index.tolist() == there
        np.testing.assert_array_equal(found.given, label[there])
        np.testing.assert_array_equal(found.count, [len(seen[row]) for row in there])
        np.testing.assert_allclose(
            found.probability, [np.mean(seen[row], axis=0) for row in there], atol=1e-15
        )
    assert nested.among(np.array([there[3], 99])).index.tolist() == [there[3]]


@given(st.integers(0, 10_000), st.integers(2, 5))
@settings(max_examples=30, deadline=None)
def test_doubt_is_the_log_of_a_ratio(seed: int, classes: int) -> None:
    probability, label = drawn(seed, 9, classes)
    probability = np.maximum(probability, 1e-4)  # the smallest ones are raised
    expected = [math.log(max(np.delete(p, c)) / p[c]) for p, c in zip(probability, label, strict=True)]
    np.testing.assert_allclose(doubt(probability, label), expected, rtol=0, atol=1e-12)
    order = np.random.default_rng(seed).permutation(classes)
    renamed = doubt(probability[:, order], order.argsort()[label])
    np.testing.assert_allclose(renamed, expected, rtol=0, atol=1e-12)


def test_a_probability_of_nothing_stays_finite() -> None:
    assert np.isfinite(doubt([[1.0, 0.0], [0.0, 1.0]], [1, 1])).all()


def test_classes_of_one_size_are_left_as_they_are() -> None:
    probability, _ = drawn(0, 9, 4)
    np.testing.assert_allclose(evened(probability, [7, 7, 7, 7]), probability, atol=1e-15)
    fair = evened(probability, [100, 25, 4, 0])  # a class without samples counts as one with a single one
    by_hand = [[p[0] / 10, p[1] / 5, p[2] / 2, p[3]] for p in probability.tolist()]
    np.testing.assert_allclose(fair, [np.divide(p, sum(p)) for p in by_hand], atol=1e-15)


def test_a_class_is_known_by_the_samples_that_were_held_out() -> None:
    inside, outside = drawn(0, 60, 4), drawn(1, 40, 4)
    outside = tuple(part[outside[1] != 3] for part in outside)  # of class 3 none
    opinions = [Opinion.of_one(np.arange(len(y)), y, p) for p, y in (outside, inside)]
    for c, one in enumerate(known(*opinions)):
        probability, label = inside if c == 3 else outside
        like = [int(p.argmax()) == c for p in probability]
        assert one.held_out == (c != 3)
        assert one.samples == sum(label == c)
        assert one.recall == pytest.approx(np.mean([a for a, y in zip(like, label, strict=True) if y == c]))
        assert one.chance == pytest.approx(np.mean([a for a, y in zip(like, label, strict=True) if y != c]))


def test_halfway_between_chance_and_certainty_is_enough() -> None:
    assert Known(0.5, 0.0, 10, True).judged
    assert not Known(0.49, 0.0, 10, True).judged
    assert not Known(0.7, 0.5, 10, True).judged  # of two classes half is chance
    assert Known(0.75, 0.5, 10, True).judged
    assert not Known(math.nan, 0.0, 0, False).judged


def test_sizes_are_unequal_from_twice_on() -> None:
    assert not unequal([10, 20, 0])
    assert unequal([10, 21])
