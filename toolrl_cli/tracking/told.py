"""What W&B is told of one run, as the files have it now.

Each line of `metrics.jsonl` that counts is a row. A row's key, a whole number made of all that is in it, goes along as
the metric `toolrl/row`: what the server has can then be read back and compared, whoever sent it and when.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from toolrl_cli import __version__
from toolrl_cli.spec.identity import digest
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.spec.secrets import scrubbed
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_kind import trains
from toolrl_cli.spec.sweeps.sweep_file import Tracking
from toolrl_cli.store.files import explained
from toolrl_cli.store.ledger import Ledger, StageFolder
from toolrl_cli.store.progress.metrics import FILE as METRICS_FILE
from toolrl_cli.store.progress.metrics import (
    MACHINE_FILE,
    LoggedRow,
    MachineSample,
    counting_rows,
    machine_samples,
)
from toolrl_cli.store.run_scores import run_scores
from toolrl_cli.store.schemas import OPTIONS
from toolrl_cli.training.checkpointing.checkpoints import whole_steps

STEP = "training/global_step"
ROW = "toolrl/row"
MINUTES = "system/minutes"
"""What the machine's metrics are drawn over: minutes in which an attempt was at work."""
TOLD = "toolrl/told"
"""In the summary: a digest of all that is told."""
MAX_TAG, MAX_GROUP = 64, 128  # W&B's limits

Outcome = Literal["finished", "failed", "stopped"]


@dataclass(frozen=True)
class Told:
    """One run.

    Attributes:
        id: of the W&B run.
        name, group, job_type, tags, notes, config: as `wandb.init` takes them.
        rows: of the history, each with its key under `toolrl/row`: the steps, and what the machine did.
        summary: scores, best values and warnings.
        over: nothing of the run is under way.
        begun: something of it was run.
        outcome: how it stands once it is over.
        marks: of the files that it was read from; empty where these are not all that it goes by.
    """

    id: str
    name: str
    group: str
    job_type: str
    tags: tuple[str, ...]
    notes: str
    config: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    summary: Mapping[str, Any]
    over: bool
    begun: bool
    outcome: Outcome = "finished"
    marks: str = ""

    @property
    def keys(self) -> list[int]:
        """The rows' keys, in their order."""
        return [row[ROW] for row in self.rows]

    @property
    def digest(self) -> str:
        """Of all that is told, in whatever order its rows were logged."""
        beside = [self.name, self.group, self.job_type, self.tags, self.notes, self.config, self.summary]
        beside += [self.outcome] if self.outcome != "finished" else []
        return digest(json.loads(json.dumps([*beside, sorted(self.keys)])), 16)

    @property
    def content(self) -> str:
        """The digest, the number of rows and the key of the last one."""
        return f"{self.digest}-{len(self.rows)}-{self.rows[-1][ROW] if self.rows else ''}"


def tell(
    run: PlannedRun,
    wandb_id: str,
    ledger: Ledger,
    tracking: Tracking,
    description: str = "",
    *,
    live: bool = True,
) -> Told:
    """What W&B is told of a run now.

    Args:
        run: the run.
        wandb_id: of the W&B run.
        ledger: where its stages are.
        tracking: what the sweep says.
        description: of the sweep.
        live: hold back, where `tracking.every` says so, what no checkpoint has yet.

    Raises:
        LedgerError: a file is there and cannot be read.
    """
    marks = marks_of(run, ledger, tracking, description)
    rows: list[Mapping[str, Any]] = []
    samples: list[tuple[StageSpec, MachineSample]] = []
    over, begun = True, False
    outcome: Outcome = "finished"
    for stage in run.stages:
        folder = ledger.folder(stage)
        state = folder.state()
        if state.status in ("failed", "stopped") and outcome != "failed":
            outcome = "failed" if state.status == "failed" else "stopped"
        over, begun = over and not state.active, begun or state.attempt > 0
        if not trains(stage.kind):
            continue
        settled = _settled(folder, state.status) if live and tracking.every == "checkpoint" else math.inf
        with explained(folder.path):
            rows += [_row(stage, row) for row in counting_rows(folder.path) if row.step <= settled]
            samples += [(stage, sample) for sample in machine_samples(folder.path)]
        if settled < math.inf:
            break  # what comes after was trained from something else
    folders = [(stage, ledger.folder(stage)) for stage in run.stages]
    scores = {
        f"{said.benchmark}/{column}{'' if said.point is None else f'@{said.point}'}": score.value
        for said in run_scores(run, ledger)
        for column, score in said.scores.metrics.items()
    }
    summary = {**_best(run, rows), **scores, **_warnings(folders)}
    trained = [stage.kind for stage in run.stages if trains(stage.kind)]
    tags = [*(f"{axis}={value}" for axis, value in run.settings.items()), f"seed={run.seed}", *tracking.tags]
    return Told(
        id=wandb_id,
        name=run.id,
        group=run.sweep[:MAX_GROUP],
        job_type="+".join(dict.fromkeys(trained)) or "evaluate",
        tags=tuple(dict.fromkeys(scrubbed(tag)[:MAX_TAG] for tag in tags)),
        notes=scrubbed(tracking.notes or description),
        config=scrubbed(_config(run) | {"verl": _verl_options(folders)}),
        rows=[*rows, *_machine_rows(samples)],
        summary=scrubbed(summary),
        over=over,
        begun=begun,
        outcome=outcome,
        marks=marks,
    )


