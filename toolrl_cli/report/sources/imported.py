"""Imports results from elsewhere, one run a record: W&B's exports, or a CSV written by hand.

A record's `arm` (or W&B's `Name`) names its arm and `seed` its seed; a field `BENCHMARK/METRIC` holds a score (a share
from 0 to 1, or a count), any other field a setting by its dotted key, such as `model`, `reward`, `algorithm`, `train`.
`protocol` names how the scores were computed; scores without it are compared only with each other. `records` reads
the files.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toolrl_cli.errors import Mistakes, SpecError
from toolrl_cli.report.sources.apart import differences, parting
from toolrl_cli.report.sources.records import Record, read_records
from toolrl_cli.report.sources.results import Evaluation, Origin, Run, Stage, Status, Sweep
from toolrl_cli.report.units import known_units
from toolrl_cli.spec.identity import digest
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.store.scores import Score

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
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_OWN_FIELDS = frozenset({"arm", "Name", "seed", "State", "protocol"})


def read_runs(
    path: Path, columns: Mapping[str, str] | None = None, names: tuple[str, str] | None = None
) -> Sweep:
    """The runs of a file as a sweep named after the file; they are marked as imported.

    Args:
        columns: field → BENCHMARK/METRIC, for scores under other names.
        names: the sweep's and the file's, where another file has the same (see `apart.file_names`).

    Raises:
        SpecError: the file does not exist, or has no such records.
        Mistakes: records that are not runs, and cells that are not scores, each with row and column.
    """
    records, faults = read_records(path)
    if columns:
        records = _renamed(records, columns, path)
    fields = list(dict.fromkeys(field for record in records for field in record.fields))
    key = next((k for k in ("arm", "Name") if k in fields), None)
    metrics = [f for f in fields if "/" in f and not f.endswith("/") and f.split("/")[0]]
    known = known_units()
    benchmarks = {name.split("/", 1)[0] for name in known}
    faults += [*_misspelt(metrics, known, path), *_other_case(fields, path)]
    ours = [m for m in metrics if m.split("/", 1)[0] in benchmarks]
    wandb = key != "arm" or "Name" in fields
    if wandb:
        # W&B also exports last values of curves under names with a slash, so known benchmarks are preferred
        metrics = ours or metrics
    if records and (key is None or not metrics):
        missing = "field 'arm' (or 'Name')" if key is None else "fields BENCHMARK/METRIC"
        raise SpecError(f"has no {missing}", str(path), "for example: arm,seed,model,toolworld/overall")
    runs: dict[tuple[str, str], Run] = {}
    given: dict[str, str] = {}
    source = _Source(path.parent, *(names or (path.stem, path.name)), digest_of(path), wandb)
    for record in records:
        run = _run(record, key or "arm", metrics, known, source, faults)
        if run is None:
            continue
        name = _text(record.fields.get(key or "arm"))
        if given.setdefault(run.arm, name) != name:
            what = f"{name!a} and {given[run.arm]!a} are both {run.arm!r} as arms"
            faults.append(
                SpecError(what, record.where, "rename one: letters, digits, '.', '_' and '-' count")
            )
        place = run.id, digest(run.parting)
        twin = runs.get(place)
        if twin is not None and _finished(twin) and _finished(run):
            faults.append(
                SpecError(f"a second run {run.id!r}", record.where, "give every run of an arm its seed")
            )
        if twin is None or _finished(run) or not _finished(twin):
            runs[place] = run  # of a run that crashed and the one that took its place, the one that finished
    if faults:
        raise Mistakes(faults)
    return Sweep(source.sweep, _with_ids(list(runs.values())), ())


@dataclass(frozen=True)
class _Source:
    """Where runs are from; `content` identifies the file wherever it lies, `wandb` says whether W&B wrote it."""

    folder: Path
    sweep: str
    name: str
    content: str
    wandb: bool


def digest_of(path: Path) -> str:
    """What identifies a file's content.

    Raises:
        SpecError: it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise SpecError(f"cannot be read ({error.strerror})", str(path), "name a file") from None


def _with_ids(runs: Sequence[Run]) -> tuple[Run, ...]:
    """The runs; where two have one name and seed, their ids hold the settings in which they differ."""
    found = []
    for run in runs:
        twins = [other for other in runs if other.id == run.id]
        if len(twins) > 1:
            told = differences([other.parting for other in twins])[twins.index(run)]
            run = replace(run, id=f"{run.arm}-{_cleaned(told)}-seed{run.seed}")
        found.append(run)
    return tuple(found)


def _renamed(records: Sequence[Record], columns: Mapping[str, str], path: Path) -> list[Record]:
    """The records with some fields under the names of columns.

    Raises:
        SpecError: no record has such a field, or its new name is there already, or is no BENCHMARK/METRIC.
    """
    fields = {field for record in records for field in record.fields}
    known = known_units()
    benchmarks = {name.split("/", 1)[0] for name in known}
    for field, column in columns.items():
        if field not in fields:
            raise SpecError(f"has no field {field!r}", str(path), hint_for(field, sorted(fields), "fields"))
        if column in fields:
            raise SpecError(f"has a field {column!r} already", str(path), f"leave out --map {field}={column}")
        if not all(column.partition("/")[::2]):
            raise SpecError(
                f"{column!r} is no BENCHMARK/METRIC", "--map", f"for example {field}=toolworld/overall"
            )
        if column not in known and column.split("/", 1)[0] in benchmarks:
            raise SpecError(f"no table reads {column!r}", "--map", hint_for(column, [*known], "columns"))
        if list(columns.values()).count(column) > 1:
            raise SpecError(f"two fields are mapped to {column!r}", "--map", "leave one of the two out")
    return [
        replace(record, fields={columns.get(key, key): value for key, value in record.fields.items()})
        for record in records
    ]


