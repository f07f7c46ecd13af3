"""Setting stages back, on purpose or for what they have lost: to a checkpoint, or to the start. Nothing is deleted.

What does not count any more goes to `superseded/<n>/` in the stage's directory (`toolrl gc` may remove it), and
what reads the stage is set back with it, in whatever sweep: its results would be of a model that is gone. Whoever
reads a stage is set back before it is, and a stage's state is written before its files are moved, so that a kill
at any point leaves work that is owed and never a result without its origin.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping

from toolrl_cli.attempt.ending import record_end
from toolrl_cli.attempt.setting_back import START, set_stage_back, steps_of
from toolrl_cli.errors import LedgerError, SpecError
from toolrl_cli.planning.losses import Loss
from toolrl_cli.spec.graph import StageGraph
from toolrl_cli.spec.stage_kind import trains
from toolrl_cli.store import lease as leases
from toolrl_cli.store.files import explained
from toolrl_cli.store.lease import Lease, LeaseHeld
from toolrl_cli.store.ledger import Ledger, StageFolder
from toolrl_cli.store.liveness import HandleAlive, lease_alive, local_alive
from toolrl_cli.training.checkpointing.best_checkpoint import best_folder, read_best
from toolrl_cli.training.checkpointing.chosen_checkpoint import best_of


def set_back(
    ledger: Ledger,
    targets: Mapping[str, int],
    asked: str,
    *,
    readers: bool = True,
    alive: HandleAlive = local_alive,
) -> list[tuple[str, str]]:
    """Set stages back, with everything that reads them; those that never ran are left alone.

    Args:
        ledger: where they are.
        targets: id → step to go on from, `START` for the beginning.
        asked: what was asked for, in the user's words, for the record.
        readers: also what reads them; not where the same is made again that they have read. Then answers that an
            evaluation has stay, too.
        alive: see `aftermath.observed`.

    Returns:
        (id, how) of the stages that were set back, what reads before what is read.

    Raises:
        SpecError: a stage has no whole checkpoint of its step.
        LedgerError: a stage is at work, or the file system refuses. Then nothing was changed, or the same
            command sets back the rest.
    """
    stages, order = _with_readers(ledger, targets, readers)
    check_steps(ledger, targets)
    with contextlib.ExitStack() as stack:
        held = {i: stack.enter_context(_hold(folder, alive)) for i, folder in stages.items()}
        changed = []
        for stage_id in order:
            folder = stages[stage_id]
            step = targets.get(stage_id, START)
            why = asked if stage_id in targets else f"{asked}: what it reads was set back"
            how = set_stage_back(folder, held[stage_id], step, why, answers=not readers)
            if how:
                changed.append((stage_id, how + _without_best(folder, step)))
    return changed


def _without_best(folder: StageFolder, step: int) -> str:
    """That the best checkpoint up to a step is gone, which went when a later one was better; empty where it is not."""
    checkpoints = folder.path / "checkpoints"
    with explained(checkpoints):
        judged = {n: value for n, value in read_best(checkpoints).judged.items() if n <= step}
        best = best_of(judged, list(judged)) if judged and step != START else None
        there = best is None or any(
            (at / "actor").is_dir()
            for at in (best_folder(checkpoints, best), checkpoints / f"global_step_{best}")
        )
    told = (
        f"; its best up to there, of step {best}, is gone: `checkpoint: best` needs a better one, or --fresh"
    )
    return "" if there else told


def renew(
    ledger: Ledger, losses: Mapping[str, Loss], *, alive: HandleAlive = local_alive
) -> list[tuple[str, str]]:
    """Set succeeded stages back that are owed again for what they have lost.

    A training goes on from its newest checkpoint before the one that is gone, and what reads it is set back with
    it. A model that is exported again from the same checkpoint is the same, so what has read it stays, and so do an
    evaluation's answers: what has none is asked, and all is judged anew.

    Args:
        ledger: where they are.
        losses: id → what it has lost, what reads before what is read.
        alive: see `aftermath.observed`.

    Returns:
        (id, how) of the stages that were set back.

    Raises:
        LedgerError: a stage is at work, or the file system refuses; the same command sets back the rest.
    """
    changed: list[tuple[str, str]] = []
    for stage_id, loss in losses.items():
        folder = ledger.find(stage_id)
        if not loss.owed or loss.follows or folder is None or folder.state().status != "succeeded":
            continue  # nothing to be done, or it comes with its input, or another harness was faster
        step = START
        if loss.step is not None:
            step = max((n for n in steps_of(folder) if n < loss.step), default=START)
        try:
            trained = trains(folder.kind)
            changed += set_back(ledger, {stage_id: step}, str(loss), readers=trained, alive=alive)
        except LedgerError:
            if folder.state().status == "succeeded":
                raise
    return changed


def check_steps(ledger: Ledger, targets: Mapping[str, int]) -> None:
    """Refuse steps from which a stage cannot go on.

    Raises:
        SpecError: a stage has no whole checkpoint of its step.
        LedgerError: the file system does not give them.
    """
    for stage_id, step in targets.items():
        folder = ledger.find(stage_id)
        if folder is not None and step != START:
            _check_step(folder, step)


def with_readers(ledger: Ledger, targets: Iterable[str]) -> set[str]:
    """The ids of what `set_back` would set back with these.

    Raises:
        LedgerError: the file system does not give them.
    """
    return set(_with_readers(ledger, targets)[0])


def _check_step(folder: StageFolder, step: int) -> None:
    steps = steps_of(folder)
    if step not in steps:
        have = f"it has those of {', '.join(map(str, steps))}" if steps else "it has none"
        raise SpecError(
            f"no whole checkpoint of step {step}: {have}", f"stage {folder.id}", "--fresh starts anew"
        )
    total = folder.spec().total_steps
    if total is not None and step >= total:
        raise SpecError(
            f"step {step} is the last one", f"stage {folder.id}", "nothing is left to train from there"
        )


def _with_readers(
    ledger: Ledger, targets: Iterable[str], readers: bool = True
) -> tuple[dict[str, StageFolder], list[str]]:
    """The folders of stages that are on disk and of all that read them, and their ids, what reads first.

    Raises:
        SpecError: stages depend on each other in a circle.
    """
    folders, specs = {}, []
    for folder in ledger.folders():
        with contextlib.suppress(LedgerError):  # without a readable spec.json it has not run to any result
            specs.append(folder.spec())
            folders[folder.id] = folder
    graph = StageGraph(specs)
    found = {i for i in targets if i in graph}
    found = graph.with_readers(found) if readers else found
    order = [i for i in reversed(graph) if i in found]
    return {i: folders[i] for i in order}, order


@contextlib.contextmanager
def _hold(folder: StageFolder, alive: HandleAlive) -> Iterator[Lease]:
    """The lease of a stage that is not at work; an attempt that died without a word is written down first."""
    refusal = LedgerError(
        "is at work", f"stage {folder.id}", "stop it first, with `toolrl stop`, and issue the command again"
    )
    try:
        lease = leases.take(folder.path, purpose="launch", alive=lease_alive(alive))
    except LeaseHeld as held:
        if held.alive is None:
            raise LedgerError(
                f"may be at work: {held}",
                f"stage {folder.id}",
                "where that process is gone, `toolrl stop SWEEP --take-over` frees the stage",
            ) from None
        raise refusal from None
    with lease:
        state = folder.state()
        if state.active:
            # the lease is ours, so an attempt that runs can only have been started just now
            if state.launcher and alive(state.launcher) is not False:
                raise refusal
            record_end(folder, lease, state)
        yield lease
