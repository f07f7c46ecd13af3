"""What each run was: its stages and their times, GPU-hours, versions, data, and where W&B shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolrl_cli.errors import LedgerError
from toolrl_cli.report.sources.results import Run, Stage, Sweep, short_name
from toolrl_cli.store.ledger import StageFolder
from toolrl_cli.store.schemas import ENVIRONMENT
from toolrl_cli.store.sweep_folder import SweepFolder
from toolrl_cli.tracking.status import PublishingStatus, read_status

MOST_RUNS = 200
"""Runs that a page has; the sweeps' folders have all."""


def runs_of(sweeps: Sequence[Sweep], results: Path) -> dict[str, Any]:
    """The runs of sweeps, as far as a page holds them.

    Returns:
        `runs`: `sweep`, `run`, `arm`, `seed`, `model`, `reward`, `stages` (ids), `wandb` (an address or a folder's
        id), `url` (whether it is an address); `stages`: id → `kind`, `status`, `attempts`, `seconds` and
        `gpu_hours` over all attempts (None where unknown), `versions` (text), `host`, `data` (text), `files`;
        `all`: the number of runs.
    """
    every = [run for sweep in sweeps for run in sweep.runs]
    shown = every[:MOST_RUNS]
    published = {sweep.name: _published(sweep.name, results) for sweep in sweeps}
    stages = {stage.id: stage for run in shown for stage in run.stages}
    return {
        "runs": [_run(run, published.get(run.sweep)) for run in shown],
        "stages": {key: _stage(stage, results) for key, stage in stages.items()},
        "all": len(every),
    }


def _run(run: Run, published: PublishingStatus | None) -> dict[str, Any]:
    told = published.runs.get(run.id) if published is not None else None
    url = published.urls.get(run.id, "") if published is not None else ""
    return {
        **{"sweep": run.sweep, "run": run.id, "arm": run.arm, "seed": run.seed, "model": run.model},
        "reward": short_name(run.lookup("reward")),
        "stages": [stage.id for stage in run.stages],
        "wandb": url or (told.id if told is not None else ""),
        "url": url.startswith(("https://", "http://")),
    }


def _published(sweep: str, results: Path) -> PublishingStatus | None:
    try:
        return read_status(SweepFolder(results, sweep).path)
    except LedgerError:  # what is told of W&B beside the report is `toolrl status`'s to say
        return None


def _stage(stage: Stage, results: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": stage.kind, "status": stage.status, "attempts": 0}
    found |= {"seconds": None, "gpu_hours": None, "versions": "", "host": "", "data": "", "files": ""}
    data = stage.spec.config.get("data")
    if isinstance(data, Mapping):
        found["data"] = ", ".join(f"{key} {value}" for key, value in data.items() if value is not None)
    folder = StageFolder(stage.directory)
    try:
        state = folder.state()
        environment = ENVIRONMENT.load(folder.attempt(state.attempt) / ENVIRONMENT.name) or {}
    except LedgerError:
        return found
    times = [
        one.ended - one.started for one in state.attempts if one.started is not None and one.ended is not None
    ]
    if times:
        found["seconds"] = round(sum(max(0.0, time) for time in times), 1)
        devices = str(environment.get("devices") or "")
        found["gpu_hours"] = found["seconds"] / 3600 * len([d for d in devices.split(",") if d.strip()])
    versions = environment.get("versions")
    commit = (environment.get("code") or {}).get("commit")
    if isinstance(versions, Mapping):
        told = [f"{name} {version}" for name, version in versions.items()]
        found["versions"] = ", ".join([*told, *([f"commit {commit}"] if commit else [])])
    gpus = environment.get("gpus") or []
    found["host"] = ", ".join([str(environment.get("host") or ""), *dict.fromkeys(map(str, gpus))]).strip(
        ", "
    )
    found["attempts"] = len(state.attempts)
    if stage.directory.is_relative_to(results):
        found["files"] = stage.directory.relative_to(results).as_posix()
    return found
