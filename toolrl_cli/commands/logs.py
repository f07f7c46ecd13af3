"""`toolrl logs`: what a run's stages wrote."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolrl_cli.commands.options import Results, results_root

if TYPE_CHECKING:
    from toolrl_cli.engine.ledger import Ledger
    from toolrl_cli.engine.plan import PlannedRun
    from toolrl_cli.spec.stage import StageSpec

POLL = 0.3


def logs(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, or SWEEP/RUN.", show_default=False)],
    stage: Annotated[
        str | None, typer.Option("--stage", metavar="KIND|ID", help="One stage; default: all, prefixed.")
    ] = None,
    attempt: Annotated[
        int | None, typer.Option("--attempt", help="An earlier attempt; default: the last.")
    ] = None,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="Only the last lines; 0: all.")] = 0,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as more is written.")] = False,
    results: Results = None,
) -> None:
    """Print the logs of a run; -f follows.

    All stages, oldest first, prefixed with their kind; or one of them with --stage.
    """
    from toolrl_cli.engine.ledger import Ledger
    from toolrl_cli.engine.sweep_folder import find_run

    root = results_root(results)
    found = find_run(root, run)
    stages = _chosen(found, stage)
    ledger = Ledger(root)
    shown: dict[Path, int] = {}
    prefixed = len(stages) > 1
    while True:
        for spec in stages:
            path = _log_of(ledger, spec, attempt)
            if path is None:
                continue
            text, shown[path] = _read_from(path, shown.get(path, 0))
            rows = text.splitlines()
            for row in rows[-lines:] if lines else rows:
                print(f"[{spec.kind}] {row}" if prefixed else row)
        if not follow or all(ledger.folder(s).state().status == "succeeded" for s in stages):
            return
        lines = 0
        time.sleep(POLL)


def _chosen(run: PlannedRun, wanted: str | None) -> list[StageSpec]:
    from toolrl_cli.errors import SpecError
    from toolrl_cli.spec.suggest import hint_for

    if wanted is None:
        return list(run.stages)
    stages = [s for s in run.stages if wanted in (s.kind, s.id)]
    if not stages:
        names = {s.kind for s in run.stages} | {s.id for s in run.stages}
        raise SpecError(
            f"run {run.id!r} has no stage {wanted!r}", "--stage", hint_for(wanted, names, "stages")
        )
    return stages


def _log_of(ledger: Ledger, spec: StageSpec, attempt: int | None) -> Path | None:
    folder = ledger.folder(spec)
    attempts = folder.attempts()
    chosen = folder.attempt(attempt) if attempt is not None else (attempts[-1] if attempts else None)
    path = chosen / "log.txt" if chosen is not None else None
    return path if path is not None and path.is_file() else None


def _read_from(path: Path, offset: int) -> tuple[str, int]:
    """Whole lines after `offset`, and where the next read begins; a line being written is left for later."""
    with path.open("rb") as stream:
        stream.seek(offset)
        data = stream.read()
    end = data.rfind(b"\n") + 1
    # carriage returns are progress bars repainting themselves: only the last state is worth a line
    rows = (row.rstrip(b"\r").rsplit(b"\r", 1)[-1] for row in _rows(data[:end]))
    return b"\n".join(rows).decode(errors="replace"), offset + end


def _rows(data: bytes) -> Iterator[bytes]:
    yield from data.removesuffix(b"\n").split(b"\n") if data else ()
