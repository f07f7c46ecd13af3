"""Weights & Biases, fed from the files on disk: one W&B run for each run of a sweep, one row for each step.

The trainers do not talk to W&B themselves: a resumed trainer would log steps twice and a shared stage belongs to
several runs. The files hold each step once, so whoever reads them (a running sweep, or `toolrl sync` weeks later)
can bring W&B up to date. What was sent is recorded beside the run, so that nothing is sent twice.

W&B takes rows in order and none back (`wandb.init(resume_from=…)` rewinds, in a beta that not every server has).
So while a training is under way only steps up to its newest checkpoint are sent: those stay, whatever dies. Where
steps that were sent are trained again all the same (`resume --from-step`, `--fresh`, a torn checkpoint), the run
goes on as a new W&B run that has everything and names the one it replaces.
"""

from __future__ import annotations

import math
import netrc
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from toolrl_cli.errors import LedgerError, SpecError, TrackingError
from toolrl_cli.spec.identity import digest
from toolrl_cli.spec.over_steps import point_of
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_kind import trains
from toolrl_cli.store.files import write_json
from toolrl_cli.store.ledger import StageFolder
from toolrl_cli.store.metrics import merge_metrics
from toolrl_cli.store.schemas import SCORES, WANDB
from toolrl_cli.store.scores import read_scores

Mode = Literal["online", "offline", "disabled"]
MODES: tuple[Mode, ...] = ("online", "offline", "disabled")
PROJECT = "toolrl"
STEP = "training/global_step"
MAX_ID = 128  # W&B's limit


@dataclass(frozen=True)
class TrackedRun:
    """What W&B is told of one run.

    Attributes:
        folder: `RESULTS/sweeps/<sweep>/runs/<run>`; the record of what was sent lies in it.
        stages: the run's stages with their folders, in order.
        config: the run's full specification.
        settled: stage id → last step that will not be trained again, of trainings that are not over.
    """

    sweep: str
    id: str
    arm: str
    seed: int
    folder: Path
    stages: Sequence[tuple[StageSpec, Path]]
    config: Mapping[str, Any] = field(default_factory=dict)
    settled: Mapping[str, int] = field(default_factory=dict)

    @property
    def wandb_id(self) -> str:
        """The same for the same stages: a resumed run goes on in its W&B run, a changed one starts a new one."""
        return f"{self.sweep[:40]}-{self.id[:60]}-{digest([s.id for s, _ in self.stages])}"[:MAX_ID]


@dataclass(frozen=True)
class Published:
    """What became of bringing a W&B run up to date.

    Attributes:
        written: there was something to write.
        id: of the W&B run.
        replaces: id of the W&B run that it takes the place of from now on; empty for none.
    """

    written: bool
    id: str = ""
    replaces: str = ""

    def __str__(self) -> str:
        if self.replaces:
            return (
                f"goes on as W&B run {self.id}, which replaces {self.replaces}: "
                "steps that were sent were trained again, and W&B takes none back"
            )
        return "written" if self.written else "up to date"


def choose_mode(asked: str | None) -> Mode:
    """The option, else `$WANDB_MODE`, else online where a login is found and offline where none is.

    Raises:
        SpecError: an unknown mode.
    """
    told = asked or os.environ.get("WANDB_MODE") or ("online" if _logged_in() else "offline")
    if told not in MODES:
        raise SpecError(f"unknown W&B mode {told!r}", "--wandb or $WANDB_MODE", f"one of {', '.join(MODES)}")
    return told


def _logged_in() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return any("wandb" in host for host in netrc.netrc().hosts)
    except (FileNotFoundError, netrc.NetrcParseError):
        return False


def publish(run: TrackedRun, results: Path, mode: Mode) -> Published:
    """Bring one W&B run up to date with the files.

    Offline, the W&B run is written anew when there is more to tell, and the earlier offline folder (recorded, and
    never synced) is removed: one folder a run. Online, only steps that were not sent yet are sent.

    Raises:
        TrackingError: W&B refuses (no login, no network, no such entity), or the files cannot be read or written.
    """
    if mode == "disabled":
        return Published(written=False)
    try:
        return _publish(run, results, mode)
    except OSError as error:
        what = f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
        raise TrackingError(what, run.id) from error
    except LedgerError as error:
        raise TrackingError(f"{error.what}: {error.where}", run.id, error.hint) from error


