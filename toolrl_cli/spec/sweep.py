"""The sweep file: its schema, and reading it with `--set` applied."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.models import Frozen, RunSpec
from toolrl_cli.spec.source import KeyPath, Source, parse_value, read_yaml
from toolrl_cli.spec.suggest import hint_for

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class SeedRange(Frozen):
    """`{range: [0, 5]}`: 0, 1, 2, 3, 4."""

    range: tuple[int, int]


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
    seeds: list[int] | SeedRange = Field([1])
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
            raise SpecError(f"unknown key {head!r}", f"--set {key}", hint_for(head, valid, "keys"))
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
    node = data
    for part in parts[:-1]:
        inner = node.get(part)
        node[part] = dict(inner) if isinstance(inner, dict) else {}
        node = node[part]
    node[parts[-1]] = value


def _first_fault(error: ValidationError, source: Source) -> SpecError:
    fault = error.errors(include_url=False)[0]
    path: KeyPath = tuple(
        p for p in fault["loc"] if p not in ("SeedRange", "list[int]", "str", "dict[str,any]")
    )
    if fault["type"] == "extra_forbidden":
        key = str(path[-1])
        valid = (
            SweepFile.model_fields if len(path) == 1 else {**Ablate.model_fields, **SeedRange.model_fields}
        )
        hint = hint_for(key, valid, "keys")
        if len(path) == 1 and key in RunSpec.model_fields:
            hint = f"{key!r} is a run setting: put it under base:, axes: or an arm"
        return SpecError(f"unknown key {key!r}", source.where(path), hint)
    return SpecError(fault_text(fault), source.where(path), "see `toolrl schema`")


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
    message = str(fault["msg"])
    return f"{shown}: {message[0].lower()}{message[1:]}"
