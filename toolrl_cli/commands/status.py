"""`toolrl status`: where the stages of a sweep stand."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolrl_cli.commands.options import AsJson, Results, SweepName, print_json, results_root

if TYPE_CHECKING:
    from rich.table import Table

    from toolrl_cli.engine.ledger import Ledger
    from toolrl_cli.engine.sweep_folder import SavedSweep

MARKS = {
    "succeeded": "green",
    "running": "cyan",
    "queued": "cyan",
    "failed": "red",
    "stopped": "yellow",
    "pending": "dim",
}


def status(
    name: SweepName = None,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh every two seconds until Ctrl-C.")] = False,
    results: Results = None,
    as_json: AsJson = False,
) -> None:
    """Show where a sweep's runs stand.

    Stage, step, attempts and failure of each run.
    """
    from rich.console import Console

    from toolrl_cli.commands.selecting import saved_sweep
    from toolrl_cli.engine.ledger import Ledger

    root = results_root(results)
    saved, ledger = saved_sweep(root, name), Ledger(root)
    if as_json:
        print_json(status_document(saved, ledger))
        return
    console = Console()
    if not watch:
        console.print(_table(saved, ledger))
        return
    from rich.live import Live

    with Live(_table(saved, ledger), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(2)
            live.update(_table(saved, ledger), refresh=True)


def status_document(saved: SavedSweep, ledger: Ledger) -> dict[str, Any]:
    """The document of `status --json`: `plan --json`'s shape with progress, attempts and failure."""
    from toolrl_cli.engine.aftermath import observed

    stages = []
    for spec in saved.stages.values():
        state = observed(ledger.folder(spec)).to_json()
        fields = ("status", "attempt", "progress", "failure", "launcher", "times", "attempts")
        stages.append(
            {
                "id": spec.id,
                "kind": spec.kind,
                "owed": state["status"] != "succeeded",
                "inputs": dict(spec.inputs),
                **{field: state[field] for field in fields},
            }
        )
    runs = [
        {"id": r.id, "arm": r.arm, "seed": r.seed, "stages": [s.id for s in r.stages]} for r in saved.runs
    ]
    return {"schema": 1, "sweep": saved.name, "runs": runs, "stages": stages}


def _table(saved: SavedSweep, ledger: Ledger) -> Table:
    from rich.table import Table
    from rich.text import Text

    from toolrl_cli.engine.aftermath import observed

    states = {stage_id: observed(ledger.folder(spec)) for stage_id, spec in saved.stages.items()}
    done = sum(s.status == "succeeded" for s in states.values())
    table = Table(title=f"{saved.name}: {done} of {len(states)} stages done", title_justify="left")
    for header in ("run", "stage", "status", "step", "attempts", "what"):
        table.add_column(
            header, overflow="fold", justify="right" if header in ("step", "attempts") else "left"
        )
    for run in saved.runs:
        current = next((s for s in run.stages if states[s.id].status != "succeeded"), run.stages[-1])
        state = states[current.id]
        progress = state.progress
        step = f"{progress.step}/{progress.total or '?'}" if progress and state.status != "pending" else ""
        what = f"{state.failure.kind}: {state.failure.message}" if state.failure else ""
        position = f"{run.stages.index(current) + 1}/{len(run.stages)} {current.kind}"
        if all(states[s.id].status == "succeeded" for s in run.stages):
            position, step = f"{len(run.stages)}/{len(run.stages)}", ""
        attempts = str(state.attempt) if state.attempt else ""
        table.add_row(run.id, position, Text(state.status, MARKS[state.status]), step, attempts, Text(what))
    return table