def _publish(run: TrackedRun, results: Path, mode: Mode) -> Published:
    rows, summary = _history(run, mode), {**_scores(run), **_warnings(run)}
    seen = digest([rows, summary], 16)
    record_file = run.folder / WANDB.name
    record = WANDB.load(record_file) or {}  # not written yet, or torn: written anew
    wandb_id = _text(record, "id") if _text(record, "id").startswith(run.wandb_id) else run.wandb_id
    if (record.get("content"), record.get("mode"), record.get("id")) == (seen, mode, wandb_id):
        return Published(written=False, id=wandb_id)
    marks = [digest(row, 8) for row in rows]
    replaces = ""
    if mode == "online" and record.get("mode") == "online" and record.get("id") == wandb_id:
        sent = record.get("sent")
        if isinstance(sent, list) and sent != marks[: len(sent)]:
            replaces, wandb_id = wandb_id, _next_id(run.wandb_id, wandb_id)
    if mode == "offline" and record.get("mode") == "offline":
        _remove_unsynced(record.get("folder"), results)
    folder = _write(run, wandb_id, replaces, results, mode, rows, summary)
    record_file.parent.mkdir(parents=True, exist_ok=True)
    body = {
        "id": wandb_id,
        "mode": mode,
        "content": seen,
        "rows": len(rows),
        "sent": marks if mode == "online" else [],
        "folder": folder,
    }
    write_json(record_file, WANDB.stamped(body))
    return Published(True, wandb_id, replaces)


def _next_id(base: str, current: str) -> str:
    """`<base>-2` after `<base>`, `<base>-3` after that."""
    number = current.removeprefix(base).removeprefix("-")
    return f"{base}-{int(number) + 1 if number.isdecimal() else 2}"


def _write(
    run: TrackedRun,
    wandb_id: str,
    replaces: str,
    results: Path,
    mode: Mode,
    rows: list[dict[str, Any]],
    summary: dict[str, Any],
) -> str:
    import wandb

    named = {"arm": run.arm, "seed": run.seed, "stages": [s.id for s, _ in run.stages]}
    try:
        live = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=wandb_id,
            name=run.id,
            group=f"{run.sweep}/{run.arm}"[:MAX_ID],
            tags=[run.sweep[:64]],
            notes=f"replaces {replaces}, of which steps were trained again" if replaces else None,
            config={**run.config, **named, **({"replaces": replaces} if replaces else {})},
            dir=str(results),
            mode=mode,
            resume="allow" if mode == "online" else None,
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                console="off",
                x_disable_stats=True,
                x_disable_meta=True,  # every SLURM_* variable and the arguments, secrets included
                save_code=False,
            ),
        )
    except wandb.Error as error:
        raise TrackingError(f"W&B refused: {error}", run.id, "wandb login, or --wandb offline") from None
    live.define_metric(STEP)
    live.define_metric("*", step_metric=STEP)
    live.define_metric("sft/step")
    live.define_metric("sft/*", step_metric="sft/step")
    # W&B itself says how many rows it has: a kill between sending and recording doubles none
    for row in rows[live.starting_step if mode == "online" else 0 :]:
        live.log(row)
    live.summary.update(summary)
    folder = str(Path(live.dir).parent)
    live.finish()
    return folder


def _history(run: TrackedRun, mode: Mode) -> list[dict[str, Any]]:
    """One row a step: SFT's under `sft/`, RL's under verl's own names; online only those that stay."""
    rows: list[dict[str, Any]] = []
    for stage, folder in run.stages:
        if not trains(stage.kind):
            continue
        settled = run.settled.get(stage.id, math.inf) if mode == "online" else math.inf
        steps = [row for row in merge_metrics(folder) if row["step"] <= settled]
        if stage.kind == "sft":
            rows += [{"sft/step": r["step"], **{f"sft/{k}": v for k, v in r["data"].items()}} for r in steps]
        else:
            rows += [{**r["data"], STEP: r["step"]} for r in steps]
        if settled < math.inf:
            break  # what comes after was trained from something else
    return rows


def _scores(run: TrackedRun) -> dict[str, Any]:
    """`<benchmark>/<column>` → value, of the evaluations that are there; with `@<step>` of a step on the way."""
    found: dict[str, Any] = {}
    stages = {stage.id: stage for stage, _ in run.stages}
    for stage, folder in run.stages:
        if stage.kind != "evaluate":
            continue
        benchmark = str(stage.config["benchmark"])
        point = point_of(stage, stages)
        at = "" if point is None else f"@{point}"
        for column, score in read_scores(folder / "output" / SCORES.name, benchmark).metrics.items():
            found[f"{benchmark}/{column}{at}"] = score.value
    return found


def _warnings(run: TrackedRun) -> dict[str, Any]:
    """`warnings/<kind>/<sign>` → steps that show it, and `warnings` → all of them in words."""
    found = [(s.kind, w) for s, folder in run.stages for w in StageFolder(folder).state().warnings]
    counts: dict[str, Any] = {f"warnings/{kind}/{warning.name}": warning.steps for kind, warning in found}
    return counts | (
        {"warnings": "; ".join(f"{kind}: {warning}" for kind, warning in found)} if found else {}
    )


def _text(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key)
    return value if isinstance(value, str) else ""


def _remove_unsynced(folder: Any, results: Path) -> None:
    """Remove an earlier offline folder of ours; never one that W&B marked as synced, never outside the root."""
    if not folder:
        return
    path = results / "wandb" / Path(folder).name  # the tree may have been moved or copied since
    if path.is_dir() and path.name.startswith("offline-run-") and not list(path.glob("*.synced")):
        shutil.rmtree(path)
