"""`toolrl show`: everything about one run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from toolrl_cli.commands.options import AsJson, Results, print_json, results_root


def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, or SWEEP/RUN.", show_default=False)],
    results: Results = None,
    as_json: AsJson = False,
) -> None:
    """Show everything about one run.

    Its settings and, for each stage, folder, attempts, command, failure, versions and size.
    """
    from toolrl_cli.engine.ledger import Ledger
    from toolrl_cli.engine.sweep_folder import find_run

    root = results_root(results)
    found = find_run(root, run)
    ledger = Ledger(root)
    document = {
        "schema": 1,
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
    from toolrl_cli.engine.aftermath import observed
    from toolrl_cli.engine.files import read_json

    folder = ledger.folder(spec)
    state = observed(folder).to_json()
    last = folder.attempt(state["attempt"]) if state["attempt"] else None
    return {
        "id": spec.id,
        "kind": spec.kind,
        "folder": str(folder.path),
        "bytes": _size(folder.path),
        "inputs": dict(spec.inputs),
        "config": dict(spec.config),
        **{k: state[k] for k in ("status", "attempt", "progress", "failure", "times", "attempts")},
        "command": read_json(last / "command.json") if last else None,
        "environment": read_json(last / "environment.json") if last else None,
    }


def _size(folder: Path) -> int:
    """Bytes on disk below a folder; files that vanish meanwhile count nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size
        except FileNotFoundError:
            continue
    return total


def _print(document: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"[bold]{document['id']}[/]  (sweep {document['sweep']}, arm {document['arm']})")
    for key, value in document["settings"].items():
        console.print(f"  {key} = {value}", markup=False)
    for stage in document["stages"]:
        console.print(f"\n[bold]{stage['kind']}[/] {stage['id']}: {stage['status']}")
        console.print(
            f"  folder    {stage['folder']} ({stage['bytes'] / 1e6:.1f} MB)", markup=False, soft_wrap=True
        )
        if stage["progress"]:
            console.print(
                f"  progress  step {stage['progress']['step']} of {stage['progress']['total'] or '?'}"
            )
        for attempt in stage["attempts"]:
            took = attempt["ended"] - attempt["started"] if attempt["ended"] and attempt["started"] else None
            failure = attempt["failure"]
            told = f", {failure['class']}: {failure['message']}" if failure else ""
            console.print(
                f"  attempt {attempt['n']} {attempt['status']}"
                + (f" in {took:.0f} s" if took else "")
                + told,
                markup=False,
                soft_wrap=True,
            )
        if stage["command"]:
            console.print(
                f"  command   {' '.join(stage['command'].get('argv', []))}", markup=False, soft_wrap=True
            )
        versions = (stage["environment"] or {}).get("versions", {})
        if versions:
            told = ", ".join(f"{k} {v}" for k, v in versions.items() if v)
            console.print(f"  versions  {told}", markup=False, soft_wrap=True)
