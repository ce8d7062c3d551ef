"""How a comparison is shown while it runs: bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from steelyard.catalog import phases

if TYPE_CHECKING:
    from rich.console import Console

    from steelyard.studies.config import Run, Study
    from steelyard.studies.store import StoredRun


class Watcher:
    """Listens to a comparison and shows it on ``console`` (stderr, so that stdout stays the answer's)."""

    def __init__(self, console: Console, study: Study) -> None:
        self.console = console
        self.epochs = study.training.epochs
        self.monitor = study.training.monitor
        self.added = study.added
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[figure]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self.task = self.bars.add_task("", total=1, figure="")
        self.total = self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def start(self, missing: list[Run], there: int) -> None:
        """Say what is to be done."""
        self._begin(missing)
        said = f"{len(missing)} runs to train" + (f", {there} are there already" if there else "")
        self.console.print(said, highlight=False)
        trained = {str(run.method) for run in missing}
        added = [f"{name}, {why}" for name, why in self.added.items() if name in trained]
        if added:
            said = f"Beside the methods asked for: {'; '.join(added)}"
            self.console.print(said, highlight=False, markup=False, soft_wrap=True)

    def _begin(self, missing: list[Run]) -> None:
        """Say what was done to the data, now that nothing is refused any more, and count the runs."""
        for handler in logging.getLogger("steelyard").handlers:
            handler.flush()
        self.total += len(missing)
        self.bars.update(self.task, total=self.total)
        self.bars.start()

    def epoch(self, run: Run, row: dict[str, float]) -> None:
        """Move the bar."""
        figure = f"{self.monitor} {row[self.monitor]:.3f}" if self.monitor in row else ""
        done = self.count + row["epoch"] / (self.epochs * len(phases(run.method)))
        name = f"{run.method} seed {run.seed} epoch {row['epoch']:.0f}"
        self.bars.update(self.task, description=name, completed=done, figure=figure)

    def finished(self, stored: StoredRun) -> None:
        """Say that a run is whole."""
        self.count += 1
        run = stored.run
        fold = f" fold {run.fold}" if run.fold else ""
        fold += f" member {run.member}" if run.member is not None else ""
        end = f"failed: {stored.failure}" if stored.failure else f"{stored.facts()['seconds']:.1f} s"
        said = f"[{self.count}/{self.total}] {run.method} seed {run.seed}{fold}: {end}"
        self.console.print(said, highlight=False, markup=False)


class TrialWatcher(Watcher):
    """Listens to a search, whose trainings come in rounds of a few."""

    def start(self, missing: list[Run], there: int) -> None:  # noqa: ARG002 - as of every listener
        """Count the runs of one round more."""
        self._begin(missing)
