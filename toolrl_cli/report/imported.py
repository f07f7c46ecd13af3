"""Results from elsewhere, one run a record: W&B's exports, or a CSV written by hand.

A record's `arm` (or W&B's `Name`) names its arm and `seed` its seed; a field `BENCHMARK/METRIC` holds a score (a share
from 0 to 1, or a count), any other field a setting by its dotted key, such as `model`, `reward`, `algorithm`, `train`.
`protocol` says how the scores were made; without it they are not compared with others. `records` reads the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from toolrl_cli.errors import SpecError
from toolrl_cli.report.records import Record, read_records
from toolrl_cli.report.results import Evaluation, Origin, Run, Stage, Status, Sweep
from toolrl_cli.report.scores import Score
from toolrl_cli.report.table_spec import load_table, shipped_tables
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
    "preempting": "stopped",
    "preempted": "stopped",
}
_OWN_FIELDS = frozenset({"arm", "Name", "seed", "State", "protocol"})


def read_runs(path: Path) -> Sweep:
    """The runs of a file as a sweep named after the file; every run knows that it was imported.

    Raises:
        SpecError: no such file, not such a table, or a record that cannot be a run.
    """
    records = read_records(path)
    fields = list(dict.fromkeys(field for record in records for field in record.fields))
    key = next((k for k in ("arm", "Name") if k in fields), None)
    metrics = [f for f in fields if "/" in f and not f.endswith("/") and f.split("/")[0]]
    known = _benchmarks()
    ours = [m for m in metrics if m.split("/", 1)[0] in known]
    # W&B exports every curve's last value under names with a slash, too: where known benchmarks are, they are meant.
    metrics = ours or metrics
    if key is None or not metrics:
        missing = "field 'arm' (or 'Name')" if key is None else "fields BENCHMARK/METRIC"
        raise SpecError(f"has no {missing}", str(path), "for example: arm,seed,model,toolworld/overall")
    runs: dict[str, Run] = {}
    for record in records:
        run = _run(record, key, metrics, path)
        if run.id in runs:
            raise SpecError(f"a second run {run.id!r}", record.where, "give every run of an arm its seed")
        runs[run.id] = run
    return Sweep(path.stem, path.parent, tuple(runs.values()), ())


def _benchmarks() -> frozenset[str]:
    """Benchmarks of the shipped tables."""
    return frozenset(b for name in shipped_tables() for b in load_table(name).benchmarks)


def _run(record: Record, key: str, metrics: Iterable[str], path: Path) -> Run:
    row, where = record.fields, record.where
    arm, text = _text(row.get(key)), _text(row.get("seed")) or "0"
    if not arm:
        raise SpecError(f"{key!r} is empty", where, "name the arm")
    try:
        seed = int(float(text))
    except (ValueError, OverflowError):
        raise SpecError(f"seed {text!r} is not a whole number", where) from None
    word = _text(row.get("State")).lower()
    if word not in _STATES:
        raise SpecError(f"unknown State {word!r}", where, f"one of {', '.join(s for s in _STATES if s)}")
    settings = {
        k: _text(v) for k, v in row.items() if k not in _OWN_FIELDS and "/" not in k and _text(v) != ""
    }
    evaluations = []
    for benchmark in dict.fromkeys(m.split("/", 1)[0] for m in metrics):
        columns = {m.split("/", 1)[1]: row.get(m) for m in metrics if m.startswith(f"{benchmark}/")}
        scores = {name: _score(value, where, name) for name, value in columns.items()}
        identity = {"file": path.name, "line": record.number, "benchmark": benchmark}
        spec = StageSpec(
            f"imported-{digest(identity)}", "evaluate", identity, config={"benchmark": benchmark}
        )
        status = _STATES[word]
        failure = ("unknown", "as imported") if status == "failed" else ("", "")
        stage = Stage(spec, path.parent / spec.id, status, failure)
        conditions = {"protocol": _text(row.get("protocol"))}
        evaluations.append(Evaluation(stage, benchmark, Origin(), conditions, scores))
    stages = tuple(e.stage for e in evaluations)
    name = f"{arm}-seed{seed}"
    return Run(name, path.stem, arm, seed, _named(settings), stages, tuple(evaluations), imported=path.name)


def _named(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings under the names that tables ask for.

    toolrl's own W&B runs hold a run's settings by stage (`rl.reward.name`, `sft.sft.split`): those of its training are
    its settings, and which stages there are says how it was trained.
    """
    found = dict(settings)
    for kind in ("evaluate", "sft", "rl"):
        prefix = f"{kind}."
        found |= {k[len(prefix) :]: v for k, v in settings.items() if k.startswith(prefix) and "." in k}
    found |= settings
    if "train" not in found and any(k.startswith("evaluate.") for k in settings):
        rl, own_sft = "rl.algorithm" in settings, settings.get("sft.sft.split", "base") != "base"
        found["train"] = "+".join(k for k, is_there in (("sft", own_sft), ("rl", rl)) if is_there) or "none"
    return found


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _score(value: Any, where: str, name: str) -> Score:
    text = _text(value)
    if not text:
        return Score(None, why="not in the import")
    try:
        number = float(text)
    except ValueError:
        hint = "leave it empty where there is none"
        raise SpecError(f"{name}: {text!r} is not a number", where, hint) from None
    finite = number == number and abs(number) != float("inf")
    return Score(number if finite else None, why="" if finite else f"{text} is not a number")
