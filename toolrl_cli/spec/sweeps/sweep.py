"""Reading a sweep file, with `--set` applied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from toolrl_cli.errors import SpecError
from toolrl_cli.rewards.errors import shown
from toolrl_cli.spec.run.frozen import Frozen
from toolrl_cli.spec.run.run_spec import RunSpec
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.spec.sweeps.fields import PRESET, SEED, check_setting, deeper_hint
from toolrl_cli.spec.sweeps.reading.faults import NOT_A, fault_text, telling_fault, what_to_write
from toolrl_cli.spec.sweeps.reading.interpolation import GIVEN, interpolated
from toolrl_cli.spec.sweeps.reading.key_path import KeyPath, dotted
from toolrl_cli.spec.sweeps.reading.shipped import sweep_file
from toolrl_cli.spec.sweeps.reading.source import Source, parse_value, read_unresolved, unresolved_source
from toolrl_cli.spec.sweeps.settings import WHOLE
from toolrl_cli.spec.sweeps.sweep_file import Ablate, SeedRange, SweepFile, Tracking

MAPPING = "sweep"
"""Stands for the file's name where a sweep is given as a mapping."""


@dataclass(frozen=True)
class Document:
    """A sweep file as read: validated, with where each key stands and what `--set` changed.

    Attributes:
        sweep: the validated file.
        source: the text's positions, for messages.
        overrides: dotted run settings given with `--set`; stronger than anything in the file.
        path: the file, or where it would be.
    """

    sweep: SweepFile
    source: Source
    overrides: Mapping[str, Any]
    path: Path

    def folder_of(self, place: str) -> Path:
        """Where a relative path begins that stands at a place of the file, or is given with a `--set`."""
        return Path.cwd() if place.startswith("--set ") else self.path.parent.resolve()


def read_sweep(file: Path | Mapping[str, Any], sets: Iterable[str] = ()) -> Document:
    """Read and validate a sweep file.

    Args:
        file: the YAML file, or the name of one (see `sweep_file`); or its content as a mapping, whose relative paths
            begin in the working directory.
        sets: `key=value` as given to `--set`; a first part that is a key of the sweep file (`seeds`,
            `evaluate`, …) changes the file's own value, any other is a dotted setting of every run.

    Raises:
        SpecError: with file, line, key path, and the nearest valid name.
    """
    path, source = sweep_source(file)
    return document_of(source, path, sets)


def sweep_source(file: Path | Mapping[str, Any]) -> tuple[Path, Source]:
    """The file that is meant, or where it would be, and what stands in it.

    Raises:
        SpecError: there is none, or it is no YAML of ours.
    """
    if isinstance(file, Path):
        path = sweep_file(file)
        return path, read_unresolved(path)
    return Path.cwd() / MAPPING, unresolved_source(file, MAPPING)


def document_of(source: Source, path: Path, sets: Iterable[str] = ()) -> Document:
    """What was read as a sweep; see `read_sweep`."""
    data = dict(source.data)
    overrides: dict[str, Any] = {}
    given: dict[KeyPath, str] = {}
    for text in sets:
        key, equals, raw = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise SpecError(f"{text!r} is not key=value", "--set", "for example --set rl.steps=10")
        value = parse_value(raw, f"--set {key}")
        head = key.split(".")[0]
        if head in SweepFile.model_fields:
            _check_arm(data, key)
            given[_set_in_file(data, key, value)] = key
        elif head == PRESET or head in RunSpec.model_fields:
            overrides[key] = value
        else:
            valid = {*SweepFile.model_fields, *RunSpec.model_fields} - {SEED}
            hint = deeper_hint(key) or hint_for(head, valid, "keys")
            raise SpecError(f"unknown key {head!r}", f"--set {key}", hint)
    source = replace(source, given=given)

    def place(path: KeyPath) -> str:
        return f"{GIVEN} {dotted(path[1:])}" if path[:1] == (GIVEN,) else source.where(path)

    resolved = interpolated(data, place, over=overrides)
    overrides = interpolated(overrides, place, file=data, over=overrides)
    if "name" not in resolved:
        raise SpecError("the key 'name' is missing", source.name, f"add `name: {path.stem}`")
    try:
        sweep = SweepFile.model_validate(resolved)
    except ValidationError as error:
        raise _first_fault(error, source) from None
    return Document(sweep, source, overrides, path)


