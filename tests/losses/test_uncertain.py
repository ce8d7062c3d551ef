from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from steelyard import InputError, Objective, UncertaintyMargin, losses, models
from steelyard.functional import (
    large_margin_psi,
    misclassification_probability,
    predictive_entropy,
    predictive_variance,
)
from steelyard.records import Batch
from steelyard.uncertainty import stochastic_logits
from steelyard.weighting import ImportanceSampling, LOWWeighting

if TYPE_CHECKING:
    from collections.abc import Iterator

N, C, EPOCHS = 40, 4, 20  # phases: 8 plain, 7 of classes, 5 of samples
FIRST, LAST = 8, 15
X = torch.randn(N, 6, generator=torch.Generator().manual_seed(0))
TARGET, INDEX = torch.arange(N) % C, torch.randperm(50, generator=torch.Generator().manual_seed(1))[:N]


def network() -> models.Classifier:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.5))
    return models.Classifier(backbone, nn.Linear(16, C))


def batches() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    yield from zip(X.split(16), TARGET.split(16), INDEX.split(16), strict=True)


def passes_of(model: nn.Module, epoch: int) -> Tensor:
    """What the loss saw: the same dropout, from the epoch's own seed."""
    with torch.random.fork_rng():
        torch.manual_seed(epoch)
        return torch.cat([stochastic_logits(model, x, 10) for x, _, _ in batches()], 1)


@pytest.mark.parametrize(
    ("measure", "of"), [("variance", predictive_variance), ("entropy", predictive_entropy)]
)
def test_the_most_uncertain_class_gets_the_largest_margin_and_none_is_below_one(
    measure: Any, of: Any
) -> None:
    model = network()
    loss = losses.UncertaintyMargin(model, measure=measure, max_margin=2.5)
    loss.start_epoch(FIRST, EPOCHS)
    loss.observe(model, batches())
    unsure = of(passes_of(model, FIRST))
    expected = torch.stack([unsure[c == TARGET].mean() for c in range(C)])
    torch.testing.assert_close(loss.class_uncertainty, expected)
    torch.testing.assert_close(loss.class_margin, (2.5 * expected / expected.max()).clamp_min(1))
    assert loss.class_margin.max() == 2.5


def test_training_is_plain_softmax_first() -> None:
    model = network()
    objective = UncertaintyMargin(model, num_samples=50)
    for epoch in (0, FIRST - 1):
        objective.start_epoch(epoch, EPOCHS)
        objective.observe(model, iter(()))  # is not iterated over
        logits = model(X)
        plain = nn.functional.cross_entropy(logits, TARGET, reduction="none")
        assert torch.equal(objective.terms(logits, TARGET, INDEX).loss, plain)
        assert all(math.isnan(one.value) for one in objective.values_to_log().values())


def test_phases_follow_one_another() -> None:
    def phases(loss: Any, epochs: int) -> str:
        found = ""
        for epoch in range(epochs):
            loss.start_epoch(epoch, epochs)
            found += loss.phase[0]
        return found

    model = network()
    assert phases(losses.UncertaintyMargin(model), 10) == "ppppcccccc"
    assert phases(losses.SampleUncertaintyMargin(model, num_samples=3), 10) == "ppppccccss"
    assert phases(losses.SampleUncertaintyMargin(model, num_samples=3), 100) == "p" * 40 + "c" * 50 + "s" * 10
    assert phases(losses.SampleUncertaintyMargin(model, num_samples=3, last=2, plain=0), 8) == "ccccccss"


@pytest.mark.parametrize("literal", [False, True])
def test_samples_are_margined_by_their_probability_of_a_mistake(literal: bool) -> None:
    model = network()
    objective = UncertaintyMargin(model, 50, samples="literal" if literal else "scaled", strength=1)
    objective.start_epoch(LAST, EPOCHS)
    objective.observe(model, batches())
    chance = misclassification_probability(passes_of(model, LAST), TARGET)
    logits = model(X)
    f, w, b = model.features(X), model.head.weight, model.head.bias
    logits = model.head(f)  # the same dropout for both routes
    length = f.norm(dim=1) * w.norm(dim=1)[TARGET]
    cos = (f * w[TARGET]).sum(1) / length.clamp_min(1e-12)  # dropout leaves some samples no feature at all
    psi = large_margin_psi(cos, objective.loss.class_margin[TARGET])
    psi = chance * psi if literal else torch.where(psi > 0, (1 - chance) * psi, psi)
    changed = logits.clone()
    changed[torch.arange(N), TARGET] = length * psi + b[TARGET]
    expected = nn.functional.cross_entropy(changed, TARGET)
    torch.testing.assert_close(objective(logits, TARGET, INDEX), expected)


def test_a_sure_sample_without_a_margin_has_the_plain_loss() -> None:
    model = network()
    loss = losses.SampleUncertaintyMargin(model, num_samples=50)
    loss.start_epoch(LAST, EPOCHS)
    logits = model(X)
    assert torch.equal(loss.of_samples(INDEX)(logits, TARGET), losses.CrossEntropy()(logits, TARGET))


