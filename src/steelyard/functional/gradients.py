"""Each sample's own loss gradient with respect to its logits: the signal of gradient weightings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from steelyard._checks import InputError
from steelyard.functional.per_sample import at_least_float32

if TYPE_CHECKING:
    from collections.abc import Callable


def logit_grad_sq_norm(loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, target: Tensor) -> Tensor:
    """Squared norm of the gradient of each sample's own loss with respect to its logits.

    Works inside ``torch.no_grad()`` too; the loss must be separable: its value i reads row i alone.

    Args:
        loss: any callable ``(logits, target) -> (N,)``. Its method ``loss_and_grad``, which the losses of
            :mod:`steelyard.losses` have, is used where there is one; autograd elsewhere.
        logits: (N, ...), for classification (N, C).
        target: what ``loss`` expects.

    Returns:
        (N,), in float32 at least, without gradient.

    Raises:
        InputError: if ``loss`` does not return one value per sample.

    >>> from steelyard.functional import cross_entropy
    >>> logit_grad_sq_norm(cross_entropy, torch.zeros(1, 2), torch.tensor([0]))
    tensor([0.5000])
    """
    _, grad = loss_and_logit_grad(loss, logits.detach(), target)
    return sq_norm(grad)


def sq_norm(grad: Tensor) -> Tensor:
    """(N, ...) to the (N,) squared norms of its rows, in float32 at least."""
    return at_least_float32(grad).flatten(1).square().sum(1) if grad.ndim > 1 else grad.square()


def loss_and_logit_grad(
    loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """Per-sample losses (N,), with their graph, and each one's own logit gradient (N, ...), without.

    Outside ``torch.compile`` the loss is evaluated once, so a loss with chance or a state in it stays itself.
    Arguments and errors as in :func:`logit_grad_sq_norm`.
    """
    closed_form = getattr(loss, "loss_and_grad", None)
    if closed_form is not None:
        value, grad = closed_form(logits, target)
        return value, grad
    if torch.compiler.is_compiling():  # the compiler traces torch.func, but not torch.autograd.grad
        grad = torch.func.grad(lambda z: per_sample(loss, z, target).sum())(logits.detach())
        return per_sample(loss, logits, target), grad
    if torch.is_inference_mode_enabled():  # its tensors can be differentiated only as copies made outside it
        with torch.inference_mode(mode=False):
            return loss_and_logit_grad(loss, logits.clone(), target.clone())
    with torch.enable_grad():
        leaf = logits if logits.requires_grad else logits.detach().requires_grad_()
        value = per_sample(loss, leaf, target)
        # The sum, not the mean: row i of its gradient is sample i's own.
        (grad,) = torch.autograd.grad(value.sum(), leaf, retain_graph=True)
    return value, grad


def per_sample(loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, target: Tensor) -> Tensor:
    """``loss(logits, target)``, refused unless it is one value per sample."""
    value = loss(logits, target)
    if value.shape != logits.shape[:1]:
        mend = 'build it with reduction="none"' if value.ndim == 0 else "sum each sample's values"
        raise InputError(
            f"expected a loss of one value per sample, shape ({len(logits)},), "
            f"got {tuple(value.shape)}; {mend}."
        )
    return value


def cross_entropy_and_grad(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy (N,) and its own logit gradient ``p - e_y`` (N, C), both from one softmax.

    The first carries a graph whose backward pass is one product with the second, which carries none.

    >>> cross_entropy_and_grad(torch.zeros(1, 2), torch.tensor([0]))
    (tensor([0.6931]), tensor([[-0.5000,  0.5000]]))
    """
    z, place = at_least_float32(logits), target.long().unsqueeze(1)
    loss, grad = _CrossEntropyAndGrad.apply(z, place)  # type: ignore[no-untyped-call]  # torch's own gap
    return loss, grad


class _CrossEntropyAndGrad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        shifted = logits - logits.amax(1, keepdim=True)
        grad = shifted.exp()
        norm = grad.sum(1, keepdim=True)
        loss = (norm.log() - shifted.gather(1, place)).squeeze(1)
        grad.div_(norm).scatter_add_(1, place, grad.new_full((1, 1), -1.0).expand_as(place))
        ctx.save_for_backward(logits, place, grad)
        ctx.mark_non_differentiable(grad)
        return loss, grad

    @staticmethod
    def backward(ctx: Any, upstream: Tensor, _: Tensor) -> tuple[Tensor, None]:
        logits, place, grad = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: a gradient penalty will differentiate this again
            grad = logits.softmax(1) - torch.zeros_like(logits).scatter(1, place, 1.0)
        return grad * upstream.unsqueeze(1), None
