"""The scores of one run: what each of its evaluations says, and why those of some cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from toolrl_cli.spec.evaluations.over_steps import point_of
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.store.files import explained
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.schemas import SCORES
from toolrl_cli.store.scores import Scores, read_scores


@dataclass(frozen=True)
class RunScores:
    """What one evaluation says.

    Attributes:
        benchmark: its name.
        point: the step of a model on the way through RL; None for the run's own model.
        scores: what it says; nothing where it has not ended.
        fault: why scores that are there cannot be used; empty if they can.
    """

    benchmark: str
    point: int | None
    scores: Scores
    fault: str

    @property
    def called(self) -> str:
        """The benchmark's name, with `@STEP` of a model on the way."""
        return self.benchmark if self.point is None else f"{self.benchmark}@{self.point}"


def run_scores(run: PlannedRun, ledger: Ledger) -> Iterator[RunScores]:
    """The evaluations of a run, in the order of its stages.

    Raises:
        LedgerError: a file is there and cannot be read.
    """
    stages = {stage.id: stage for stage in run.stages}
    for stage in run.stages:
        if stage.kind == "evaluate":
            folder = ledger.folder(stage).path
            path, benchmark = folder / "output" / SCORES.name, str(stage.config["benchmark"])
            with explained(folder):
                scores = read_scores(path, benchmark)
                fault = f"unreadable: {scores.problem}" if scores.problem and path.exists() else ""
            yield RunScores(benchmark, point_of(stage, stages), scores, fault)