def _finished(run: Run) -> bool:
    return all(stage.status == "succeeded" for stage in run.stages)


def _cleaned(name: str) -> str:
    """A name as a sweep's arms have them: letters, digits, dots, underscores and dashes."""
    return _UNSAFE.sub("-", name).strip("-.")[:120].rstrip("-.")


def _misspelt(metrics: Sequence[str], known: Mapping[str, str], path: Path) -> list[SpecError]:
    """Fields that no table reads and that resemble a missing one: other case, or a part of a summary."""
    faults = []
    for metric in metrics:
        near = metric.lower().split(".", 1)[0]
        if metric not in known and near in known and near not in metrics:
            faults.append(SpecError(f"no table reads {metric!r}", str(path), f"name the field {near!r}"))
    return faults


def _other_case(fields: Sequence[str], path: Path) -> list[SpecError]:
    """Fields that are read under another case only, such as `Seed`, where the right one is not there."""
    meant = {name.lower(): name for name in ("arm", "seed", "protocol", "model")}
    return [
        SpecError(f"the field {field!r} is not read", str(path), f"name it {meant[field.lower()]!r}")
        for field in fields
        if field not in meant.values() and field.lower() in meant and meant[field.lower()] not in fields
    ]


def _run(
    record: Record,
    key: str,
    metrics: Sequence[str],
    units: Mapping[str, str],
    source: _Source,
    faults: list[SpecError],
) -> Run | None:
    """A record as a run; None if it names none. Errors are added to `faults`."""
    row = record.fields

    def fault(field: str, what: str, hint: str = "") -> None:
        faults.append(SpecError(what, f"{record.where}, {field}", hint))

    given = _text(row.get(key))
    arm = _cleaned(given)
    if not given:
        fault(key, "is empty", "name the arm")
    elif not arm:
        fault(key, f"{given!a} has no letter or digit", "name the arm")
    seed = _seed(_text(row.get("seed")) or "0")
    if seed is None:
        fault("seed", f"{_text(row.get('seed'))!r} is not a whole number")
    word = _text(row.get("State")).lower()
    if word not in _STATES:
        fault("State", f"unknown state {word!r}", f"one of {', '.join(s for s in _STATES if s)}")
    status = _STATES.get(word, "succeeded")
    scores: dict[str, dict[str, Score]] = {}
    for metric in metrics:
        benchmark, name = metric.split("/", 1)
        score, wrong, hint = _score(_text(row.get(metric)), units.get(metric) == "percent")
        if wrong:
            fault(metric, wrong, hint)
        scores.setdefault(benchmark, {})[name] = score
    if not arm or seed is None:
        return None
    evaluations = []
    for benchmark, found in scores.items():
        own = not any(name.startswith(f"{benchmark}/") for name in units)
        identity = {"file": source.content, "line": record.number, "benchmark": benchmark}
        spec = StageSpec(
            f"imported-{digest(identity)}", "evaluate", identity, config={"benchmark": benchmark, "own": own}
        )
        failure = ("unknown", "as imported") if status == "failed" else ("", "")
        stage = Stage(spec, source.folder / spec.id, status, failure)
        conditions = {"protocol": _text(row.get("protocol"))}
        evaluations.append(Evaluation(stage, benchmark, Origin(), conditions, found))
    settings = {
        k: _text(v) for k, v in row.items() if k not in _OWN_FIELDS and "/" not in k and _text(v) != ""
    }
    named = _named(settings)
    return Run(
        id=f"{arm}-seed{seed}",
        sweep=source.sweep,
        arm=arm,
        seed=seed,
        settings=named,
        stages=tuple(e.stage for e in evaluations),
        evaluations=tuple(evaluations),
        imported=source.name if arm == given else f"{source.name}, where it is {given!a}",
        parting=parting(named, source.wandb),
    )


def _named(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings under the names that tables use.

    toolrl's own W&B runs have settings by stage (`rl.reward.name`, `sft.sft.split`): those of the training stages are
    the run's settings, and the set of stages tells how it was trained.
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


def _seed(text: str) -> int | None:
    """A whole number, which spreadsheets may write as `1.0`."""
    try:
        value = float(text)
        return int(value) if value == int(value) else None
    except (ValueError, OverflowError):
        return None


def _score(text: str, share: bool) -> tuple[Score, str, str]:
    """A cell as a score, or the fault and what to do about it."""
    absent = Score(None, why="not in the import")
    if not text:
        return absent, "", ""
    try:
        value = float(text)
    except ValueError:
        return absent, f"{text!r} is not a number", "leave it empty where there is none"
    if not math.isfinite(value):
        return Score(None, why=f"{text} is not a number"), "", ""
    if share and not 0 <= value <= 1:
        return absent, f"{text} is no share from 0 to 1", "divide percentages by 100"
    return Score(value), "", ""
