"""Results from elsewhere: a CSV of runs, as W&B's table exports it, or written by hand.

One line a run. `arm` (or W&B's `Name`) names its arm and `seed` its seed; a column `BENCHMARK/METRIC` holds a score (a
share from 0 to 1, or a count), any other column a setting by its dotted key, such as `model`, `reward`, `algorithm` or
`train`. `protocol` says how the scores were made; without it they are not compared with others.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolrl_cli.errors import SpecError
from toolrl_cli.report.results import Evaluation, Run, Score, Stage, Status, Sweep
from toolrl_cli.spec.identity import digest
from toolrl_cli.spec.stage import StageSpec

_STATES: dict[str, Status] = {
    "finished": "succeeded",
    "": "succeeded",
    "running": "running",
    "pending": "queued",
    "failed": "failed",
    "crashed": "failed",
    "killed": "stopped",
}
_OWN_COLUMNS = frozenset({"arm", "Name", "seed", "State", "protocol"})


def read_runs(path: Path) -> Sweep:
    """The runs of a CSV as a sweep named after the file; every run knows that it was imported.

    Raises:
        SpecError: no such file, not such a table, or a line that cannot be a run.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            header = list(reader.fieldnames or ())
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        what = f"cannot be read ({getattr(error, 'strerror', None) or error})"
        raise SpecError(what, str(path), "give a CSV file with one run a line") from None
    key = next((k for k in ("arm", "Name") if k in header), None)
    metrics = [c for c in header if "/" in c and not c.endswith("/") and c.split("/")[0]]
    if key is None or not metrics:
        missing = "column 'arm' (or 'Name')" if key is None else "columns BENCHMARK/METRIC"
        raise SpecError(f"has no {missing}", str(path), "for example: arm,seed,model,toolworld/overall")
    runs: dict[str, Run] = {}
    for line, row in rows:
        run = _run(row, key, metrics, path, line)
        if run.id in runs:
            raise SpecError(f"a second run {run.id!r}", f"{path}:{line}", "give every run of an arm its seed")
        runs[run.id] = run
    if not runs:
        raise SpecError("holds no runs", str(path), "one run a line below the header")
    return Sweep(path.stem, path.parent, tuple(runs.values()), ())


def _run(row: Mapping[str | None, Any], key: str, metrics: list[str], path: Path, line: int) -> Run:
    where = f"{path}:{line}"
    if None in row or None in row.values():
        raise SpecError("has not as many fields as the header", where, "quote fields that hold commas")
    arm, text = str(row[key]).strip(), str(row.get("seed") or "0").strip()
    if not arm:
        raise SpecError(f"{key!r} is empty", where, "name the arm")
    try:
        seed = int(float(text))
    except (ValueError, OverflowError):
        raise SpecError(f"seed {text!r} is not a whole number", where) from None
    word = str(row.get("State") or "").strip().lower()
    if word not in _STATES:
        raise SpecError(f"unknown State {word!r}", where, f"one of {', '.join(s for s in _STATES if s)}")
    settings = {k: str(v) for k, v in row.items() if k and k not in _OWN_COLUMNS and k not in metrics and v}
    evaluations = []
    for benchmark in dict.fromkeys(m.split("/", 1)[0] for m in metrics):
        columns = {m.split("/", 1)[1]: row[m] for m in metrics if m.startswith(f"{benchmark}/")}
        scores = {name: _score(value, where, name) for name, value in columns.items()}
        identity = {"file": path.name, "line": line, "benchmark": benchmark}
        spec = StageSpec(
            f"imported-{digest(identity)}", "evaluate", identity, config={"benchmark": benchmark}
        )
        status = _STATES[word]
        failure = ("unknown", "as imported") if status == "failed" else ("", "")
        stage = Stage(spec, path.parent / spec.id, status, failure)
        conditions = {"protocol": str(row.get("protocol") or "")}
        evaluations.append(Evaluation(stage, benchmark, None, None, conditions, scores))
    stages = tuple(e.stage for e in evaluations)
    return Run(
        f"{arm}-seed{seed}", path.stem, arm, seed, settings, stages, tuple(evaluations), imported=path.name
    )


def _score(text: Any, where: str, name: str) -> Score:
    if not str(text).strip():
        return Score(None, why="not in the import")
    try:
        value = float(text)
    except ValueError:
        raise SpecError(
            f"{name}: {text!r} is not a number", where, "leave it empty where there is none"
        ) from None
    finite = value == value and abs(value) != float("inf")
    return Score(value if finite else None, why="" if finite else f"{text} is not a number")
