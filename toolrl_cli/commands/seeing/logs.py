"""`toolrl logs`: what a run's stages wrote."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from toolrl_cli.commands import completing
from toolrl_cli.commands.options import Results, RunName, note, results_root
from toolrl_cli.commands.views.consoles import coloured
from toolrl_cli.store.files import open_to_read

if TYPE_CHECKING:
    from toolrl_cli.harness.reach import Reach
    from toolrl_cli.spec.planned_run import PlannedRun
    from toolrl_cli.spec.stage import StageSpec
    from toolrl_cli.store.ledger import StageFolder
    from toolrl_cli.store.state import StageState
    from toolrl_cli.store.sweep_folder import SweepFolder

LOG = "log.txt"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
POLL = 0.3
BLOCK = 1 << 16


def logs(
    run: RunName,
    stage: Annotated[
        str | None,
        typer.Option(
            "--stage",
            metavar="KIND|ID",
            help="One stage, by its id or its kind (sft, rl, export, evaluate); default: all, prefixed.",
            autocompletion=completing.stages,
        ),
    ] = None,
    attempt: Annotated[
        int | None, typer.Option("--attempt", min=1, help="An earlier attempt; default: the last.")
    ] = None,
    lines: Annotated[
        int, typer.Option("-n", "--lines", min=0, help="Only the last lines of all stages together; 0: all.")
    ] = 0,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as more is written.")] = False,
    results: Results = None,
) -> None:
    """Print the logs of a run; -f follows.

    All stages, oldest first, prefixed with position and kind; or one of them with --stage. What a cluster wrote of
    a job itself comes after what the attempt wrote.
    """
    from toolrl_cli.harness.reach import Reach
    from toolrl_cli.store.ledger import Ledger
    from toolrl_cli.store.sweep_folder import SweepFolder, find_run

    root = results_root(results)
    found = find_run(root, run)
    stages = _chosen(found, stage)
    folders = {_prefix(found, s) if len(stages) > 1 else "": Ledger(root).folder(s) for s in stages}
    if attempt is not None:
        _check_attempt(found, folders.values(), attempt)
    sweep = SweepFolder(root, found.sweep)
    shown: dict[Path, int] = {}
    reach = Reach()
    with contextlib.suppress(KeyboardInterrupt):  # the way to leave -f
        while True:
            # whoever writes is looked for first, so that what it wrote last is still shown
            over = not follow or _is_over(folders.values(), sweep, reach)
            rows = _rows(folders, attempt, shown, lines, reach, over=over)
            for row in deque(rows, maxlen=lines) if lines else rows:
                print(row if coloured() else COLOUR.sub("", row), flush=follow)
            if over:
                break
            lines = 0
            time.sleep(POLL)
    if not shown:
        note(f"{found.id}: nothing has been written yet")


def _rows(
    folders: Mapping[str, StageFolder],
    attempt: int | None,
    shown: dict[Path, int],
    lines: int,
    reach: Reach,
    *,
    over: bool,
) -> Iterator[str]:
    """What was not shown yet of all stages, prefixed; of each only the last `lines` if not 0."""
    for prefix, folder in folders.items():
        state = _state(folder, reach)
        ended = over and state is not None and not state.active
        beside = reach.log(state.launcher) if state is not None and state.launcher else None
        names = (LOG, beside.name) if beside else (LOG,)
        for path in _logs_of(folder, attempt, shown, names):
            for row in _new_rows(path, shown, lines, ended=ended):
                yield prefix + row


def _prefix(run: PlannedRun, stage: StageSpec) -> str:
    """`[3-rl] `: position and kind, as the links in the run's folder are called."""
    return f"[{run.stages.index(stage) + 1}-{stage.kind}] "


def _is_over(folders: Iterable[StageFolder], sweep: SweepFolder, reach: Reach) -> bool:
    """Nothing more will be written: all is done, or nothing runs and no harness is there to start it."""
    states = [_state(folder, reach) for folder in folders]
    if all(state is not None and state.status == "succeeded" for state in states):
        return True
    return not any(state is None or state.active for state in states) and not sweep.harnesses()


def _state(folder: StageFolder, reach: Reach) -> StageState | None:
    """The state now; None where it cannot be read, which is no reason to hide the logs."""
    from toolrl_cli.errors import LedgerError
    from toolrl_cli.store.liveness import observed

    try:
        return observed(folder, alive=reach.alive)
    except LedgerError:
        return None


def _check_attempt(run: PlannedRun, folders: Iterable[StageFolder], attempt: int) -> None:
    """Refuse an attempt that none of the stages has had.

    Raises:
        SpecError: there is none.
    """
    from toolrl_cli.errors import SpecError

    last = max((int(path.name) for folder in folders for path in folder.attempts()), default=0)
    if attempt > last:
        have = f"the last is {last}" if last else "nothing has run yet"
        raise SpecError(f"run {run.id!r} has no attempt {attempt}", "--attempt", have)


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


def _logs_of(
    folder: StageFolder, attempt: int | None, shown: Mapping[Path, int], names: Sequence[str]
) -> list[Path]:
    """These files of the attempt that was asked for; else of the last one, and of those followed before."""
    chosen = [folder.attempt(attempt)] if attempt is not None else folder.attempts()
    written = [paths for a in chosen if (paths := [path for n in names if (path := a / n).is_file()])]
    first = next((n for n, paths in enumerate(written) if shown.keys() & set(paths)), len(written) - 1)
    return [path for paths in written[max(first, 0) :] for path in paths]


def _new_rows(path: Path, shown: dict[Path, int], lines: int, *, ended: bool) -> Iterator[str]:
    """Lines that were not shown yet, only the last `lines` if not 0.

    One being written is left for later; what a killed attempt did not live to end is all there will be of it.
    """
    with open_to_read(path) as stream:
        if lines and path not in shown:
            shown[path] = _start_of_last(stream, lines, ended=ended)
        stream.seek(shown.setdefault(path, 0))
        for row in stream:
            if not row.endswith(b"\n") and not ended:
                return
            shown[path] += len(row)
            # carriage returns are progress bars repainting themselves: only the last state is worth a line
            yield row.rstrip(b"\r\n").rpartition(b"\r")[2].decode(errors="replace")


def _start_of_last(stream: BinaryIO, lines: int, *, ended: bool) -> int:
    """Where the last `lines` lines begin; logs may be too long to be read for that."""
    position = stream.seek(0, os.SEEK_END)
    tail = b""
    while position > 0 and tail.count(b"\n") <= lines:
        size = min(BLOCK, position)
        position = stream.seek(position - size)
        tail = stream.read(size) + tail
    shown = tail if ended else tail[: tail.rfind(b"\n") + 1]
    rows = shown.removesuffix(b"\n").split(b"\n")[-lines:]
    return position + len(shown) - sum(len(row) + 1 for row in rows) + (not shown.endswith(b"\n"))
