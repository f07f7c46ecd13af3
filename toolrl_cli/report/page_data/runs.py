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
        `all`: `runs`, `stages`, `seconds` and `gpu_hours` of all runs, each stage once, and `unknown`, the number of
        stages that took time of which nobody knows on what.
    """
    every = [run for sweep in sweeps for run in sweep.runs]
    shown = every[:MOST_RUNS]
    published = {sweep.name: _published(sweep.name, results) for sweep in sweeps}
    stages = {stage.id: _stage(stage, results) for run in every for stage in run.stages}
    kept = {stage.id for run in shown for stage in run.stages}
    timed = [stage for stage in stages.values() if stage["seconds"] is not None]
    return {
        "runs": [_run(run, published.get(run.sweep)) for run in shown],
        "stages": {key: stage for key, stage in stages.items() if key in kept},
        "all": {
            "runs": len(every),
            "stages": len(stages),
            "seconds": sum(stage["seconds"] for stage in timed),
            "gpu_hours": sum(stage["gpu_hours"] or 0.0 for stage in timed),
            "unknown": sum(stage["gpu_hours"] is None for stage in timed),
        },
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


def _gpus(environment: Mapping[str, Any] | None) -> int | None:
    """GPUs that an attempt had; None where that is not written down."""
    if environment is None:
        return None
    devices = environment.get("devices")
    if devices is None:  # not said: all that there are, or none where there are none
        return 0 if not environment.get("gpus") else None
    return len([device for device in str(devices).split(",") if device.strip() not in ("", "-1")])


def _stage(stage: Stage, results: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": stage.kind, "status": stage.status, "attempts": 0}
    found |= {"seconds": None, "gpu_hours": None, "versions": "", "host": "", "data": "", "files": ""}
    data = stage.spec.config.get("data")
    if isinstance(data, Mapping):
        found["data"] = ", ".join(f"{key} {value}" for key, value in data.items() if value is not None)
    folder = StageFolder(stage.directory)
    try:
        state = folder.state()
        loaded = {one.n: ENVIRONMENT.load(folder.attempt(one.n) / ENVIRONMENT.name) for one in state.attempts}
    except LedgerError:
        return found
    environments = {n: environment for n, environment in loaded.items() if environment}
    environment = environments[max(environments)] if environments else {}  # a queued one has none yet
    times = {
        one.n: max(0.0, one.ended - one.started)
        for one in state.attempts
        if one.started is not None and one.ended is not None
    }
    if times:
        found["seconds"] = round(sum(times.values()), 1)
        gpus = {n: _gpus(environments.get(n)) for n in times}
        known = [time * gpu for (n, time) in times.items() if (gpu := gpus[n]) is not None]
        found["gpu_hours"] = sum(known) / 3600 if len(known) == len(times) else None
    versions = environment.get("versions")
    commit = (environment.get("code") or {}).get("commit")
    if isinstance(versions, Mapping):
        told = [f"{name} {version}" for name, version in versions.items()]
        found["versions"] = ", ".join([*told, *([f"commit {commit}"] if commit else [])])
    cards = environment.get("gpus") or []
    host = [str(environment.get("host") or ""), *dict.fromkeys(map(str, cards))]
    found["host"] = ", ".join(host).strip(", ")
    found["attempts"] = len(state.attempts)
    if stage.directory.is_relative_to(results):
        found["files"] = stage.directory.relative_to(results).as_posix()
    return found
