from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from steelyard import InputError
from steelyard.functional import (
    critical_log_odds,
    hinge_rank_sums,
    squared_hinge_rank_sums,
    squared_rank_loss,
)

FORMS = {"hinge": (hinge_rank_sums, 1), "squared": (squared_hinge_rank_sums, 2)}


def pairs(pos: Tensor, neg: Tensor, margin: float, power: int = 1, weight: Tensor | None = None) -> Tensor:
    """The definition, pair by pair."""
    hinge = (neg.unsqueeze(-2) - pos.unsqueeze(-1) + margin).relu().pow(power)
    return (hinge if weight is None else hinge * weight.unsqueeze(-2)).sum(-1)


def value_and_grads(of: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
    upstream = torch.arange(of.numel(), dtype=of.dtype).view_as(of) - 2
    return of.detach(), *torch.autograd.grad((of * upstream).sum(), leaves)


def scores(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
@pytest.mark.parametrize("margin", [0.0, 1.0])
def test_equals_the_sum_over_pairs(form: str, lead: tuple[int, ...], margin: float) -> None:
    function, power = FORMS[form]
    pos, neg = scores(*lead, 7).requires_grad_(), scores(*lead, 40, seed=1).requires_grad_()
    ours = value_and_grads(function(pos, neg, margin), pos, neg)
    for one, other in zip(ours, value_and_grads(pairs(pos, neg, margin, power), pos, neg), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


# Halves: all sums are exact, so pairs exactly at the margin are ties in both ways of counting.
HALVES = st.lists(st.integers(-4, 4).map(lambda n: n / 2), max_size=12)


@settings(deadline=None, max_examples=150)
@given(HALVES, HALVES, st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from(sorted(FORMS)))
def test_is_exact_with_ties_and_empty_sides(p: list[float], n: list[float], margin: float, form: str) -> None:
    function, power = FORMS[form]
    pos, neg = (torch.tensor(side, dtype=torch.float64, requires_grad=True) for side in (p, n))
    ours = value_and_grads(function(pos, neg, margin), pos, neg)
    for one, other in zip(ours, value_and_grads(pairs(pos, neg, margin, power), pos, neg), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("form", FORMS)
def test_weights_count_negatives(form: str) -> None:
    function, power = FORMS[form]
    pos, neg = scores(5).requires_grad_(), scores(30, seed=1).requires_grad_()
    weight = torch.arange(30) % 3
    ours = value_and_grads(function(pos, neg, 0.5, weight), pos, neg)
    wanted = value_and_grads(pairs(pos, neg, 0.5, power, weight), pos, neg)
    for one, other in zip(ours, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_swapped_roles_give_the_sums_of_the_negatives() -> None:
    pos, neg = scores(7), scores(11, seed=1)
    wanted = (neg.unsqueeze(1) - pos + 1.0).relu().sum(1)
    torch.testing.assert_close(hinge_rank_sums(-neg, -pos, 1.0), wanted)


def test_one_positive_below_evenly_spaced_negatives() -> None:
    """Appendix A: one constraint of the positive against one of each negative."""
    step, n = 0.25, 12
    negatives = step * torch.arange(1, n + 1, dtype=torch.float64)
    positive = torch.zeros(1, dtype=torch.float64)
    q = hinge_rank_sums(positive, negatives, 0.0)
    assert q.item() == step * n * (n + 1) / 2
    each = hinge_rank_sums(-negatives, -positive, 0.0)
    assert each.square().sum().item() == step**2 * n * (n + 1) * (2 * n + 1) / 6
    assert squared_hinge_rank_sums(positive, negatives, 0.0).item() == each.square().sum().item()


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_float32_sums_lose_no_digits(offset: float) -> None:
    pos = (scores(50) + offset).float()
    neg = (scores(200_000, seed=1) + offset).float()
    for function, power in FORMS.values():
        wanted = torch.stack([pairs(p.view(1), neg.double(), 1.0, power)[0] for p in pos.double()])
        torch.testing.assert_close(function(pos, neg, 1.0).double(), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_scores(kind: torch.dtype) -> None:
    pos, neg = scores(9).to(kind).requires_grad_(), scores(700, seed=1).to(kind).requires_grad_()
    q = hinge_rank_sums(pos, neg, 1.0)
    assert q.dtype == torch.float32
    torch.testing.assert_close(q.double(), pairs(pos.double(), neg.double(), 1.0), rtol=1e-6, atol=0)
    q.mean().backward()
    assert pos.grad is not None
    assert pos.grad.dtype == kind


@pytest.mark.parametrize(("p", "n"), [(0, 5), (5, 0), (0, 0)])
def test_an_empty_side_gives_zeros_and_a_live_graph(p: int, n: int) -> None:
    pos, neg = scores(p).requires_grad_(), scores(n).requires_grad_()
    for function, _ in FORMS.values():
        q = function(pos, neg, 1.0)
        assert torch.equal(q, torch.zeros(p, dtype=torch.float64))
        for grad in torch.autograd.grad(q.sum(), (pos, neg)):
            assert not grad.any()


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_broken_scores_are_not_hidden(side: int, broken: float) -> None:
    sides = [scores(4), scores(5, seed=1)]
    sides[side][0] = broken
    for function, _ in FORMS.values():
        assert not function(*sides, 1.0).isfinite().all()


def test_compiles_without_a_break_and_differentiates() -> None:
    pos, neg = scores(6).requires_grad_(), scores(9, seed=1).requires_grad_()
    torch.compiler.reset()
    compiled = torch.compile(hinge_rank_sums, fullgraph=True, backend="aot_eager")
    ours = value_and_grads(compiled(pos, neg, 1.0), pos, neg)
    for one, other in zip(ours, value_and_grads(pairs(pos, neg, 1.0), pos, neg), strict=True):
        torch.testing.assert_close(one, other)
    assert torch.autograd.gradcheck(lambda p, n: squared_hinge_rank_sums(p, n, 1.0), (pos, neg))


def test_leading_axes_must_agree() -> None:
    with pytest.raises(InputError, match=r"same leading axes, got \(2, 3\) and \(4,\)"):
        hinge_rank_sums(scores(2, 3), scores(4), 1.0)
    with pytest.raises(InputError, match="expected pos"):
        hinge_rank_sums(torch.tensor(1.0), torch.tensor(1.0), 1.0)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=20))
def test_squared_rank_loss_is_the_mean_over_pairs(samples: list[tuple[float, bool]]) -> None:
    score = torch.tensor([s for s, _ in samples], dtype=torch.float64, requires_grad=True)
    positive = torch.tensor([side for _, side in samples])
    ours = value_and_grads(squared_rank_loss(score, positive).mean(), score)
    every = (1 - (score[positive].unsqueeze(1) - score[~positive])).square()
    wanted = value_and_grads(every.mean() if every.numel() else score.sum() * 0, score)
    for one, other in zip(ours, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_log_odds_are_those_of_the_softmax() -> None:
    logits = scores(4, 5)
    p = logits.softmax(1)[:, [0, 3]].sum(1)
    torch.testing.assert_close(critical_log_odds(logits, torch.tensor([3, 0])), p.logit())
    images = logits.view(2, 2, 5).movedim(2, 1)
    torch.testing.assert_close(critical_log_odds(images, torch.tensor([0, 3])), p.logit().view(2, 2))


def test_log_odds_stay_exact_where_probabilities_are_not() -> None:
    score = critical_log_odds(torch.tensor([[1e4, -1e4], [-90.0, 90.0]]), torch.tensor([1]))
    assert score.tolist() == [-2e4, 180.0]
