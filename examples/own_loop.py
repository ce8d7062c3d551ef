"""LOW in a training loop of one's own, on scikit-learn's digits with two classes made rare.

Run with ``python examples/own_loop.py``. Prints the rare classes' recall with cross-entropy and with LOW.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

import steelyard
from steelyard import metrics

RARE, KEPT = (8, 9), 8  # classes, and how many training samples of each


def digits() -> tuple[TensorDataset, torch.Tensor, np.ndarray]:
    """Training samples with rare classes, test images, test classes."""
    x, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(y))
    train, test = order[:1200], order[1200:]
    dropped = np.concatenate([train[y[train] == c][KEPT:] for c in RARE])
    train = np.setdiff1d(train, dropped)
    images = torch.from_numpy(x).float() / 16
    return TensorDataset(images[train], torch.from_numpy(y)[train]), images[test], y[test]


def fit(objective: torch.nn.Module, data: TensorDataset, epochs: int = 15) -> torch.nn.Module:
    """A plain PyTorch loop; the objective is the only line that changes."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    loader = DataLoader(data, batch_size=64, shuffle=True, generator=torch.Generator().manual_seed(0))
    for _ in range(epochs):
        for x, target in loader:
            loss = objective(model(x), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


if __name__ == "__main__":
    data, x, target = digits()
    for name, objective in (
        ("cross-entropy", torch.nn.CrossEntropyLoss()),
        ("LOW, lam 0.1", steelyard.LOW(lam=0.1)),
    ):
        decision = fit(objective, data)(x).argmax(1).numpy()
        recall = metrics.recall_per_class(target, decision)[list(RARE)]
        print(f"{name}: recall of 8 and 9 {recall.round(3)}, accuracy {(decision == target).mean():.3f}")