def marks_of(run: PlannedRun, ledger: Ledger, tracking: Tracking, description: str) -> str:
    """A digest of all that `tell` goes by, without reading it: of files their names, sizes and times.

    Empty where checkpoints decide what is told: they lie deeper.

    Raises:
        LedgerError: a folder cannot be read.
    """
    if tracking.every == "checkpoint":
        return ""
    plan = [run.sweep, run.id, run.arm, run.seed, dict(run.settings), _config(run)]
    marks: list[Any] = [__version__, plan, tracking.model_dump(mode="json"), description]
    for stage in run.stages:
        folder = ledger.folder(stage)
        for place in (folder.path, *folder.attempts(), folder.path / "output"):
            with explained(place), suppress(FileNotFoundError), os.scandir(place) as entries:
                found = [(entry.name, entry.stat()) for entry in entries if entry.is_file()]
                marks.append([str(place), sorted((n, s.st_size, s.st_mtime_ns) for n, s in found)])
    return digest(json.loads(json.dumps(marks)), 16)


def _row(stage: StageSpec, row: LoggedRow) -> dict[str, Any]:
    """SFT's under `sft/`, RL's under verl's own names."""
    key = _key(stage.kind, row.attempt, row.line, row.step, row.data)
    if stage.kind == "sft":
        data = {f"sft/{name}": value for name, value in row.data.items()}
        return {**data, "sft/step": row.step, "attempt": row.attempt, ROW: key}
    return {**row.data, STEP: row.step, "attempt": row.attempt, ROW: key}


def _machine_rows(samples: Sequence[tuple[StageSpec, MachineSample]]) -> Iterator[dict[str, Any]]:
    """What the machine did, over the minutes in which an attempt was at work."""
    seconds = 0.0
    for n, (stage, sample) in enumerate(samples):
        before = samples[n - 1] if n else None
        if before is not None and (before[0], before[1].attempt) == (stage, sample.attempt):
            seconds += max(0.0, sample.time - before[1].time)
        data = {f"system/{name}": value for name, value in sample.data.items()}
        key = _key(stage.kind, sample.attempt, sample.line, sample.time, sample.data)
        yield {**data, MINUTES: round(seconds / 60, 3), "attempt": sample.attempt, ROW: key}


def _key(*content: Any) -> int:
    """What tells a row from any other; exact as a float."""
    return int.from_bytes(hashlib.blake2b(json.dumps(content).encode(), digest_size=6).digest(), "big")


def _settled(folder: StageFolder, status: str) -> float:
    """The newest checkpoint's step of a training that will go on from there."""
    if status in ("succeeded", "failed"):
        return math.inf
    with explained(folder.path):
        return max(whole_steps(folder.path / "checkpoints"), default=0)


def _config(run: PlannedRun) -> dict[str, Any]:
    """The run's specification; axes by themselves, so that the UI can group by each."""
    evaluations = {str(s.config.get("benchmark")): dict(s.config) for s in run.stages if s.kind == "evaluate"}
    return {
        "sweep": run.sweep,
        "arm": run.arm,
        "seed": run.seed,
        "axes": {axis.replace(".", "_"): value for axis, value in run.settings.items()},
        "settings": dict(run.settings),
        **{s.kind: dict(s.config) for s in run.stages if s.kind != "evaluate"},
        "evaluate": evaluations,
        "stages": [stage.id for stage in run.stages],
    }


def _verl_options(folders: Sequence[tuple[StageSpec, StageFolder]]) -> dict[str, Any]:
    """Kind of training → the options that verl was given by the newest attempt that started it."""
    found: dict[str, Any] = {}
    for stage, folder in folders:
        for attempt in folder.attempts() if trains(stage.kind) else ():
            given = OPTIONS.load(attempt / OPTIONS.name)
            if given is not None:
                found[stage.kind] = given.get("options")
    return found


def _best(run: PlannedRun, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`best/<metric>`: of each training's own progress metric and of every validation's score, the highest."""
    wanted = {stage.progress_metric for stage in run.stages if stage.kind == "rl"}
    best: dict[str, Any] = {}
    for name in (n for n in set[str]().union(*rows) if n in wanted or n.startswith("val-core/")):
        values = [
            value for row in rows if isinstance(value := row.get(name), (int, float)) and math.isfinite(value)
        ]
        if values:
            best[f"best/{name}"] = max(values)
    return dict(sorted(best.items()))


def _warnings(folders: Sequence[tuple[StageSpec, StageFolder]]) -> dict[str, Any]:
    """`warnings/<kind>/<sign>` → steps that show it, and `warnings` → all of them in words."""
    found = [(stage.kind, warning) for stage, folder in folders for warning in folder.state().warnings]
    counts: dict[str, Any] = {f"warnings/{kind}/{warning.name}": warning.steps for kind, warning in found}
    in_words = "; ".join(f"{kind}: {warning}" for kind, warning in found)
    return counts | ({"warnings": in_words} if found else {})


def watched_files(run: PlannedRun, ledger: Ledger) -> Iterator[Path]:
    """The files whose change may change what is told."""
    for stage in run.stages:
        folder = ledger.folder(stage)
        yield folder.path / "state.json"
        if trains(stage.kind):
            for attempt in folder.attempts()[-1:]:
                yield from (attempt / METRICS_FILE, attempt / MACHINE_FILE)
