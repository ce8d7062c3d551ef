"""What every loss, weighting, constraint and objective promises."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError

from steelyard.functional.gradients import loss_and_logit_grad
from steelyard.hooks import ObjectivePart
from steelyard.records import Seen, Signal
from steelyard.testing.hooks import check_hooks
from steelyard.testing.inputs import N, batch, batch_for, copied, require, show

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from steelyard.objective import Objective
    from steelyard.weighting import Weighting

    Scores = Callable[[Tensor, Tensor], Tensor]  # (logits, target) to losses (N,) or to a scalar
    Case = tuple[str, Any, Tensor, Tensor]  # what is wrong, the errors that say so, logits, target


def check_loss(loss: Scores, num_classes: int = 3) -> None:
    """Check a per-sample loss: a module, or any callable ``(logits, target) -> (N,)``.

    It must give one finite value per sample, also in batches of one sample and where classes are absent; its
    gradient must be that of its values, and reach its own row alone unless it says ``separable = False``;
    logits of 1e4 must leave value and gradient finite, NaN and +inf must not; half precision must work; wrong
    shapes, types and class numbers must be refused; ``torch.compile`` must find no graph break; copies and
    saved states must give the same values.

    >>> from steelyard.losses import Focal
    >>> check_loss(Focal(gamma=0.5))
    """
    logits, target = batch(num_classes)
    for n in (N, 1):
        show(loss, n)
        value = loss(logits[:n], target[:n])
        require(value.shape == (n,), f"expected {n} losses of {n} samples, got shape {tuple(value.shape)}")
        require(bool(value.isfinite().all()), f"a loss of ordinary logits is not finite: {value}")
    show(loss)
    only = torch.full((N,), num_classes - 1)
    require(
        bool(loss(logits, only).isfinite().all()), "a loss is not finite where the other classes are absent"
    )
    _check_gradient(loss, logits, target)
    if getattr(loss, "separable", True):
        _check_own_gradients(loss, logits, target)
    _check_numbers(loss, logits, target)
    _check_refusals(loss, num_classes)
    _check_compiles(loss, logits, target)
    _check_copies(loss, lambda twin: twin(logits, target))


def check_label_loss(loss: Scores, labels: int = 3) -> None:
    """Check a loss of several labels per sample: logits (N, L) and targets (N, L) of 0 and 1 to losses (N,).

    As :func:`check_loss`; labels that all or no samples have must give finite values too.

    >>> from steelyard.losses import BinaryCrossEntropy
    >>> check_label_loss(BinaryCrossEntropy())
    """
    logits, number = batch(labels)
    target = nn.functional.one_hot(number, labels)
    for n in (N, 1):
        for y in (target, torch.zeros_like(target), torch.ones_like(target)):
            value = loss(logits[:n], y[:n])
            require(
                value.shape == (n,), f"expected {n} losses of {n} samples, got shape {tuple(value.shape)}"
            )
            require(bool(value.isfinite().all()), f"a loss of ordinary logits is not finite: {value}")
    _check_gradient(loss, logits, target)
    _check_own_gradients(loss, logits, target)
    _check_numbers(loss, logits, target)
    whole: Case = ("whole-number logits", TypeError, logits.long(), target)
    _check_refused(loss, [("target of shape (N,)", ValueError, logits, number), whole])
    _check_compiles(loss, logits, target)
    _check_copies(loss, lambda twin: twin(logits, target))


def check_weighting(weighting: Weighting, num_classes: int = 3) -> None:
    """Check a weighting: finite weights (N,) >= 0 without gradient, whatever the order of the samples.

    Also in batches of one sample, compiled, copied and restored from its saved state, and, if it learns from
    a rehearsal, after that.

    >>> from steelyard.weighting import LOWWeighting
    >>> check_weighting(LOWWeighting(lam=0.1))
    """
    signal = _signal(num_classes)
    for n in (N, 1):
        weight = copy.deepcopy(weighting)(_rows(signal, torch.arange(n)))
        require(weight.shape == (n,), f"expected {n} weights of {n} samples, got shape {tuple(weight.shape)}")
        require(bool((weight.isfinite() & (weight >= 0)).all()), f"weights must be finite and >= 0: {weight}")
        require(not weight.requires_grad, "weights must carry no gradient; detach them")
    order = torch.arange(N).flip(0)
    turned = copy.deepcopy(weighting)(_rows(signal, order))
    require(
        torch.allclose(turned, copy.deepcopy(weighting)(signal)[order], atol=1e-6),
        "a sample's weight depends on its place in the batch",
    )
    _check_copies(weighting, lambda twin: twin(signal))
    if weighting.rehearsal:
        once, again = copy.deepcopy(weighting), copy.deepcopy(weighting)
        seen = [Seen(signal.loss, signal.target, signal.target == 0, epoch / 4) for epoch in range(4)]
        for twin in (once, again):
            twin.learn(seen)
            require(not any(p.requires_grad for p in twin.parameters()), "what has learned must stay fixed")
        for one, other in zip(once.state_dict().values(), again.state_dict().values(), strict=True):
            require(one.equal(other) or one.isnan().all(), "it learns otherwise from the same rehearsal")
        _check_copies(once, lambda twin: twin(signal))


def check_constraint(constraint: nn.Module, num_classes: int = 3) -> None:
    """Check a constraint: a module ``(logits, target, index) -> (penalty, violation)``, two finite scalars.

    The penalty's gradient must be that of its values, zero where a batch has samples of one class alone, and
    finite for logits of 1e4 and in half precision; neither may depend on the order of the samples. It is also
    compiled, copied and restored from its saved state, before and after it was told of steps.

    >>> from steelyard.constraints import AUCConstraint
    >>> check_constraint(AUCConstraint(num_samples=6))
    """
    logits, target = batch(num_classes)
    index = torch.arange(N)
    twin: Any = copy.deepcopy(constraint)
    for only in range(num_classes):
        leaf = logits.clone().requires_grad_()
        penalty, violation = twin(leaf, torch.full_like(target, only), index)
        (grad,) = torch.autograd.grad(penalty, leaf)
        met = penalty == 0 and violation == 0 and not grad.any()
        require(
            bool(met), f"a batch of class {only} alone gives {penalty}, {violation} and {grad}, not zeros"
        )
    for _ in range(3):  # before, and after steps that leave a state
        penalty, violation = twin(logits.clone().requires_grad_(), target, index)
        require(penalty.shape == violation.shape == (), "penalty and violation must be scalars")
        require(not violation.requires_grad and bool(violation >= 0), "violation: >= 0, without gradient")
        turned = copy.deepcopy(twin)(logits.flip(0), target.flip(0), index.flip(0))
        same = torch.allclose(penalty, turned[0]) and torch.allclose(violation, turned[1])
        require(same, "the order of the samples changes penalty or violation")
        value = _penalty_of(twin, index)
        _check_gradient(value, logits, target)
        _check_numbers(value, logits, target)
        _check_copies(twin, lambda part: part(logits, target, index)[0])
        if isinstance(twin, ObjectivePart):
            twin.after_step(logits, target, index)
            twin.after_validation(-float(penalty.detach()))
    _check_compiles(_penalty_of(constraint, index), logits, target)


def check_objective(objective: Objective, num_classes: int = 3) -> None:
    """Check an objective: the scalar, its parts, its gradient with the weights held fixed, and its hooks.

    Also without autograd, in half precision, compiled, copied and restored from its saved state, and by
    :func:`check_hooks`. Targets are class numbers, or labels (N, C) of 0 and 1 where the loss says
    ``multilabel = True``.

    >>> from steelyard import LOW
    >>> check_objective(LOW(lam=0.1))
    """
    logits, target, index = batch_for(objective, num_classes)
    for n in (N, 1):
        terms = copied(objective, n).terms(logits[:n], target[:n], index[:n])
        require(terms.total.ndim == 0 and bool(terms.total.isfinite()), f"total is no finite scalar: {terms}")
        require(terms.loss.shape == (n,) and terms.weight.shape == (n,), "loss and weight must be (N,)")
        require(not (terms.loss.requires_grad or terms.weight.requires_grad), "loss, weight must be detached")
    if objective.constraint is None:
        _check_fixed_weights(objective, logits, target, index)
    with torch.no_grad():
        silent = copied(objective)(logits, target, index)
    require(torch.allclose(silent, copied(objective)(logits, target, index)), "no_grad changes the value")
    _check_numbers(lambda z, y: copied(objective)(z, y, index), logits, target)
    show(objective)
    _check_compiles(lambda z, y: objective(z, y, index), logits, target)
    _check_copies(objective, lambda twin: twin(logits, target, index))
    twin = copied(objective)
    for epoch, score in enumerate((0.5, 0.4)):  # the second time with what was seen in the first
        twin.start_epoch(epoch, 2)
        if twin.presample > 1:
            _check_choice(twin, logits, target)
        require(bool(twin(logits, target, index).isfinite()), f"not finite in epoch {epoch + 1}")
        twin.after_step(logits, target, index)
        twin.after_validation(score)
        restored = copied(objective)
        restored.load_state_dict(twin.state_dict())
        found = [one(logits, target, index) for one in (restored, copied(twin))]
        require(torch.equal(*found), f"the state saved after epoch {epoch + 1} does not restore it")
    check_hooks(objective, num_classes)


def _check_choice(objective: Objective, logits: Tensor, target: Tensor) -> None:
    """The choice of a batch among its candidates: of its size, fixed by the generator, usable by terms."""
    first = copy.deepcopy(objective).choose(logits, target, torch.Generator().manual_seed(0))
    rows, importance = objective.choose(logits, target, torch.Generator().manual_seed(0))
    same = torch.equal(first[0], rows) and torch.equal(first[1], importance)
    require(same, "the same generator and state choose otherwise")
    n = len(logits) // objective.presample
    require(rows.shape == importance.shape == (n,), f"expected {n} rows and as many importances")
    require(bool((importance.isfinite() & (importance >= 0)).all()), "importance must be finite and >= 0")
    terms = objective.terms(logits[rows], target[rows], rows, importance)
    require(bool(terms.total.isfinite()), f"the total of a chosen batch is not finite: {terms}")


def _penalty_of(constraint: nn.Module, index: Tensor) -> Scores:
    return lambda z, y: cast("Tensor", constraint(z, y, index)[0])


def _signal(num_classes: int) -> Signal:
    logits, target = batch(num_classes)
    error = logits.softmax(1) - nn.functional.one_hot(target, num_classes)
    loss = nn.functional.cross_entropy(logits, target, reduction="none")
    return Signal(loss, error.square().sum(1), logits, target, torch.arange(N))


def _rows(signal: Signal, rows: Tensor) -> Signal:
    parts = (signal.loss, signal.grad_sq_norm, signal.logits, signal.target, signal.index)
    return Signal(*(cast("Tensor", part)[rows] for part in parts))


def _check_gradient(loss: Scores, logits: Tensor, target: Tensor) -> None:
    leaf = logits.clone().requires_grad_()
    try:
        torch.autograd.gradcheck(lambda z: loss(z, target), (leaf,))
    except GradcheckError as error:
        raise AssertionError(f"the gradient is not that of the values, or not in float64: {error}") from error


def _check_own_gradients(loss: Scores, logits: Tensor, target: Tensor) -> None:
    jacobian = torch.autograd.functional.jacobian(lambda z: loss(z, target), logits)  # (N, N, C)
    own = torch.arange(N)
    others = jacobian.index_put((own, own), torch.zeros(()).to(jacobian))
    require(not bool(others.any()), "a loss depends on another sample's logits; say separable = False")
    _, grad = loss_and_logit_grad(loss, logits, target)
    require(
        torch.allclose(grad, jacobian[own, own]), "loss_and_grad gives another gradient than the loss has"
    )


def _check_numbers(loss: Scores, logits: Tensor, target: Tensor) -> None:
    """Extreme and half-precision logits give finite numbers, broken ones never do."""
    saturated = 1e4 * logits.sign().float()
    halves = [logits.to(kind) for kind in (torch.float16, torch.bfloat16)]
    for z in (saturated, -saturated, torch.zeros_like(saturated), *halves):
        leaf = z.clone().requires_grad_()
        value = loss(leaf, target)
        (grad,) = torch.autograd.grad(value.sum(), leaf)
        what = f"{z.dtype} logits of up to {z.abs().max():.3g}"
        require(bool(value.isfinite().all()), f"the loss of {what} is not finite: {value}")
        require(bool(grad.isfinite().all()), f"the gradient for {what} is not finite: {grad}")
    for broken in (torch.nan, torch.inf):
        z = logits.clone()
        z[0, 0] = broken
        value = loss(z, target)
        first = value if value.ndim == 0 else value[0]
        require(
            not bool(first.isfinite()), f"a logit of {broken} gives the finite loss {first}: it is hidden"
        )


def _check_refusals(loss: Scores, num_classes: int) -> None:
    logits, target = batch(num_classes)
    outside = (IndexError, RuntimeError, ValueError)
    cases: Sequence[Case] = [
        ("target of another length", ValueError, logits, target[:-1]),
        ("target of shape (N, 1)", ValueError, logits, target.unsqueeze(1)),
        ("logits of shape (N,)", ValueError, logits[:, 0], target),
        ("floating target", TypeError, logits, target.double()),
        ("whole-number logits", TypeError, logits.long(), target),
        *(
            (f"target {bad}", outside, logits, target.where(target != 0, bad))
            for bad in (-100, -1, num_classes)
        ),
    ]
    _check_refused(loss, cases)


def _check_refused(loss: Scores, cases: Sequence[Case]) -> None:
    for what, wanted, z, y in cases:
        try:
            loss(z, y)
        except wanted:
            continue
        except Exception as error:
            raise AssertionError(f"{what} must be refused otherwise than with {error!r}.") from error
        raise AssertionError(f"{what} must be refused, but the loss gives a value.")


def _check_compiles(loss: Scores, logits: Tensor, target: Tensor) -> None:
    def value_and_grad(run: Scores) -> tuple[Tensor, Tensor]:
        leaf = logits.clone().requires_grad_()
        value = run(leaf, target)
        (grad,) = torch.autograd.grad(value.sum(), leaf)
        return value.detach(), grad

    twin = copied(loss)
    torch.compiler.reset()  # or the code that all losses share would hit the limit of recompilations
    try:
        compiled = value_and_grad(torch.compile(loss, fullgraph=True, backend="aot_eager"))
    except Exception as error:
        raise AssertionError(f"torch.compile(fullgraph=True) fails: {error}") from error
    for ours, plain in zip(compiled, value_and_grad(twin), strict=True):
        require(torch.allclose(ours, plain), "torch.compile changes the value or the gradient")


def _check_copies(part: Any, value: Callable[[Any], Tensor]) -> None:
    if not isinstance(part, nn.Module):
        return
    twin, other = copied(part), copied(part)
    with torch.no_grad():
        for tensor in other.state_dict().values():
            tensor.zero_()  # shares memory with `other`
    other.load_state_dict(part.state_dict())
    expected = value(copied(part))
    require(torch.equal(value(twin), expected), "a deep copy gives another value")
    require(torch.equal(value(other), expected), "the saved state does not restore it")


def _check_fixed_weights(objective: Objective, logits: Tensor, target: Tensor, index: Tensor) -> None:
    leaf, same = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    terms = copied(objective).terms(leaf, target, index)
    (grad,) = torch.autograd.grad(terms.total, leaf)
    show(objective)
    expected = (terms.weight * objective.loss(same, target)).mean()
    (wanted,) = torch.autograd.grad(expected, same)
    require(torch.allclose(terms.total, expected), "total is not mean(weight * loss)")
    require(torch.allclose(grad, wanted), "the gradient is not that of the losses under fixed weights")
