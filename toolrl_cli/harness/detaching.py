"""Handing all that is owed to a cluster at once, which then needs no harness: each stage starts after its inputs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from toolrl_cli.errors import SpecError
from toolrl_cli.harness.launcher import LAUNCHERS, Launcher, LauncherKind, LaunchLater
from toolrl_cli.harness.reach import Reach
from toolrl_cli.harness.starting import (
    TOGETHER,
    AttemptOptions,
    Busy,
    Done,
    Started,
    Wanted,
    start_attempts,
)
from toolrl_cli.log import LOG
from toolrl_cli.spec.graph import StageGraph
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.state import Handle

WATCH = 21.0
"""Seconds after which a cluster says that an attempt has ended whose job it does not know (`slurm.forgotten`)."""


@dataclass(frozen=True)
class Detached:
    """What became of the stages.

    Attributes:
        submitted: stages that the cluster was given.
        at_work: those that it had already, or that somebody else runs.
        left: stage → why it could not be given.
    """

    submitted: list[str] = field(default_factory=list)
    at_work: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)


def check_detachable(kind: LauncherKind, *, max_parallel: int | None, fail_fast: bool) -> None:
    """Refuse what only a living harness could do.

    Raises:
        SpecError: the launcher does not start one attempt after another by itself, or a limit is asked for that
            nobody would keep.
    """
    if not kind.chains:
        able = ", ".join(name for name, other in LAUNCHERS.all().items() if other.chains)
        raise SpecError(f"the {kind.name} launcher needs a harness", "--detach", f"those that do not: {able}")
    if max_parallel is not None or fail_fast:
        option = "--fail-fast" if fail_fast else "--max-parallel"
        raise SpecError(f"nobody would keep to {option}", "--detach", "leave one of the two out")


def detach(
    stages: Sequence[StageSpec], ledger: Ledger, launcher: Launcher, options: AttemptOptions | None = None
) -> Detached:
    """Submit every stage that is owed, each after the attempts of its inputs.

    Issued again, it submits what is not with the cluster: what could not be given for a full queue, what has failed.

    Args:
        stages: what is owed, in any order.
        ledger: where they are.
        launcher: one of a kind that chains.
        options: of the attempts.

    Raises:
        LedgerError: the ledger cannot be read or written.
        LaunchError: the launcher refuses a stage.
    """
    options = options or AttemptOptions(alone=True)
    done, reach, handles = Detached(), Reach(launcher), dict[str, Handle]()
    graph = StageGraph(stages)
    later, looked = "", False
    for level in _levels(graph):
        wanted = []
        for stage_id in sorted(level, key=lambda stage_id: graph[stage_id].kind):  # alike beside alike
            spec = graph[stage_id]
            lacking = next((i for i in spec.inputs.values() if i in done.left), None)
            owed = [i for i in spec.inputs.values() if i in graph and i not in handles]
            if later or lacking or any(i in done.at_work for i in owed):
                done.left[stage_id] = later or f"its input {lacking or owed[0]} is not with {launcher.kind}"
                continue
            after = tuple(handles[i] for i in spec.inputs.values() if i in handles)
            wanted.append(Wanted(ledger.folder(spec), spec, after=after))
        for few in _parts(wanted, TOGETHER):
            if later:
                done.left.update((stage.spec.id, later) for stage in few)
                continue
            results = start_attempts(few, launcher, options, reach=reach)
            unseen = [n for n, r in enumerate(results) if isinstance(r, Busy) and r.alive is None]
            if unseen and not looked:
                # a job that nobody knows any more has ended once its heartbeat stands still
                looked = True
                LOG.info("%s: watching for %.0f s what cannot be seen", few[unseen[0]].spec.id, WATCH)
                time.sleep(WATCH)
            again = start_attempts([few[n] for n in unseen], launcher, options, reach=reach)
            for n, result in zip(unseen, again, strict=True):
                results[n] = result
            for stage, result in zip(few, results, strict=True):
                later = _note(stage.spec.id, result, launcher.kind, done, handles) or later
    return done


def _note(
    stage_id: str,
    result: Started | Done | Busy | LaunchLater,
    kind: str,
    done: Detached,
    handles: dict[str, Handle],
) -> str:
    """Take in what became of one stage; why nothing more can be given now, or empty."""
    if isinstance(result, LaunchLater):
        done.left[stage_id] = str(result)
        return str(result)
    handle = result.state.launcher
    if isinstance(result, Started) and handle is not None:
        done.submitted.append(stage_id)
        handles[stage_id] = handle
    elif isinstance(result, Busy):
        done.at_work.append(stage_id)
        if handle is not None and result.alive and handle.get("kind") == kind:
            handles[stage_id] = handle
    else:
        assert isinstance(result, Done)
    return ""


def _levels(graph: StageGraph) -> list[list[str]]:
    """The stages in rows: each reads only what stands in earlier ones, so that a row may be submitted at once."""
    rows: list[list[str]] = []
    row_of: dict[str, int] = {}
    for stage_id in graph:
        row = max((row_of[i] + 1 for i in graph.inputs(stage_id)), default=0)
        row_of[stage_id] = row
        rows.extend([] for _ in range(row + 1 - len(rows)))
        rows[row].append(stage_id)
    return rows


def _parts(wanted: Sequence[Wanted], size: int) -> Iterator[Sequence[Wanted]]:
    for begin in range(0, len(wanted), size):
        yield wanted[begin : begin + size]
