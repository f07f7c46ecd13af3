"""One run, with everything that is known of it; and what differs between two."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolrl_cli.errors import LedgerError
from toolrl_cli.harness.reach import Reach
from toolrl_cli.planning.changes.stage_differences import compare
from toolrl_cli.planning.forecasts.measured import on_gpus, seconds_used
from toolrl_cli.planning.sweep_status import unreadable
from toolrl_cli.report.comparability import apart
from toolrl_cli.report.units import Unit, checked, unit_of
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_kind import trains
from toolrl_cli.store.documents import fault_of
from toolrl_cli.store.files import read_json
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.liveness import observed
from toolrl_cli.store.progress.metrics import merge_metrics
from toolrl_cli.store.roots import results_root
from toolrl_cli.store.run_scores import run_scores
from toolrl_cli.store.schemas import PRINTED
from toolrl_cli.store.scores import Score
from toolrl_cli.store.state import StageState
from toolrl_cli.store.sweep_folder import SweepFolder, find_run
from toolrl_cli.tracking.status import read_status

OF_STATE = ("status", "attempt", "progress", "failure", "times", "attempts", "adjust", "note", "warnings")


def show(run: str, *, results: Path | str | None = None) -> dict[str, Any]:
    """Everything about one run, as `toolrl show --json` prints it.

    Args:
        run: `RUN`, or `SWEEP/RUN`.
        results: the results root; None for `$TOOLRL_RESULTS`, then `results/`.

    Returns:
        sweep, id, arm, seed; settings that tell its arm from the others; seconds and gpu_hours of all attempts; scores
        (benchmark → column → value, correct, total, why, unit: `percent` of a share, else
        `count`; `toolworld@15` for a model on the way); conditions (benchmark → protocol, version, data, prompt format
        and sampling, which must agree before scores are compared); faults (benchmark → why its scores cannot be used);
        wandb (id, mode, url, folder; None before anything was written for W&B); and its stages, with id, folder, size,
        inputs, resolved config, state, metrics (name → its last value), command and environment.

    Raises:
        SpecError: there is no such run.
        LedgerError: a plan or the results root cannot be read.
    """
    root = results_root(results)
    found, ledger, now = find_run(root, run), Ledger(root), time.time()
    states = {spec.id: _state(ledger, spec) for spec in found.stages}
    known = [(spec, state) for spec in found.stages if (state := states[spec.id][0]) is not None]
    scores, conditions, faults = _scores(found, ledger)
    return {
        "schema": PRINTED,
        "sweep": found.sweep,
        "id": found.id,
        "arm": found.arm,
        "seed": found.seed,
        "settings": dict(found.settings),
        "seconds": sum(seconds_used(state, now) for _, state in known),
        "gpu_hours": sum(seconds_used(s, now) * spec.slots / 3600 for spec, s in known if on_gpus(s)),
        "scores": scores,
        "conditions": conditions,
        "faults": faults,
        "wandb": _wandb(root, found),
        "stages": [_stage(ledger, spec, states[spec.id][1]) for spec in found.stages],
    }


def diff(a: str, b: str, *, results: Path | str | None = None) -> dict[str, Any]:
    """What differs between two runs, as `toolrl diff --json` prints it.

    Args:
        a, b: `RUN`, or `SWEEP/RUN`.
        results: the results root; None for `$TOOLRL_RESULTS`, then `results/`.

    Returns:
        a, b (sweep and id); settings: for each resolved setting that differs field, a, b (as text, `–` where there is
        none) and the kinds of stages that have it; results: for each score, seconds and GPU-hours name, a, b,
        difference (b − a; None where one is missing, or where the two were scored differently, as note then says) and
        unit (`percent`: a share, or `count`). Whether a difference is
        more than chance, `toolrl report --pair` says.

    Raises:
        SpecError: there is no such run.
        LedgerError: a plan or the results root cannot be read.
    """
    one, other = show(a, results=results), show(b, results=results)
    return {
        "schema": PRINTED,
        "a": f"{one['sweep']}/{one['id']}",
        "b": f"{other['sweep']}/{other['id']}",
        "settings": _different_settings(one, other),
        "results": _side_by_side(one, other),
    }


def _state(ledger: Ledger, spec: StageSpec) -> tuple[StageState | None, dict[str, Any]]:
    """The state as far as it can be read, and what a document says of it."""
    try:
        seen = observed(ledger.folder(spec), alive=Reach().alive)
    except LedgerError as error:
        return None, StageState(spec.id, spec.kind).to_json() | unreadable(fault_of(error))
    return seen, seen.to_json() | (unreadable(seen.fault) if seen.fault else {})


def _stage(ledger: Ledger, spec: StageSpec, state: Mapping[str, Any]) -> dict[str, Any]:
    folder = ledger.folder(spec)
    last = folder.attempt(state["attempt"]) if state["attempt"] else None
    sizes = _sizes(folder.path)
    return {
        "id": spec.id,
        "kind": spec.kind,
        "folder": str(folder.path),
        "bytes": sum(sizes.values()),
        "sizes": sizes,
        "inputs": dict(spec.inputs),
        "config": dict(spec.config),
        **{key: state[key] for key in OF_STATE},
        "metrics": _last_metrics(folder.path) if trains(spec.kind) else {},
        "command": read_json(last / "command.json") if last else None,
        "environment": read_json(last / "environment.json") if last else None,
    }


def _last_metrics(folder: Path) -> dict[str, Any]:
    """Name → value at the last step that logged it; nothing of files that cannot be read."""
    found: dict[str, Any] = {}
    with contextlib.suppress(OSError, LedgerError):
        for row in merge_metrics(folder):
            found |= {name: value for name, value in row["data"].items() if value is not None}
    return found


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes on disk below each entry of a folder; files that vanish meanwhile count nothing."""
    sizes = {}
    for entry in sorted(folder.glob("*")):
        sizes[entry.name] = 0
        for path in (entry, *entry.rglob("*")):
            with contextlib.suppress(FileNotFoundError):
                sizes[entry.name] += path.lstat().st_size
    return sizes


