"""Groups runs into arms over seeds, and arms into the rows of a table."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from toolrl_cli.report.sources.apart import differences
from toolrl_cli.report.sources.results import Run, Stage, Sweep, short_name
from toolrl_cli.spec.identity import digest

PER_RUN = ("seed", "sweep")
"""What runs of one arm may differ in."""

_STRETCHED = re.compile(r"-\d+-steps$")
"""Suffix of a reward whose schedule was stretched to another number of steps; it is the same design."""


@dataclass(frozen=True)
class Arm:
    """Runs that differ only in their seed; `name` is unique among the sweeps reported together.

    Attributes:
        aliases: other names under which the same evaluations stand in these sweeps.
    """

    name: str
    runs: tuple[Run, ...]
    aliases: tuple[str, ...] = ()

    def lookup(self, key: str) -> Any:
        """A setting by dotted key; `arm` is this arm's unique name."""
        return self.name if key == "arm" else self.runs[0].lookup(key)

    @property
    def model(self) -> str:
        return self.runs[0].model


def collect_arms(sweeps: Sequence[Sweep]) -> list[Arm]:
    """The arms of one or several sweeps, in order.

    Arms of the same name in two sweeps are one arm if they differ only in the seed (a sweep that adds seeds to an
    earlier one). Otherwise each gets its sweep's name in brackets. Imported runs of one file and name are one arm if
    they differ only in the seed; otherwise each gets its settings in brackets. Arms whose evaluations are the same
    stages are one, under the first of their names (see `_same`); imported scores of benchmarks that the one arm of
    that name and these settings was not evaluated on are that arm's.
    """
    named: dict[str, dict[str, list[Run]]] = {}
    for sweep in sweeps:
        signatures: dict[str, str] = {}
        for run in sweep.runs:
            if run.imported:
                signature = digest([run.sweep, run.parting])
            elif len(sweeps) > 1:
                signature = signatures.get(run.arm) or signatures.setdefault(run.arm, _signature(run))
            else:
                signature = ""
            named.setdefault(run.arm, {}).setdefault(signature, []).append(run)
    found = [(name, runs) for name, variants in named.items() for runs in variants.values()]
    merged: list[tuple[list[str], list[Run]]] = []
    for name, runs in found:
        twin = next((one for one in merged if _same(one[1], runs)), None)
        if twin is None:
            fitting = [one for one in merged if _joins(one, name, runs)]
            twin = fitting[0] if len(fitting) == 1 else None
        if twin is None:
            merged.append(([name], list(runs)))
        else:
            twin[0].append(name)
            twin[1].extend(runs)
    arms = []
    for all_names, runs in merged:
        name, *others = dict.fromkeys(all_names)
        told = _told_apart(runs, [one for names, one in merged if names[0] == name])
        arms.append(Arm(f"{name} [{told}]" if told else name, tuple(runs), tuple(others)))
    return arms


def _told_apart(runs: Sequence[Run], namesakes: Sequence[Sequence[Run]]) -> str:
    """What tells an arm from others of its name: its sweep, and within one file the settings that differ."""
    beside = [one for one in namesakes if one[0].sweep == runs[0].sweep]
    told = [runs[0].sweep] if len(beside) < len(namesakes) else []
    if len(beside) > 1:
        told.append(differences([one[0].parting for one in beside])[beside.index(runs)])
    return ", ".join(told)


def _evaluated(runs: Iterable[Run]) -> dict[tuple[int, str], set[str]]:
    """(seed, benchmark) → its evaluations."""
    found: dict[tuple[int, str], set[str]] = {}
    for run in runs:
        for evaluation in run.evaluations:
            found.setdefault((run.seed, evaluation.benchmark), set()).add(evaluation.stage.id)
    return found


def _same(a: Sequence[Run], b: Sequence[Run]) -> bool:
    """Whether two arms are the same stages: wherever both were evaluated, and somewhere both were.

    One may have more seeds or benchmarks, but not other evaluations of the same seed on the same benchmark.
    """
    one, other = _evaluated(a), _evaluated(b)
    common = one.keys() & other.keys()
    return bool(common) and all(one[place] == other[place] for place in common)


def _joins(arm: tuple[Sequence[str], Sequence[Run]], name: str, runs: Sequence[Run]) -> bool:
    """Whether imported runs (or an arm after them) are further scores of this arm: same name, other benchmarks."""
    names, others = arm
    imported = all(run.imported for run in runs) or all(run.imported for run in others)
    both = all(run.imported for run in (*runs, *others))
    if name not in names or not imported or both:
        return False
    benchmarks = [{e.benchmark for run in side for e in run.evaluations} for side in (others, runs)]
    return not benchmarks[0] & benchmarks[1] and not any(_contradict(one, runs[0]) for one in others)


def _contradict(a: Run, b: Run) -> bool:
    """Whether both runs know some setting that an import names, and have it otherwise."""
    keys = {key.removesuffix(".name") for key in (*a.parting, *b.parting)}
    for key in keys:
        ours, theirs = (_plain(run.lookup(key), key) for run in (a, b))
        if ours not in (None, "") and theirs not in (None, "") and not _alike(ours, theirs, key):
            return True
    return False


