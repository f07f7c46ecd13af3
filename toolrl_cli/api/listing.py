"""Which sweeps there are: those that come with toolrl, those of a folder, and those with results."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from toolrl_cli.errors import LedgerError, SpecError
from toolrl_cli.planning.sweep_status import sweep_status
from toolrl_cli.report.units import Unit, checked, unit_of
from toolrl_cli.spec.sweeps.reading.shipped import own_sweeps, shipped_sweeps
from toolrl_cli.spec.sweeps.reading.source import read_unresolved
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.roots import results_root
from toolrl_cli.store.run_scores import run_scores
from toolrl_cli.store.schemas import PRINTED
from toolrl_cli.store.scores import Score
from toolrl_cli.store.sweep_folder import SweepFolder, saved_names

TELLING = ("base", "arms", "axes", "ablate", "models", "evaluate", "seeds", "include", "zip")
"""Keys of which a sweep has one, and no table, reward or file of claims."""

_COMMENT = re.compile(r"(?:^#(?! yaml-language-server).*\n)+", re.M)


def list_sweeps(*, results: Path | str | None = None) -> dict[str, Any]:
    """All sweeps that can be named here, as `toolrl list --json` prints them.

    Args:
        results: the results root; None for `$TOOLRL_RESULTS`, then `results/`.

    Returns:
        results: those that were started, the newest plan first, with name, runs, stages, done, harnesses at work and
        fault (why it cannot be read; empty); files: those of the working folder and its `sweeps/`; shipped: those that
        come with toolrl; both with name, file, about (its description, else its first comment) and fault.

    Raises:
        LedgerError: the results root cannot be read.
    """
    root = results_root(results)
    own = {name: path for name, path in own_sweeps(Path()).items() if path.resolve() not in _shipped_files()}
    return {
        "schema": PRINTED,
        "results": [_started(root, name) for name in saved_names(root)],
        "files": [told for name, path in own.items() if (told := _file(name, path))],
        "shipped": [told for name, path in shipped_sweeps().items() if (told := _file(name, path))],
    }


def list_runs(sweep: str, *, results: Path | str | None = None) -> dict[str, Any]:
    """The runs of a sweep that was started, as `toolrl list SWEEP --json` prints them.

    Args:
        sweep: its name.
        results: the results root; None for `$TOOLRL_RESULTS`, then `results/`.

    Returns:
        sweep; and runs with id, arm, seed, settings (those that tell arms apart), status (of its first stage that is
        not done), stage (that stage's kind), scores (benchmark → column → value; None where there is none) and faults
        (`BENCHMARK` or `BENCHMARK/COLUMN` → why no value is taken); and units (benchmark → column → `percent` or
        `count`).

    Raises:
        SpecError: there is no such sweep.
        LedgerError: its plan cannot be read.
    """
    root = results_root(results)
    ledger, rows = Ledger(root), []
    known: dict[tuple[str, str], list[Score]] = {}
    read_so_far: list[dict[str, dict[str, Score]]] = []
    faults_so_far: list[dict[str, str]] = []
    for found in sweep_status(SweepFolder(root, sweep).load(), ledger).runs:
        scores: dict[str, dict[str, Score]] = {}
        faults: dict[str, str] = {}
        for said in run_scores(found.run, ledger):
            if said.point is None:
                if said.fault:
                    faults[said.benchmark] = said.fault
                scores[said.benchmark] = dict(said.scores.metrics)
                for name, score in said.scores.metrics.items():
                    known.setdefault((said.benchmark, name), []).append(score)
        read_so_far.append(scores)
        faults_so_far.append(faults)
        rows.append(
            {
                "id": found.run.id,
                "arm": found.run.arm,
                "seed": found.run.seed,
                "settings": dict(found.run.settings),
                "status": found.status,
                "stage": found.stage.kind,
            }
        )
    units: dict[str, dict[str, Unit]] = {}
    for (benchmark, name), every in known.items():
        units.setdefault(benchmark, {})[name] = unit_of(benchmark, name, every)
    for row, raw, whole in zip(rows, read_so_far, faults_so_far, strict=True):
        looked = {
            b: {name: checked(s, units[b][name]) for name, s in given.items()} for b, given in raw.items()
        }
        row["scores"] = {b: {name: score.value for name, score in f.items()} for b, f in looked.items()}
        whole.update(
            {f"{b}/{name}": score.why for b, f in looked.items() for name, score in f.items() if score.fault}
        )
        row["faults"] = whole
    return {"schema": PRINTED, "sweep": sweep, "units": units, "runs": rows}


def _shipped_files() -> set[Path]:
    return {path.resolve() for path in shipped_sweeps().values()}


def _started(root: Path, name: str) -> dict[str, Any]:
    try:
        status = sweep_status(SweepFolder(root, name).load(), Ledger(root))
    except LedgerError as error:
        return {"name": name, "runs": None, "stages": None, "done": None, "harnesses": 0, "fault": error.what}
    done = sum(state.status == "succeeded" for state in status.states.values())
    return {
        "name": name,
        "runs": len(status.saved.runs),
        "stages": len(status.states),
        "done": done,
        "harnesses": len(status.harnesses),
        "fault": "",
    }


def _file(name: str, path: Path) -> dict[str, Any] | None:
    """What a file says of itself; None where it is YAML of another sort."""
    try:
        source = read_unresolved(path)
    except SpecError as error:
        return {"name": name, "file": str(path), "about": "", "fault": error.what}
    if not any(key in source.data for key in TELLING):
        return None
    about = str(source.data.get("description") or _first_sentence(source.text))
    return {"name": name, "file": str(path), "about": about, "fault": ""}


def _first_sentence(text: str) -> str:
    """Of the first comment of a file."""
    found = _COMMENT.search(text)
    words = " ".join(line.lstrip("# ") for line in found[0].splitlines()) if found else ""
    return re.split(r"(?<=\.)\s", words)[0]
