"""MentorNet: a small network that looks at each sample's loss and says how much to trust its label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from steelyard import _checks as check
from steelyard.weighting.quantile import RunningQuantile
from steelyard.weighting.weighting import Weighting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steelyard.records import Seen, Signal

_EPOCHS = 100  # steps in which the mentor knows the progress of a training
_MOST = 20_000  # samples seen in a rehearsal that it learns from: more teach it no more, and take minutes


class MentorNetWeighting(Weighting):
    """MentorNet: a small network turns loss, its distance to a quantile, label and progress into a weight.

    Weights lie in (0, 1), are not normalised, and are 1 in the burn-in. The network ("mentor") is ready when
    it is made, and training the classifier never changes it: it has learned a predefined curriculum, the
    closed form ``clip(1 - (l - q) / width, 0, 1)`` of the paper, where q is a moving average of the quantile
    of recent losses. Epochs are told by ``start_epoch``; without it the burn-in does not end.

    With ``clean`` above 0 it is data-driven: it goes on to learn, in :meth:`learn`, which labels to trust
    from a rehearsal on that share of the training samples, which are taken to be labelled rightly. In a loop
    of one's own, :meth:`fit_on` teaches it from any losses of which that is known.

    It differs from the paper's in this: loss and distance enter the hidden layer directly, not through a
    bidirectional LSTM of one step, and the curriculum is learned by regression on its closed form.

    Args:
        num_classes: >= 2.
        quantile: in (0, 1), of the losses; the curriculum doubts samples above it.
        width: >= 0, in units of the loss, over which the curriculum's weight falls from 1 to 0; 0 is hard
            self-paced learning.
        burn_in: in [0, 1], share of the epochs in which all weights are 1.
        seed: of the mentor's initial weights and of what it practises on.
        clean: in [0, 1), share of the training samples for the rehearsal; 0 keeps the predefined curriculum.

    References:
        Jiang, Zhou, Leung, Li, Fei-Fei, "MentorNet: learning data-driven curriculum for very deep neural
        networks on corrupted labels", ICML 2018.
    """

    progress: Tensor

    def __init__(
        self,
        num_classes: int,
        quantile: float = 0.75,
        width: float = 1.0,
        burn_in: float = 0.2,
        seed: int = 0,
        clean: float = 0.0,
    ) -> None:
        super().__init__()
        self.quantile = check.between("quantile", quantile, 0, 1)
        self.width = check.at_least("width", width, 0)
        self.burn_in = check.between("burn_in", burn_in, 0, 1)
        self.rehearsal = check.between("clean", clean, 0, 1)
        self.recent = RunningQuantile()
        self.register_buffer("progress", torch.zeros(()))  # share of the epochs that are done
        generator = torch.Generator().manual_seed(check.whole("seed", seed, 0))
        self.mentor = Mentor(int(check.at_least("num_classes", num_classes, 2)), generator)
        self._practise(num_classes, generator)

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Tell the progress; ``epoch`` counts from 0."""
        self.progress.fill_(epoch / epochs)

    def forward(self, signal: Signal) -> Tensor:
        """(N,) weights in [0, 1], without gradient."""
        loss = signal.loss
        distance = loss - self.recent(loss, self.quantile)
        trust: Tensor = self.mentor(loss, distance, signal.target, self.progress.expand(len(loss)))
        return trust.sigmoid().detach().to(loss).where(self.progress >= self.burn_in, 1.0)

    def fit_on(
        self,
        loss: Tensor,
        distance: Tensor,
        target: Tensor,
        progress: Tensor,
        trusted: Tensor,
        steps: int = 500,
    ) -> None:
        """Teach the mentor which samples to trust from a training in which that was known (data-driven).

        Such a training needs a subset with known labels, of which some were replaced by wrong ones.

        Args:
            loss: (M,) losses as they were in it.
            distance: (M,) of ``loss`` to the running quantile of its time.
            target: (M,) the labels that it used.
            progress: (M,) in [0, 1], share of its epochs that were done.
            trusted: (M,) in [0, 1], 1 where the label was right and 0 where it was wrong.
            steps: optimisation steps over all M.
        """
        optimizer = torch.optim.Adam(self.mentor.requires_grad_().parameters(), lr=0.02)
        with torch.enable_grad():
            for _ in range(steps):
                optimizer.zero_grad()
                trust = self.mentor(loss, distance, target, progress)
                binary_cross_entropy_with_logits(trust, trusted.float()).backward()
                optimizer.step()
        self.mentor.requires_grad_(requires_grad=False)  # no optimiser of the classifier may move it

    def learn(self, seen: Sequence[Seen]) -> None:
        """Learn from a rehearsal which labels to trust; the running quantile is followed as in a training."""
        recent = RunningQuantile().to(self.progress.device)
        distance = torch.cat([one.loss - recent(one.loss, self.quantile) for one in seen])
        loss, target, trusted = (
            torch.cat([getattr(one, name) for one in seen]) for name in ("loss", "target", "trusted")
        )
        progress = torch.cat([torch.full_like(one.loss, one.progress) for one in seen])
        some = slice(None, None, -(-len(loss) // _MOST))
        self.fit_on(loss[some], distance[some], target[some], progress[some], trusted[some])

    def _practise(self, num_classes: int, generator: torch.Generator) -> None:
        """Learn the predefined curriculum on made-up losses, labels and times."""
        m = 2048
        distance = 3 * torch.randn(m, generator=generator)
        quantile = 3 * torch.rand(m, generator=generator)
        target = torch.randint(num_classes, (m,), generator=generator)
        progress = torch.rand(m, generator=generator)
        slope = 1 / max(self.width, 1e-6)
        trusted = (1 - distance * slope).clamp(0, 1)
        self.fit_on((quantile + distance).clamp_min(0), distance, target, progress, trusted)


class Mentor(nn.Module):
    """Two embeddings, two numbers, one hidden layer of 20; gives the logit of the weight.

    Args:
        num_classes: labels that it knows.
        generator: of the initial weights; the global random state is left alone.
    """

    def __init__(self, num_classes: int, generator: torch.Generator) -> None:
        super().__init__()
        with torch.device("meta"):  # where layers draw no initial weights
            self.label = nn.Embedding(num_classes, 2)
            self.epoch = nn.Embedding(_EPOCHS, 5)
            self.hidden = nn.Linear(2 + 2 + 5, 20)
            self.out = nn.Linear(20, 1)
        self.to_empty(device="cpu")
        for tensor in self.parameters():
            nn.init.normal_(tensor, std=0.3, generator=generator)

    def forward(self, loss: Tensor, distance: Tensor, target: Tensor, progress: Tensor) -> Tensor:
        """(N,) logits of the weights; all arguments are (N,)."""
        epoch = (progress * _EPOCHS).long().clamp(0, _EPOCHS - 1)
        numbers = torch.stack([loss, distance], 1).to(self.out.weight)
        known = torch.cat([numbers, self.label(target.long()), self.epoch(epoch)], 1)
        logit: Tensor = self.out(self.hidden(known).tanh()).squeeze(1)
        return logit
