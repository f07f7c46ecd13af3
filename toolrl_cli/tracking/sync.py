"""`toolrl sync`: what W&B lacks of a sweep is found by asking it, and sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.sweep_folder import SavedSweep, SweepFolder
from toolrl_cli.tracking.client import Client, Seen
from toolrl_cli.tracking.extras import REPORT
from toolrl_cli.tracking.feed import Feed, has_all, has_content
from toolrl_cli.tracking.place import place_of, publishing_alone, tracking_of
from toolrl_cli.tracking.status import RunStatus, StatusWriter, read_status
from toolrl_cli.tracking.told import Told

PARALLEL = 8
PATIENCE = 5.0  # seconds for a publisher that is about to end


@dataclass(frozen=True)
class Synced:
    """What became of one run.

    Attributes:
        run: its id.
        what: `up to date`, `sent`, `kept offline`, `would be sent`, `nothing yet` or, with a fault, why not.
        failed: whether it is not as it should be.
    """

    run: str
    what: str
    failed: bool = False


def sync(
    saved: SavedSweep,
    results: Path,
    mode: str,
    *,
    rebuild: str | None = None,
    dry_run: bool = False,
    each: Callable[[Synced], None] = lambda synced: None,
) -> list[Synced]:
    """Bring W&B up to date with the files of a sweep.

    Args:
        saved: the sweep.
        results: the results root.
        mode: online, or offline: the folders below `RESULTS/wandb` then.
        rebuild: id of a run that is to be told from its beginning, as a new W&B run.
        dry_run: say what would be sent, and send nothing.
        each: told of each run, as soon as it is known.

    Raises:
        SpecError: there is no such run, or somebody feeds W&B with this sweep now.
        TrackingError: W&B does not say what it has.
        LedgerError: the results root cannot be read or written.
    """
    runs = [run for run in saved.runs if rebuild in (None, run.id)]
    if not runs and rebuild is not None:
        raise SpecError(
            f"no run {rebuild!r}", saved.name, hint_for(rebuild, [r.id for r in saved.runs], "runs")
        )
    folder = SweepFolder(results, saved.name).path
    with publishing_alone(folder, PATIENCE) as alone:
        if not alone:
            status = read_status(folder)
            who = f" ({status.owner})" if status and status.owner else ""
            raise SpecError(
                f"is being sent to W&B now{who}", f"sweep {saved.name}", "sync again once that has ended"
            )
        before = read_status(folder)
        place = place_of(folder, tracking_of(saved.tracking), rebuild if not dry_run else None)
        client = Client(place, "online" if mode == "online" else "offline", results)
        status_file = StatusWriter(folder, mode)
        status_file.keep({*(run.id for run in saved.runs), REPORT})
        feed = Feed(saved, Ledger(results), place, client, status_file, mode)
        try:
            found = _each(runs, feed, status_file, client, mode, dry_run, each, before.runs if before else {})
            if not dry_run and not feed.bring_report():
                known = status_file[REPORT]
                found.append(Synced(REPORT, known.fault if known else "was not sent", failed=True))
                each(found[-1])
        finally:
            client.close()
            if not dry_run:
                status_file.write(ended=True)
    return found


def _each(
    runs: list[PlannedRun],
    feed: Feed,
    status: StatusWriter,
    client: Client,
    mode: str,
    dry_run: bool,
    each: Callable[[Synced], None],
    known: Mapping[str, RunStatus],
) -> list[Synced]:
    found: list[Synced] = []

    def tell(run: str, what: str, *, failed: bool = False) -> None:
        found.append(Synced(run, what, failed))
        each(found[-1])

    begun = {run.id: run for run in runs if feed.begun(run)}
    same = {name: known[name] for name, run in begun.items() if feed.unchanged(run, known.get(name))}
    sent: list[str] = []
    seen = feed.seen([feed.wandb_id(run) for run in begun.values()]) if mode == "online" else {}
    with ThreadPoolExecutor(1) as reading:  # while the client sends
        read = {name: reading.submit(feed.told, run) for name, run in begun.items() if name not in same}
        if mode == "online" and not dry_run:
            sent = feed.send_folders([w for run in begun.values() if (w := feed.wandb_id(run)) not in seen])
            seen = {**seen, **feed.seen(sent)}
    owed: list[tuple[PlannedRun, Told]] = []
    for run in runs:
        here, wandb_id = same.get(run.id), feed.wandb_id(run)
        if here is not None and wandb_id in seen and has_content(seen[wandb_id], here):
            feed.note(run, here)
            tell(run.id, f"sent: {here.rows} rows" if wandb_id in sent else "up to date")
            continue
        told = None if run.id not in begun else read[run.id].result() if run.id in read else feed.told(run)
        if told is None and run.id in begun:
            now = status[run.id]
            tell(run.id, now.fault if now else "cannot be read", failed=True)
        elif told is None or not told.begun:
            tell(run.id, "nothing yet")
        elif mode == "online" and told.id in seen and has_all(seen[told.id], told):
            feed.bring(run, told, seen[told.id])
            new = told.id in sent
            tell(run.id, f"sent: {len(told.rows)} rows" if new else "up to date")
        elif dry_run:
            tell(
                run.id, f"would be sent: {_lacking(client, told, seen.get(told.id))} of {len(told.rows)} rows"
            )
        else:
            owed.append((run, told))
    with ThreadPoolExecutor(PARALLEL) as pool:
        work = {pool.submit(feed.bring, run, told, seen.get(told.id)): (run, told) for run, told in owed}
        for future in as_completed(work):
            run, told = work[future]
            now = status[run.id]
            if future.result():
                where = "sent" if mode == "online" else "kept offline"
                tell(run.id, f"{where}: {len(told.rows)} rows")
            else:
                tell(run.id, now.fault if now else "was not sent", failed=True)
    return found


def _lacking(client: Client, told: Told, seen: Seen | None) -> int:
    there = set(client.row_keys(told.id)) if seen and seen.lines else set()
    return len(set(told.keys) - there)
