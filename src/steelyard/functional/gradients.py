"""Each sample's own loss gradient with respect to its logits: the signal of gradient weightings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every PyTorch user knows
from torch import Tensor

from steelyard._checks import InputError
from steelyard.functional.per_sample import NO_LABEL, at_least_float32

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
    """Cross-entropy (N,), with its graph, and its own logit gradient ``p - e_y`` (N, C), without.

    >>> cross_entropy_and_grad(torch.zeros(1, 2), torch.tensor([0]))
    (tensor([0.6931]), tensor([[-0.5000,  0.5000]]))
    """
    log_p, target = F.log_softmax(at_least_float32(logits), dim=1), target.long()
    loss = F.nll_loss(log_p, target, reduction="none", ignore_index=NO_LABEL)
    grad = log_p.detach().exp()
    return loss, grad.scatter_(1, target.unsqueeze(1), -1.0, reduce="add")