def _set_in_file(data: dict[str, Any], key: str, value: Any) -> KeyPath:
    """Set a dotted key where the file has it, whichever way the file spells it; nested where it has not.

    Returns:
        Its key path, in that spelling.
    """
    node, parts = data, key.split(".")
    path: list[str] = []
    while len(parts) > 1:
        spelt = next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in node), 1)
        if spelt == len(parts) or path in WITH_DOTTED_KEYS:
            break
        name = ".".join(parts[:spelt])
        inner = node.get(name)
        if isinstance(inner, str) and name in WHOLE:
            break  # a part beside a name, which it changes
        parts = parts[spelt:]
        if inner is not None and not isinstance(inner, dict) and name not in SHORT:
            place = ".".join((*path, name))
            raise SpecError(
                f"{place} is {shown(inner)} in the file: no mapping",
                f"--set {key}",
                f"give the whole of {place}",
            )
        node[name] = dict(inner) if isinstance(inner, dict) else {}
        node = node[name]
        path.append(name)
    node[".".join(parts)] = value
    return (*path, ".".join(parts))


def _check_arm(data: Mapping[str, Any], key: str) -> None:
    """Refuse a setting of an arm, or of a change of `ablate`, that the file does not have: it would be another arm."""
    ablate = data.get("ablate")
    changes = ablate.get("change") if isinstance(ablate, Mapping) else None
    for head, arms in (("arms.", data.get("arms")), ("ablate.change.", changes)):
        rest = key.removeprefix(head)
        if rest == key or "." not in rest or not isinstance(arms, Mapping) or not arms:
            continue
        if not any(rest.startswith(f"{arm}.") for arm in arms):
            name = rest.partition(".")[0]
            raise SpecError(f"no arm {name!r}", f"--set {key}", hint_for(name, map(str, arms), "arms"))


SHORT = ("seeds",)
"""What a file may give as a mapping or shorter."""

WITH_DOTTED_KEYS = (["axes"], ["zip"])
"""Below these a setting's dotted name is one key."""


def _first_fault(error: ValidationError, source: Source) -> SpecError:
    fault = telling_fault(error)
    path: KeyPath = tuple(p for p in fault["loc"] if isinstance(p, int) or p not in _UNION_MEMBERS)
    if fault["type"] == "extra_forbidden":
        key = str(path[-1])
        blocks: dict[str, type[Frozen]] = {"ablate": Ablate, "seeds": SeedRange, "tracking": Tracking}
        valid = SweepFile if len(path) == 1 else blocks.get(str(path[0]), Ablate)
        hint = (deeper_hint(key) if len(path) == 1 else "") or hint_for(key, valid.model_fields, "keys")
        if path == (SEED,):
            hint = "list it under `seeds:`"
        elif len(path) == 1 and _is_setting(key.removeprefix("base.")):
            hint = f"{key.removeprefix('base.')!r} is a run setting: put it under base:, axes: or an arm"
        return SpecError(f"unknown key {key!r}", source.where(path), hint)
    return SpecError(fault_text(fault), source.where(path), _hint(fault))


def _is_setting(key: str) -> bool:
    try:
        check_setting(key, "")
    except SpecError:
        return False
    return True


def _hint(fault: Mapping[str, Any]) -> str:
    block, *deeper = fault["loc"]
    if block == "seeds" and "range" in deeper:
        return "a range is [first, end], for example {range: [0, 5]} for 0 to 4"
    if fault["input"] is not None and NOT_A.get(fault["type"]) == "a mapping":
        if block in ("arms", "ablate") and deeper:
            return "a name and its settings, for example `coarse: {reward: coarse}`"
        if block in EXAMPLES:
            return f"for example `{block}: {EXAMPLES[block]}`"
    hint = what_to_write(fault, lambda items: _takes(block, deeper, items))
    return hint or (
        f"for example `{block}: {EXAMPLES[block]}`" if block in EXAMPLES else "see `toolrl schema`"
    )


def _takes(block: str, deeper: Sequence[str | int], items: list[Any]) -> bool:
    """Whether a key of the file, or one below it, may be this list."""
    if block in ("axes", "zip", "seeds") and not items:
        return False
    whole = {deeper[0]: items} if block in ("axes", "zip") else items
    try:
        TypeAdapter[Any](SweepFile.model_fields[block].annotation or Any).validate_python(whole)
    except ValidationError:
        return False
    return True


EXAMPLES = {
    "base": "{preset: tiny_grpo}",
    "seeds": "[1, 2, 3]",
    "models": "[tiny_base]",
    "evaluate": "[toolworld]",
    "tables": "[toolworld]",
    "exclude": "[{reward: coarse}]",
    "include": "[{arm: cold, train: [rl]}]",
    "arms": "{coarse: {reward: coarse}}",
    "axes": "{reward: [original, coarse]}",
    "zip": "{rl.lr: [1e-6, 2e-6], rl.steps: [105, 50]}",
    "ablate": "{baseline: {}, change: {coarse: {reward: coarse}}}",
    "when": "{rl.critic_lr: {algorithm: ppo}}",
}
"""Block of the file → how it may look, for where it is no mapping, or no list."""

_UNION_MEMBERS = ("SeedRange", "list[constrained-int]", "list[int]", "str", "dict[str,any]")
