"""`toolrl show`: everything about one run."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from toolrl_cli.commands.options import AsJson, Results, print_json, results_root
from toolrl_cli.commands.views.live import duration
from toolrl_cli.store.schemas import PRINTED
from toolrl_cli.store.step_warnings import StepWarning

MEGABYTE = 1_000_000


def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, or SWEEP/RUN.", show_default=False)],
    results: Results = None,
    as_json: AsJson = False,
) -> None:
    """Show everything about one run.

    Its settings and, for each stage, folder, attempts, command, failure, versions and size.
    """
    from toolrl_cli.store.ledger import Ledger
    from toolrl_cli.store.sweep_folder import find_run

    root = results_root(results)
    found = find_run(root, run)
    ledger = Ledger(root)
    document = {
        "schema": PRINTED,
        "sweep": found.sweep,
        "id": found.id,
        "arm": found.arm,
        "seed": found.seed,
        "settings": dict(found.settings),
        "stages": [_stage(ledger, spec) for spec in found.stages],
    }
    if as_json:
        print_json(document)
    else:
        _print(document)


def _stage(ledger: Any, spec: Any) -> dict[str, Any]:
    from toolrl_cli.errors import LedgerError
    from toolrl_cli.planning.sweep_status import unreadable
    from toolrl_cli.store.documents import fault_of
    from toolrl_cli.store.files import read_json
    from toolrl_cli.store.liveness import observed
    from toolrl_cli.store.state import StageState

    folder = ledger.folder(spec)
    try:
        seen = observed(folder)
        state = seen.to_json() | (unreadable(seen.fault) if seen.fault else {})
    except LedgerError as error:
        state = StageState(spec.id, spec.kind).to_json() | unreadable(fault_of(error))
    last = folder.attempt(state["attempt"]) if state["attempt"] else None
    return {
        "id": spec.id,
        "kind": spec.kind,
        "folder": str(folder.path),
        "bytes": sum((sizes := _sizes(folder.path)).values()),
        "sizes": sizes,
        "inputs": dict(spec.inputs),
        "config": dict(spec.config),
        **{
            k: state[k]
            for k in (
                "status",
                "attempt",
                "progress",
                "failure",
                "times",
                "attempts",
                "adjust",
                "note",
                "warnings",
            )
        },
        "command": read_json(last / "command.json") if last else None,
        "environment": read_json(last / "environment.json") if last else None,
    }


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes on disk below each entry of a folder; files that vanish meanwhile count nothing."""
    sizes = {}
    for entry in sorted(folder.glob("*")):
        sizes[entry.name] = 0
        for path in (entry, *entry.rglob("*")):
            with contextlib.suppress(FileNotFoundError):
                sizes[entry.name] += path.lstat().st_size
    return sizes


def _print(document: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"[bold]{document['id']}[/]  (sweep {document['sweep']}, arm {document['arm']})")
    for key, value in document["settings"].items():
        console.print(f"  {key} = {value}", markup=False)
    for stage in document["stages"]:
        console.print(f"\n[bold]{stage['kind']}[/] {stage['id']}: {stage['status']}")
        for name, text in _facts(stage):
            console.print(f"  {name:9} {text}", markup=False, soft_wrap=True)


def _facts(stage: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What is worth a line about a stage: its name there, and the line."""
    yield "folder", stage["folder"]
    if stage["bytes"]:
        parts = ", ".join(f"{k} {_size(v)}" for k, v in stage["sizes"].items() if v >= MEGABYTE)
        yield "size", _size(stage["bytes"]) + (f" ({parts})" if parts else "")
    for role, stage_id in stage["inputs"].items():
        yield "input", f"{role}: {stage_id}"
    settings = ", ".join(f"{key} {value}" for key, value in _settings(stage))
    if settings:
        yield "spec", settings
    if stage["progress"]:
        yield "progress", f"step {stage['progress']['step']} of {stage['progress']['total'] or '?'}"
    if stage["status"] == "unreadable":
        yield "fault", stage["failure"]["message"]
    for attempt in stage["attempts"]:
        yield f"attempt {attempt['n']}", _attempt(attempt)
    for key, change in stage["adjust"].items():
        yield "adjusted", f"{key} {change['asked']} → {change['used']} after running out of memory"
    for warning in stage["warnings"]:
        yield "warning", str(StepWarning.from_json(warning))
    if stage["note"]:
        yield "set back", stage["note"]
    if stage["command"]:
        yield "command", shlex.join(stage["command"].get("argv", []))
    versions = (stage["environment"] or {}).get("versions", {})
    if versions:
        yield "versions", ", ".join(f"{name} {version}" for name, version in versions.items() if version)


def _settings(stage: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The stage's own settings out of its configuration; all of it is in `spec.json`."""
    config = stage["config"]
    for key in ("algorithm", "benchmark", "seed", "precision"):
        if key in config:
            yield key, config[key]
    if "reward" in config:
        yield "reward", config["reward"].get("name", "of its own")
    group = "evaluation" if stage["kind"] == "evaluate" else stage["kind"]
    yield from ((key, value) for key, value in config.get(group, {}).items() if value is not None)


def _attempt(attempt: dict[str, Any]) -> str:
    told = str(attempt["status"])
    if attempt["started"] and attempt["ended"]:
        told += f" in {duration(max(0.0, attempt['ended'] - attempt['started']))}"
    elif attempt["started"]:
        told += f" for {duration(max(0.0, time.time() - attempt['started']))}"
    failure = attempt["failure"]
    if failure:
        told += f", {failure['class']}: {failure['message']}"
        told += f" ({failure['hint']})" if failure["hint"] else ""
    return told


def _size(number: int) -> str:
    """`3 kB`, `12.3 MB`, `4.0 GB`."""
    if number < MEGABYTE:
        return f"{number / 1e3:.0f} kB"
    return f"{number / 1e6:.1f} MB" if number < 1e9 else f"{number / 1e9:.1f} GB"
