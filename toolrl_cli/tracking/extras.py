"""What goes along with a run that is over: samples of what the model wrote, and checkpoints where asked."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolrl_cli.spec.identity import digest
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.spec.secrets import scrubbed
from toolrl_cli.spec.sweeps.sweep_file import Tracking
from toolrl_cli.store import jsonl
from toolrl_cli.store.files import explained
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.sweep_folder import SavedSweep
from toolrl_cli.tracking.place import Place
from toolrl_cli.tracking.told import MAX_GROUP, MAX_TAG, Told

if TYPE_CHECKING:
    from toolrl_cli.tracking.client import Live

REPORT = "report"
"""Name of the W&B run that a sweep's report belongs to."""
SAMPLES = 32
LONGEST = 2000  # characters of a text


def attach(live: Live, tracking: Tracking, run: PlannedRun, ledger: Ledger, *, offline: bool = False) -> bool:
    """Log the samples and the artifacts of a run.

    Offline, artifacts are left out: the client keeps their content in a folder of its own on this machine, from where
    it does not come along when the results are moved.

    Returns:
        Whether nothing was left out.

    Raises:
        TrackingError: the client refuses.
    """
    whole = True
    if not run.stages:
        live.artifact(f"{run.sweep}-report", REPORT, report_folder(run.sweep, ledger.results), texts=True)
    for stage in run.stages:
        folder = ledger.folder(stage).path
        if stage.kind == "rl" and (found := _samples(folder)):
            columns = sorted({name for row in found for name in row})
            live.table("samples", columns, [[row.get(name) for name in columns] for row in found])
        model = folder / "output" / "model"
        if stage.kind == "export" and "checkpoints" in tracking.artifacts and model.is_dir():
            whole = whole and not offline
            if not offline:
                live.artifact(f"{stage.id}-model", "model", model)
    return whole


def report_told(
    saved: SavedSweep, results: Path, place: Place, tracking: Tracking
) -> tuple[PlannedRun, Told] | None:
    """The W&B run of a sweep's report, and what W&B is told of it; None where there is none, or it is not asked for.

    Raises:
        LedgerError: the report cannot be read.
    """
    folder = report_folder(saved.name, results)
    if "report" not in tracking.artifacts or not folder.is_dir():
        return None
    run = PlannedRun(saved.name, REPORT, REPORT, 0, {}, ())
    with explained(folder):
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        content = {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
        }
    told = Told(
        id=place.wandb_id(run),
        name=REPORT,
        group=saved.name[:MAX_GROUP],
        job_type=REPORT,
        tags=tuple(scrubbed(tag)[:MAX_TAG] for tag in tracking.tags),
        notes=scrubbed(tracking.notes or saved.description),
        config={"sweep": saved.name},
        rows=(),
        summary={"files": digest(content)},
        over=True,
        begun=True,
    )
    return run, told


def report_folder(sweep: str, results: Path) -> Path:
    """Where the report of a sweep is."""
    return results / "sweeps" / sweep / "report"


def _samples(stage: Path) -> list[dict[str, Any]]:
    """Responses of the newest step that was written down, each with its score and those of the reward's parts."""
    files = [path for kind in ("rollouts", "validation") for path in stage.glob(f"attempts/*/{kind}/*.jsonl")]
    by_age = sorted(files, key=lambda p: (int(p.parent.parent.name), p.stem.zfill(12)))
    if not by_age:
        return []
    found = []
    for row in jsonl.read_jsonl(by_age[-1]):
        shown = scrubbed({key: value for key, value in row.items() if _plain(value)})
        # cut afterwards: of a secret that the cut goes through, the rest would not be known as one
        found.append({key: v[:LONGEST] if isinstance(v, str) else v for key, v in shown.items()})
        if len(found) == SAMPLES:
            break
    return found


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float))