def _alike(a: Any, b: Any, key: str) -> bool:
    """Whether two settings are one, of which one may be a cell of a file: text, and a number in another form."""
    with contextlib.suppress(TypeError, ValueError):
        return float(a) == float(b)
    names = [setting_text(value).strip().lower() for value in (a, b)]
    return len({_STRETCHED.sub("", name) for name in names} if key == "reward" else set(names)) == 1


def fitting(arms: Iterable[Arm], conditions: Mapping[str, Any]) -> list[Arm]:
    """The arms that meet every condition of a table's `filter` or a row's `where`.

    Conditions on what runs of one arm differ in leave the arm with those runs alone that meet them.
    """
    of_runs = {key: wanted for key, wanted in conditions.items() if key in PER_RUN}
    of_arms = {key: wanted for key, wanted in conditions.items() if key not in PER_RUN}
    found = []
    for arm in arms:
        runs = tuple(r for r in arm.runs if all(_meets(r, arm, key, of_runs[key]) for key in of_runs))
        if runs and all(_meets(arm, arm, key, of_arms[key]) for key in of_arms):
            found.append(replace(arm, runs=runs))
    return found


def holds(arm: Arm, conditions: Mapping[str, Any]) -> bool:
    """Whether an arm, or one of its runs, meets every condition."""
    return bool(fitting([arm], conditions))


def grouped(arms: Iterable[Arm], key: str | None) -> dict[str, list[Arm]]:
    """Value of the grouping setting as text, in order of appearance → the arms with it, with those runs alone.

    One empty group without a key, or without arms.
    """
    found: dict[str, list[Arm]] = {}
    for arm in arms:
        for value, part in by_value(arm, key).items():
            found.setdefault(value, []).append(part)
    return found or {"": []}


def by_value(arm: Arm, key: str | None) -> dict[str, Arm]:
    """A setting's values as text → the arm with the runs that have it; one unless it is what runs differ in."""
    if key is None:
        return {"": arm}
    if key not in PER_RUN:
        return {str(_plain(arm.lookup(key), key)): arm}
    runs: dict[str, list[Run]] = {}
    for run in arm.runs:
        runs.setdefault(str(run.lookup(key)), []).append(run)
    return {value: replace(arm, runs=tuple(found)) for value, found in runs.items()}


def varying_settings(arms: Sequence[Arm]) -> list[str]:
    """Training settings in which the arms differ, by dotted key."""
    flat = [_flat(arm) for arm in arms]
    keys = sorted({key for one in flat for key in one})
    return [key for key in keys if len({one.get(key) for one in flat}) > 1]


def setting_text(value: Any) -> str:
    """A setting's value as text; `–` where there is none."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _flat(arm: Arm) -> dict[str, str]:
    flat: dict[str, str] = {"train": str(arm.lookup("train"))}

    def walk(value: Any, path: str) -> None:
        if isinstance(value, Mapping) and value:
            for key, inner in value.items():
                walk(inner, f"{path}.{key}" if path else str(key))
        else:
            flat[path] = setting_text(value)

    for stage in arm.runs[0].training:
        walk({k: v for k, v in stage.spec.config.items() if k not in ("seed", "resources")}, "")
    return flat


def _meets(one: Arm | Run, arm: Arm, key: str, wanted: Any) -> bool:
    value = _plain(one.lookup(key), key)
    options = wanted if isinstance(wanted, list) else [wanted]
    if key == "arm":
        names = [str(value), arm.runs[0].arm, *arm.aliases]
        asked = [str(option).lower() for option in options]
        # an exact name first: of two models toolrl itself calls an arm `grpo [model A]`
        return any(name.lower() == one or fnmatchcase(name.lower(), one) for name in names for one in asked)
    values = [value]
    if key == "reward" and isinstance(value, str):
        values.append(_STRETCHED.sub("", value))
    return value == wanted or any(_equal(v, _plain(option, key)) for v in values for option in options)


def _plain(value: Any, key: str) -> Any:
    """The short name of a model or reward, which is the same for all forms in which a sweep can give it."""
    if isinstance(value, Mapping) or key == "model":
        return short_name(value)
    return value


def _equal(value: Any, option: Any) -> bool:
    """Whether a setting is what is wanted; case does not matter, nor do quotes around a number or a truth value."""
    sides = (value, option)
    if any(isinstance(side, str) for side in sides):
        if any(type(side) in (int, float) for side in sides):
            with contextlib.suppress(ValueError):
                return float(value) == float(option)
        return None not in sides and setting_text(value).lower() == setting_text(option).lower()
    return bool(value == option) and isinstance(value, bool) == isinstance(option, bool)


def _signature(run: Run) -> str:
    """A hash of what the run trains and evaluates, without the seed."""
    by_id = {s.id: s for s in run.stages}
    known: dict[str, str] = {}

    def of(stage: Stage) -> str:
        if stage.id not in known:
            identity = {k: v for k, v in stage.spec.identity.items() if k != "seed"}
            inputs = {role: of(by_id[i]) if i in by_id else i for role, i in stage.spec.inputs.items()}
            known[stage.id] = digest([stage.kind, identity, inputs])
        return known[stage.id]

    return digest(sorted(of(stage) for stage in run.stages))
