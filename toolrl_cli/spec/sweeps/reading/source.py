"""What was read from a YAML file, with the place of every value in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from toolrl_cli import yaml12
from toolrl_cli.errors import SpecError
from toolrl_cli.spec.sweeps.reading.interpolation import interpolated
from toolrl_cli.spec.sweeps.reading.key_path import KeyPath, dotted


@dataclass(frozen=True)
class Source:
    """A YAML mapping with its origin.

    Attributes:
        data: plain Python data.
        name: file name for messages.
        lines: key path → line (1-based) in the file; 0 where there is no file.
        text: the YAML text.
        given: key path → key of a `--set` that stands for what the file has there.
    """

    data: dict[str, Any]
    name: str
    lines: Mapping[KeyPath, int]
    text: str = ""
    given: Mapping[KeyPath, str] = field(default_factory=dict)

    def has(self, path: KeyPath) -> bool:
        """Whether the file, or a `--set` in its place, says where this is."""
        return path in self.lines or self._given(path) is not None

    def where(self, path: KeyPath = ()) -> str:
        """`file:line: key.path` of the nearest known ancestor of `path`, or the `--set` that it was given with."""
        given = self._given(path)
        if given is not None:
            return f"--set {self.given[given]}" + (f": {dotted(path)}" if path != given else "")
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        line = self.lines.get(known)
        place = f"{self.name}:{line}" if line else self.name
        return f"{place}: {dotted(path)}" if path else place

    def resolved(self) -> Source:
        """The same with its interpolations (`${a.b}`) resolved.

        Raises:
            SpecError: one does not resolve.
        """
        return replace(self, data=interpolated(self.data, self.where))

    def _given(self, path: KeyPath) -> KeyPath | None:
        if not self.given:
            return None
        return next((path[:n] for n in range(len(path), 0, -1) if path[:n] in self.given), None)


def read_yaml(path: Path) -> Source:
    """Read a YAML file whose top level is a mapping, with its interpolations resolved.

    Raises:
        SpecError: see `read_unresolved`; or an interpolation does not resolve.
    """
    return read_unresolved(path).resolved()


def read_unresolved(path: Path) -> Source:
    """Read a YAML file whose top level is a mapping, interpolations as they are written.

    Raises:
        SpecError: what `yaml12.read` refuses.
    """
    try:
        return _source(yaml12.read(path), str(path))
    except yaml12.YamlFault as fault:
        raise _refused(fault, str(path)) from None


def unresolved_source(data: Mapping[str, Any], name: str) -> Source:
    """A mapping as if it had been read from a file: the same types, and no more than JSON can say.

    Raises:
        SpecError: it holds something else, or is refused as text would be.
    """
    try:
        text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        hint = "numbers, text, true and false, None, lists and mappings"
        told = (str(error) or type(error).__name__).splitlines()[0]
        raise SpecError(f"holds what YAML cannot say: {told}", name, hint) from None
    source = _parsed(text, name)
    return replace(source, lines=dict.fromkeys(source.lines, 0))


def parse_yaml(text: str, name: str) -> Source:
    """Parse YAML text; see `read_yaml` for what is refused."""
    return _parsed(text, name).resolved()


def _parsed(text: str, name: str) -> Source:
    try:
        return _source(yaml12.parse(text), name)
    except yaml12.YamlFault as fault:
        raise _refused(fault, name) from None


def parse_value(text: str, where: str) -> Any:
    """A value given on the command line (`--set key=value`), read as YAML."""
    try:
        return yaml12.value_of(text)
    except yaml12.YamlFault as fault:
        raise SpecError(fault.what, where, fault.hint) from None


def _source(parsed: yaml12.Parsed, name: str) -> Source:
    return Source(parsed.data, name, parsed.lines, parsed.text)


def _refused(fault: yaml12.YamlFault, name: str) -> SpecError:
    place = f"{name}:{fault.line}" if fault.line else name
    return SpecError(fault.what, f"{place}: {dotted(fault.place)}" if fault.place else place, fault.hint)
