"""Sweeps that were started before: where they stand, and stopping them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toolrl_cli.errors import LedgerError
from toolrl_cli.harness.adoption import adopt
from toolrl_cli.log import LOG
from toolrl_cli.planning.sweep_status import SweepStatus, sweep_status
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.roots import command, results_root
from toolrl_cli.store.sweep_folder import SavedSweep, SweepFolder, saved_sweep
from toolrl_cli.wording import counted

KILLED = 10.0  # seconds that killed processes may take to be gone


def status(name: str | None = None, *, results: Path | str | None = None) -> SweepStatus:
    """Where the runs of a sweep stand; shows itself in a notebook, and `.to_frame()` has a row for each run.

    Args:
        name: the sweep; None for the one planned last.
        results: the results root; None for `$TOOLRL_RESULTS`, then `results/`.

    Raises:
        SpecError: there is no such sweep.
        LedgerError: its plan or the results root cannot be read.
    """
    root = results_root(results)
    return sweep_status(saved_sweep(root, name), Ledger(root))


@dataclass(frozen=True)
class Stopped:
    """What stopping a sweep has come to.

    Attributes:
        harnesses: how many processes that work on the sweep were asked to stop.
        ends: stage id → status now, of the stages whose attempts were asked to stop.
        others: stage id → why its attempt was left alone.
        left: ids of the stages whose attempts do not end.
        unreadable: why attempts that no harness looks after were not looked for; None where they were.
        unseen: how many harnesses are on other machines, where they may start more.
    """

    harnesses: int
    ends: Mapping[str, str]
    others: Mapping[str, str]
    left: tuple[str, ...] = ()
    unreadable: LedgerError | None = None
    unseen: int = 0

    @property
    def ok(self) -> bool:
        """Whether all that was to end has ended, and nothing can start more."""
        return not self.left and self.unreadable is None and not self.unseen


def stop(
    name: str, *, results: Path | str | None = None, grace: float = 60.0, take_over: bool = False
) -> Stopped:
    """End a sweep's attempts in good order; what happens is logged. Training goes on from the last checkpoint.

    Args:
        name: the sweep.
        results: the results root; None for `$TOOLRL_RESULTS`, then `results/`.
        grace: seconds until what has not ended is killed.
        take_over: write down as killed, in place of that, the attempts that cannot be seen from here and whose
            heartbeats stand still. Only where their machine or container is known to be gone.

    Raises:
        SpecError: there is no such sweep.
        LedgerError: its plan cannot be read and no harness works on it, or the ledger cannot be read or written.
    """
    from toolrl_cli.harness.stopping import stop_sweep  # where a sweep stands is shown without it

    root = results_root(results)
    if original := adopt(root, mark=False):
        LOG.info("%s is a copy of %s; what runs there is left alone", root, original)
    if take_over:
        return _take_over(SweepFolder(root, name))
    saved: SavedSweep | None = None
    unreadable: LedgerError | None = None
    try:
        saved = SweepFolder(root, name).load()
    except LedgerError as error:  # its harnesses can be reached all the same
        unreadable = error
    stopping = stop_sweep(SweepFolder(root, name), saved)
    for stage_id, why in stopping.others.items():
        LOG.info("%s: left alone; %s", stage_id, why)
    free = command("stop", name, "--take-over", results=root)
    for harness in stopping.unseen:
        LOG.warning(
            "%s: %s cannot be told from here, and may start more; issue `stop` there too, or `%s` where it is gone",
            *(name, harness, free),
        )
    hidden = len(stopping.unseen)
    if unreadable is not None and not stopping.harnesses:
        raise unreadable
    if not stopping.harnesses and not stopping.asked:
        LOG.info("%s: nothing %sruns", name, "else " if stopping.others else "")
        return Stopped(0, {}, stopping.others, unseen=hidden)
    told = [counted(len(stopping.harnesses), "harness")] if stopping.harnesses else []
    told += [counted(len(stopping.asked), "attempt")] if stopping.asked else []
    LOG.info("%s: asked %s to stop", name, " and ".join(told))
    left = stopping.wait(grace)
    if left:
        slow = counted(len(left), "attempt")
        LOG.info("%s: %s did not end within %g s; killing", name, slow, grace)
        stopping.kill()
        left = stopping.wait(KILLED)
    ends: dict[str, str] = {folder.id: folder.state().status for folder in stopping.asked}
    for stage_id, end in ends.items():
        LOG.info("%s: %s", stage_id, end)
    if left:
        LOG.info("%s: what still runs does not die; see `ps` and `dmesg`", name)
    elif unreadable is not None:
        LOG.error("%s; attempts that no harness looks after were not looked for", unreadable)
    else:
        LOG.info("`%s` goes on from the last checkpoints", command("resume", name, results=root))
    left_ids = tuple(folder.id for folder in left)
    return Stopped(len(stopping.harnesses), ends, stopping.others, left_ids, unreadable, hidden)


def _take_over(folder: SweepFolder) -> Stopped:
    from toolrl_cli.harness.taking_over import WATCH, forget_unseen, take_over, unseen

    ledger = Ledger(folder.results)
    found = unseen(map(ledger.folder, folder.load().stages.values()))
    if found:
        LOG.info("%s: watching %s for %g s", folder.name, counted(len(found), "attempt"), WATCH)
    told = take_over(found, watch=WATCH)
    for stage_id, why in told.items():
        LOG.info("%s: %s", stage_id, f"left alone; {why}" if why else "taken over")
    left = {stage_id: why for stage_id, why in told.items() if why}
    if not left:
        forget_unseen(folder)
    ends: dict[str, str] = {f.id: f.state().status for f in found if f.id not in left}
    if not found:
        LOG.info("%s: no attempt is out of sight", folder.name)
    elif ends:
        LOG.info(
            "`%s` goes on from the last checkpoints", command("resume", folder.name, results=folder.results)
        )
    return Stopped(0, ends, left, tuple(left))