def test_all_that_it_remembers_is_in_its_state() -> None:
    model = network()
    objective = UncertaintyMargin(model, num_samples=50)
    objective.start_epoch(LAST, EPOCHS)
    objective.observe(model, batches())
    twin_model = copy.deepcopy(model)
    twin = UncertaintyMargin(twin_model, num_samples=50)
    twin.load_state_dict(objective.state_dict())
    twin.start_epoch(LAST, EPOCHS)
    model.eval()
    twin_model.eval()
    assert torch.equal(twin(twin_model(X), TARGET, INDEX), objective(model(X), TARGET, INDEX))


def test_observing_leaves_the_model_and_the_random_numbers_as_they_were() -> None:
    model = network()
    objective = UncertaintyMargin(model, num_samples=50)
    objective.start_epoch(LAST, EPOCHS)
    state, weights = torch.get_rng_state(), copy.deepcopy(model.state_dict())
    objective.observe(model, [Batch(*batch) for batch in batches()])
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    assert model.training


@pytest.mark.parametrize(
    ("form", "none", "most"), [("additive", 0, 0.35), ("arcface", 0, 0.4), ("sphereface", 1, 3)]
)
def test_every_form_takes_uncertainty_in_place_of_its_margin(form: Any, none: float, most: float) -> None:
    model = network()
    loss = losses.UncertaintyMargin(model, form=form)
    loss.start_epoch(0, EPOCHS)
    assert bool((loss.class_margin == none).all())
    loss.start_epoch(LAST, EPOCHS)
    loss.observe(model, batches())
    assert loss.class_margin.max().item() == pytest.approx(most)
    assert bool((loss.class_margin >= none).all())
    logits = model(X)
    value = loss(logits, TARGET)
    changed = loss.with_margin(logits, TARGET, loss.class_margin[TARGET])
    torch.testing.assert_close(value, losses.CrossEntropy()(changed, TARGET))
    assert bool((value >= losses.CrossEntropy()(loss.outputs(logits), TARGET) - 1e-6).all())


def test_it_goes_over_other_losses_and_under_weightings() -> None:
    model = network()
    for base in (losses.Focal(), losses.TwoScale(model, eta=0.1)):
        objective = UncertaintyMargin(model, 50, loss=base)
        objective.start_epoch(LAST, EPOCHS)
        objective.observe(model, batches())
        objective(model(X), TARGET, INDEX).backward()
    low = Objective(objective.loss, LOWWeighting(lam=0.1))
    terms = low.terms(model(X), TARGET, INDEX)
    assert terms.weight.sum() == pytest.approx(N, rel=1e-5)


def test_candidates_of_the_last_epochs_are_scored_by_their_own_margins() -> None:
    model = network()
    loss = losses.SampleUncertaintyMargin(model, num_samples=50)
    objective = Objective(loss, ImportanceSampling(presample=2, threshold=1.0))
    objective.start_epoch(LAST, EPOCHS)
    objective.observe(model, batches())
    model.eval()
    rows, importance = objective.choose(model(X), TARGET, torch.Generator().manual_seed(0), INDEX)
    assert len(rows) == len(importance) == N // 2
    with pytest.raises(InputError, match="expected index"):
        objective.choose(model(X), TARGET, torch.Generator().manual_seed(0))


def test_a_model_without_dropout_is_refused_before_the_training() -> None:
    with pytest.raises(InputError, match=r"needs a model with dropout.*as in lenet5\(dropout=0\.5\)"):
        losses.UncertaintyMargin(models.Classifier(nn.Flatten(), nn.Linear(4, 3)))


def test_a_class_without_samples_has_no_margin() -> None:
    model = network()
    loss = losses.UncertaintyMargin(model)
    loss.start_epoch(LAST, EPOCHS)
    loss.observe(model, [(X, TARGET.clamp_max(2), INDEX)])
    assert loss.class_margin[3] == 1
    assert bool(loss.class_margin.isfinite().all())


def test_the_last_epochs_need_the_index() -> None:
    model = network()
    objective = UncertaintyMargin(model, num_samples=50)
    objective.start_epoch(LAST, EPOCHS)
    with pytest.raises(InputError, match=r"expected index.*objective\(logits, target, index\)"):
        objective(model(X), TARGET)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_margin": 0.5}, "max_margin must lie between 1 and inf"),
        ({"passes": 0}, "passes must be a whole number of at least 1"),
        ({"measure": "varianc"}, "Did you mean 'variance'"),
        ({"form": "arcfaces"}, "Did you mean 'arcface'"),
        ({"last": 0}, "last must be a whole number of at least 1"),
        ({"samples": "scale"}, "Did you mean 'scaled'"),
    ],
)
def test_bad_settings_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        UncertaintyMargin(network(), **{"num_samples": 50} | settings)


@pytest.mark.parametrize(("epoch", "phase"), [(0, "plain"), (FIRST, "classes"), (LAST, "samples")])
def test_a_restored_objective_goes_on_in_the_phase_in_which_it_was_saved(epoch: int, phase: str) -> None:
    model = network()
    saved, fresh = UncertaintyMargin(model, 50), UncertaintyMargin(model, 50)
    saved.start_epoch(epoch, EPOCHS)
    saved.observe(model, batches())
    fresh.load_state_dict(saved.state_dict())
    assert fresh.loss.phase == phase
    logits = model(X)
    assert torch.equal(fresh(logits, TARGET, INDEX), saved(logits, TARGET, INDEX))
    for objective in (saved, fresh):
        objective.observe(model, batches())
    assert torch.equal(fresh.loss.class_margin, saved.loss.class_margin), (
        "the same dropout, of the same epoch"
    )
