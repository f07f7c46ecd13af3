"""A sweep's results as trainings leave them, and what W&B should have of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.results_tree import leave, stage, write_stage
from tests.support.wandb_server import WandbServer
from toolrl_cli.planning.plan import Plan, lay_out
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.sweeps.sweep_file import Tracking
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.progress.metrics import counting_rows, machine_samples
from toolrl_cli.store.state import StageState
from toolrl_cli.store.sweep_folder import SavedSweep, SweepFolder
from toolrl_cli.tracking.sync import Synced, sync
from toolrl_cli.tracking.told import ROW, tell

OURS = ("_step", "_runtime", "_timestamp")
SWEEP = "demo"


class ResultsTree:
    """Results of a sweep of some arms, which share one SFT."""

    def __init__(self, root: Path, arms: int = 1, **tracking: Any) -> None:
        self.root, self.ledger = root, Ledger(root)
        self.sft = stage("sft", "shared", steps=2)
        self.rl = [stage("rl", f"arm{n}", after=[self.sft], steps=6) for n in range(arms)]
        self.runs = [
            PlannedRun(SWEEP, f"arm{n}-seed1", f"arm{n}", 1, {"rl.lr": n}, (self.sft, rl))
            for n, rl in enumerate(self.rl)
        ]
        self.tracking = tracking
        SweepFolder(root, SWEEP).save(self.plan, "name: demo")

    @property
    def plan(self) -> Plan:
        return lay_out(SWEEP, self.runs, self.ledger, tracking=self.tracking)

    @property
    def saved(self) -> SavedSweep:
        return SweepFolder(self.root, SWEEP).load()

    def log(self, spec: StageSpec, attempt: int, steps: Sequence[int], **data: Any) -> None:
        place = self.ledger.folder(spec).attempt(attempt)
        place.mkdir(parents=True, exist_ok=True)
        with (place / "metrics.jsonl").open("a", encoding="utf-8") as lines:
            for n in steps:
                row = {"step": n, "data": {"reward/total/mean": n / 10, "loss": None, **data}}
                lines.write(json.dumps(row) + "\n")

    def stand(self, spec: StageSpec, status: str, attempt: int = 1) -> None:
        if status == "succeeded":
            leave(self.ledger.folder(spec).path, spec)
        state = replace(StageState(spec.id, spec.kind).begun(attempt, None), attempt=attempt, status=status)
        write_stage(self.ledger, spec, state)  # type: ignore[arg-type]

    def trained(self) -> ResultsTree:
        """All of it, to its end."""
        self.log(self.sft, 1, [1, 2])
        self.stand(self.sft, "succeeded")
        for rl in self.rl:
            self.log(rl, 1, range(7))
            self.stand(rl, "succeeded")
        return self

    def sync(self, mode: str = "online", **options: Any) -> dict[str, str]:
        """run → what became of it."""
        found: list[Synced] = sync(self.saved, self.root, mode, **options)
        return {one.run: one.what for one in found}

    def expected(self, run: PlannedRun) -> list[Mapping[str, Any]]:
        told = tell(run, "", self.ledger, Tracking())
        folders = [self.ledger.folder(stage).path for stage in run.stages]
        assert len(told.rows) == sum(len(counting_rows(f)) + len(machine_samples(f)) for f in folders)
        return list(told.rows)

    def wandb_ids(self, server: WandbServer, run: PlannedRun) -> list[str]:
        return [name for name in server.runs if name.startswith(f"{SWEEP}-{run.id}-")]


def rows_of(server: WandbServer, wandb_id: str) -> list[dict[str, Any]]:
    """The server's rows, without what the client adds, and without those that are not steps."""
    rows = [{k: v for k, v in row.items() if k not in OURS} for row in server.runs[wandb_id].rows]
    return [row for row in rows if ROW in row]


def same_rows(server: WandbServer, tree: ResultsTree) -> None:
    """The server has, of every run, exactly the files' rows."""
    for run in tree.runs:
        (wandb_id,) = tree.wandb_ids(server, run)
        assert rows_of(server, wandb_id) == tree.expected(run)
