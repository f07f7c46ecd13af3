"""The sweep file: its schema, and reading it with `--set` applied."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.fields import deeper_hint
from toolrl_cli.spec.models import Frozen, RunSpec, Whole
from toolrl_cli.spec.source import KeyPath, Source, parse_value, read_yaml
from toolrl_cli.spec.suggest import hint_for

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class SeedRange(Frozen):
    """`{range: [0, 5]}`: 0, 1, 2, 3, 4."""

    range: tuple[Whole, Whole]


class Ablate(Frozen):
    """A baseline and one change at a time."""

    baseline: dict[str, Any] = Field({}, description="settings of the arm `baseline`")
    change: dict[str, dict[str, Any]] = Field(description="arm name → the settings that differ")


class SweepFile(Frozen):
    """One YAML file: a base, axes or named arms, seeds, evaluations."""

    name: str
    description: str = ""
    base: dict[str, Any] = Field({}, description="settings of every run; `preset:` names a shipped base")
    models: list[str | dict[str, Any]] = Field([], description="shorthand for the outermost axis `model`")
    axes: dict[str, list[Any]] = Field({}, description="dotted key → values; all combinations")
    zip: dict[str, list[Any]] = Field({}, description="dotted key → values; paired by position")
    arms: dict[str, dict[str, Any]] = Field(
        {}, description="arm name → settings; for tables that are no grid"
    )
    ablate: Ablate | None = None
    when: dict[str, dict[str, Any]] = Field({}, description="axis → condition under which it applies")
    exclude: list[dict[str, Any]] = Field([], description="conditions; a cell that one matches is left out")
    include: list[dict[str, Any]] = Field(
        [], description="further cells: settings, and `arm:` for their name"
    )
    seeds: list[Whole] | SeedRange = Field([1])
    evaluate: list[str] = Field([], description="benchmarks that every run is evaluated on")
    tables: list[str] = Field([], description="tables of the report, by name or file")

    @field_validator("name")
    @classmethod
    def _name_is_a_folder(cls, name: str) -> str:
        if not NAME.fullmatch(name) or len(name) > 80:
            raise ValueError(f"{name!r} cannot name a folder: letters, digits, '.', '_' and '-' only")
        return name

    def seed_values(self) -> Sequence[int]:
        """The seeds, in order; a range is not spelt out."""
        if isinstance(self.seeds, SeedRange):
            return range(*self.seeds.range)
        return self.seeds


@dataclass(frozen=True)
class Document:
    """A sweep file as read: validated, with where each key stands and what `--set` changed.

    Attributes:
        sweep: the validated file.
        source: the text's positions, for messages.
        overrides: dotted run settings given with `--set`; stronger than anything in the file.
        path: the file.
    """

    sweep: SweepFile
    source: Source
    overrides: Mapping[str, Any]
    path: Path


def read_sweep(path: Path, sets: Iterable[str] = ()) -> Document:
    """Read and validate a sweep file.

    Args:
        path: the YAML file.
        sets: `key=value` as given to `--set`; a first part that is a key of the sweep file (`seeds`,
            `evaluate`, …) changes the file's own value, any other is a dotted setting of every run.

    Raises:
        SpecError: with file, line, key path, and the nearest valid name.
    """
    source = read_yaml(path)
    data = dict(source.data)
    overrides: dict[str, Any] = {}
    for text in sets:
        key, equals, raw = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise SpecError(f"{text!r} is not key=value", "--set", "for example --set rl.steps=10")
        value = parse_value(raw, f"--set {key}")
        head = key.split(".")[0]
        if head in SweepFile.model_fields:
            _set_in_file(data, key.split("."), value)
        elif head in RunSpec.model_fields or head == "preset":
            overrides[key] = value
        else:
            valid = [*SweepFile.model_fields, *RunSpec.model_fields]
            hint = deeper_hint(key) or hint_for(head, valid, "keys")
            raise SpecError(f"unknown key {head!r}", f"--set {key}", hint)
    if "preset" in overrides:
        data["base"] = {**(data.get("base") or {}), "preset": overrides.pop("preset")}
    if "name" not in data:
        raise SpecError("the key 'name' is missing", source.name, f"add `name: {path.stem}`")
    try:
        sweep = SweepFile.model_validate(data)
    except ValidationError as error:
        raise _first_fault(error, source) from None
    return Document(sweep, source, overrides, path)


def _set_in_file(data: dict[str, Any], parts: list[str], value: Any) -> None:
    """Set a dotted key where the file has it, whichever way the file spells it; nested where it has not."""
    node = data
    while len(parts) > 1:
        spelt = next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in node), 1)
        if spelt == len(parts):
            break
        key, parts = ".".join(parts[:spelt]), parts[spelt:]
        inner = node.get(key)
        node[key] = dict(inner) if isinstance(inner, dict) else {}
        node = node[key]
    node[".".join(parts)] = value


def _first_fault(error: ValidationError, source: Source) -> SpecError:
    fault = telling_fault(error)
    path: KeyPath = tuple(p for p in fault["loc"] if isinstance(p, int) or p not in _UNION_MEMBERS)
    if fault["type"] == "extra_forbidden":
        key = str(path[-1])
        blocks: dict[str, type[Frozen]] = {"ablate": Ablate, "seeds": SeedRange}
        valid = SweepFile if len(path) == 1 else blocks.get(str(path[0]), Ablate)
        hint = (deeper_hint(key) if len(path) == 1 else "") or hint_for(key, valid.model_fields, "keys")
        if len(path) == 1 and key in RunSpec.model_fields:
            hint = f"{key!r} is a run setting: put it under base:, axes: or an arm"
        return SpecError(f"unknown key {key!r}", source.where(path), hint)
    return SpecError(fault_text(fault), source.where(path), _what_to_write(fault))


_UNION_MEMBERS = ("SeedRange", "list[constrained-int]", "list[int]", "str", "dict[str,any]")


def telling_fault(error: ValidationError) -> Mapping[str, Any]:
    """The finding that says most: the first, or an unknown key beside it, or, of a union's, the deepest."""
    faults = error.errors(include_url=False)
    beside = [f for f in faults if f["loc"][:1] == faults[0]["loc"][:1]]
    return max(beside, key=lambda f: (f["type"] == "extra_forbidden", len(f["loc"]), -beside.index(f)))


def _what_to_write(fault: Mapping[str, Any]) -> str:
    if fault["type"] == "list_type" and isinstance(fault["input"], (str, int, float)):
        return f"write [{fault['input']}]"
    if fault["type"] == "dict_type" and fault["input"] is None:
        return "write {} for no settings"
    if fault["type"] == "dict_type" and fault["loc"][0] in ("arms", "ablate") and len(fault["loc"]) > 1:
        return "a name and its settings, for example `coarse: {reward: coarse}`"
    return "see `toolrl schema`"


def fault_text(fault: Mapping[str, Any]) -> str:
    """pydantic's finding in our words: the bad value and what was expected."""
    value = fault.get("input")
    shown = repr(value)
    if len(shown) > 60:
        shown = shown[:57] + "…"
    if fault["type"] == "missing":
        return f"the key {fault['loc'][-1]!r} is missing"
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    message = re.sub(r" or instance of \w+", "", str(fault["msg"])).replace("valid tuple", "valid list")
    return f"{shown}: {message[0].lower()}{message[1:]}"
