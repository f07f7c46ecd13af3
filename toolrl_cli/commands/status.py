"""`toolrl status`: where the stages of a sweep stand."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolrl_cli.commands.options import AsJson, Results, SweepName, print_json, results_root

if TYPE_CHECKING:
    from rich.table import Table

    from toolrl_cli.errors import LedgerError, SpecError
    from toolrl_cli.store.ledger import Ledger
    from toolrl_cli.store.state import StageState
    from toolrl_cli.store.sweep_folder import SavedSweep

MARKS = {
    "succeeded": "green",
    "running": "cyan",
    "queued": "cyan",
    "failed": "red",
    "stopped": "yellow",
    "pending": "dim",
    "unreadable": "red",  # no status, but what the table says where the file system does not give one
}
HEADERS = ("run", "stage", "status", "step", "attempts", "what")
NUMBERS = ("step", "attempts")
REFRESH = 2.0  # seconds
NARROW = 80  # columns below which there is no room for everything
RICH_ROWS = 200  # a longer table is printed line by line, at once


@dataclass(frozen=True)
class Standing:
    """What the table says: a title, and a row for each run in the order of `HEADERS`."""

    title: str
    rows: list[tuple[str, ...]]


def status(
    name: SweepName = None,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh every two seconds until Ctrl-C.")] = False,
    results: Results = None,
    as_json: AsJson = False,
) -> None:
    """Show where a sweep's runs stand.

    Stage, step, attempts and failure of each run.
    """
    from toolrl_cli.errors import SpecError
    from toolrl_cli.store.ledger import Ledger
    from toolrl_cli.store.sweep_folder import saved_sweep

    root = results_root(results)
    if watch and as_json:
        raise SpecError("--json prints one document", "--watch", "leave one of the two out")
    saved, ledger = saved_sweep(root, name), Ledger(root)
    if as_json:
        print_json(status_document(saved, ledger))
    elif watch:
        try:
            _watch(lambda: standing(saved, ledger))
        except KeyboardInterrupt:  # the way to leave it
            return
    else:
        _print(standing(saved, ledger))


def _print(found: Standing) -> None:
    """A table on a terminal; aligned lines that no width breaks for pipes, and for tables of any length."""
    if not sys.stdout.isatty() or len(found.rows) > RICH_ROWS:
        sys.stdout.write(_lines(found))
        return
    from rich.console import Console

    console = Console()
    console.print(_table(found, console.width))


def _watch(look: Callable[[], Standing]) -> None:
    found = look()
    if not sys.stdout.isatty():
        while True:
            sys.stdout.write(_lines(found) + "\n")
            sys.stdout.flush()
            before = found
            while found == before:
                time.sleep(REFRESH)
                found = look()
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        while True:
            live.update(_table(found, live.console.width), refresh=True)
            time.sleep(REFRESH)
            found = look()


def status_document(saved: SavedSweep, ledger: Ledger) -> dict[str, Any]:
    """The document of `status --json`: `plan --json`'s shape with progress, attempts and failure."""
    from toolrl_cli.store.sweep_folder import SweepFolder

    states, faults = _states(saved, ledger)
    stages = []
    for spec in saved.stages.values():
        state = states[spec.id].to_json()
        if spec.id in faults:
            state |= unreadable(faults[spec.id])
        fields = ("status", "attempt", "progress", "failure", "launcher", "times", "attempts", "note")
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
    harnesses = [h.to_json() for h in SweepFolder(ledger.results, saved.name).harnesses()]
    return {"schema": 1, "sweep": saved.name, "harnesses": harnesses, "runs": runs, "stages": stages}


def unreadable(why: str) -> dict[str, Any]:
    """What a document says of a stage whose state the file system does not give."""
    from toolrl_cli.store.failures import Failure

    return {"status": "unreadable", "failure": Failure.of("infra", why).to_json()}


def standing(saved: SavedSweep, ledger: Ledger) -> Standing:
    """Where each run stands: its first stage that is not done."""
    from toolrl_cli.store.sweep_folder import SweepFolder

    states, faults = _states(saved, ledger)
    done = sum(s.status == "succeeded" for s in states.values())
    title = f"{saved.name}: {done} of {len(states)} stages done"
    harnesses = len(SweepFolder(ledger.results, saved.name).harnesses())
    if harnesses:
        title += f", {harnesses} harness{'es' if harnesses > 1 else ''} at work"
    elif done < len(states):
        active = sum(s.active for s in states.values())
        alone = f", {active} attempt{'s go' if active > 1 else ' goes'} on without" if active else ""
        title += f", no harness at work{alone}"
    rows: list[tuple[str, ...]] = []
    for run in saved.runs:
        current = next((s for s in run.stages if states[s.id].status != "succeeded"), None)
        shown = current or run.stages[-1]
        state = states[shown.id]
        step = ""
        if current and state.progress and state.status != "pending":
            step = f"{state.progress.step}/{state.progress.total or '?'}"
        position = f"{run.stages.index(shown) + 1}/{len(run.stages)}" + (f" {shown.kind}" if current else "")
        attempts = str(state.attempt) if state.attempt else ""
        fault = faults.get(shown.id)
        told = (state.status, step, attempts, _what(state)) if not fault else ("unreadable", "", "", fault)
        rows.append((run.id, position, *told))
    return Standing(title, rows)


def _states(saved: SavedSweep, ledger: Ledger) -> tuple[dict[str, StageState], dict[str, str]]:
    """id → state, and id → why of those that cannot be read, which count as pending.

    A succeeded stage that is owed again for what it has lost stands as it will be set back.
    """
    from toolrl_cli.planning.losses import look
    from toolrl_cli.store.documents import fault_of
    from toolrl_cli.store.state import StageState

    hidden: dict[str, LedgerError | SpecError] = {}
    states, losses = look(saved.stages, ledger, unreadable=hidden)
    owed = {i: states[i].set_back(str(loss)) for i, loss in losses.items() if loss.owed}
    known = {i: state for i, state in (states | owed).items() if i not in hidden}
    faults = {i: state.fault for i, state in known.items() if state.fault}
    faults |= {i: fault_of(error) for i, error in hidden.items()}
    return {i: known.get(i) or StageState(i, spec.kind) for i, spec in saved.stages.items()}, faults


def _what(state: StageState) -> str:
    """Why it failed or is owed again, or the metric worth showing of what runs."""
    if state.status == "pending":
        return state.note
    if state.failure:
        return f"{state.failure.kind}: {state.failure.message}"
    if state.active and state.progress:
        named = state.progress.metrics.items()
        return ", ".join(f"{'loss' if 'loss' in name else 'reward'} {value:.3g}" for name, value in named)
    return ""


def _table(found: Standing, width: int) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=found.title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    shown = [n for n, header in enumerate(HEADERS) if width >= NARROW or header != "attempts"]
    for header in (HEADERS[n] for n in shown):
        table.add_column(header, overflow="fold", justify="right" if header in NUMBERS else "left")
    for row in found.rows:
        table.add_row(*(Text(row[n], MARKS[row[n]] if HEADERS[n] == "status" else "") for n in shown))
    return table


def _lines(found: Standing) -> str:
    rows: list[tuple[str, ...]] = [HEADERS, *found.rows]
    widths = [max(len(row[n]) for row in rows) for n in range(len(HEADERS))]
    aligned = (
        "  ".join(
            cell.rjust(width) if header in NUMBERS else cell.ljust(width)
            for header, cell, width in zip(HEADERS, row, widths, strict=True)
        ).rstrip()
        for row in rows
    )
    return "\n".join([found.title, *aligned, ""])