def _scores(
    run: PlannedRun, ledger: Ledger
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, str]], dict[str, str]]:
    """The scores of each evaluation, the conditions that they are of, and why those of some cannot be used."""
    found: dict[str, dict[str, Any]] = {}
    conditions: dict[str, dict[str, str]] = {}
    faults: dict[str, str] = {}
    for said in run_scores(run, ledger):
        found[said.called] = {
            name: _shown(score, unit_of(said.benchmark, name, [score]))
            for name, score in said.scores.metrics.items()
        }
        conditions[said.called] = dict(said.scores.conditions)
        if said.fault:
            faults[said.called] = said.fault
    return found, conditions, faults


def _shown(score: Score, unit: Unit) -> dict[str, Any]:
    found = checked(score, unit)
    told = {"value": found.value, "correct": found.correct, "total": found.total, "why": found.why}
    return {**told, "unit": unit}


def _wandb(root: Path, run: PlannedRun) -> dict[str, Any] | None:
    """How the run stands in W&B; None where nothing was told of it, or where that cannot be read."""
    try:
        status = read_status(SweepFolder(root, run.sweep).path)
    except LedgerError:
        return None
    known = status.runs.get(run.id) if status else None
    if status is None or known is None:
        return None
    folder = (
        next((root / "wandb").glob(f"offline-run-*-{known.id}"), None) if status.mode == "offline" else None
    )
    told = {"id": known.id, "mode": status.mode, "url": status.urls.get(run.id)}
    return {**told, "folder": str(folder) if folder else None}


def _different_settings(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The leaves of the stages' configurations that differ, each once, with the kinds of stages that have it so."""
    before, after = _configs(one), _configs(other)
    found: dict[tuple[str, str, str], list[str]] = {}
    chains = [" → ".join(stage["kind"] for stage in document["stages"]) for document in (one, other)]
    if chains[0] != chains[1]:
        found["stages", chains[0], chains[1]] = []
    for kind in dict.fromkeys((*before, *after)):
        if kind in before and kind in after:
            for fields in compare(before[kind], after[kind]):
                found.setdefault(fields, []).append(kind)
    return [{"field": f, "a": a, "b": b, "kinds": kinds} for (f, a, b), kinds in found.items()]


def _configs(document: Mapping[str, Any]) -> dict[str, Any]:
    """Kind of stage → its configuration: `sft`, `evaluate toolworld`, and `sft 2` for the second of a kind."""
    found: dict[str, Any] = {}
    for stage in document["stages"]:
        name = f"{stage['kind']} {stage['config'].get('benchmark', '')}".strip()
        number = sum(known.startswith(name) for known in found)
        found[f"{name} {number + 1}" if number else name] = stage["config"]
    return found


def _results(document: Mapping[str, Any]) -> dict[str, Score]:
    scores = {
        f"{benchmark}/{column}": Score(score["value"], score["correct"], score["total"])
        for benchmark, columns in document["scores"].items()
        for column, score in columns.items()
    }
    return {**scores, **{name: Score(document[name]) for name in ("seconds", "gpu_hours")}}


def _side_by_side(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    sides = _results(before), _results(after)
    rows = []
    for name in dict.fromkeys((*sides[0], *sides[1])):
        scores = [side[name] for side in sides if name in side]
        benchmark, _, metric = name.partition("/")
        unit = unit_of(benchmark, metric, scores) if metric else "count"
        one, other = (checked(side.get(name, Score(None)), unit).value for side in sides)
        why = apart(side["conditions"].get(benchmark, {}) for side in (before, after)) if metric else ""
        difference = None if one is None or other is None or why else other - one
        row = {"name": name, "a": one, "b": other, "difference": difference, "unit": unit}
        rows.append({**row, "note": f"scored differently ({why})" if why else None})
    return rows
