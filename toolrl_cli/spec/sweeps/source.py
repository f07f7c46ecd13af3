"""Reading YAML that a user wrote: safely, with the line of every key, and one clear line for every fault."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import yaml

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.sweeps.interpolation import interpolated
from toolrl_cli.spec.sweeps.key_path import KeyPath, dotted

MAX_BYTES = 1_000_000
"""No sweep file is this large; a larger one is a mistake (a log, a data set)."""

MAX_NODES = 100_000
"""Nodes after aliases are expanded; guards against the "billion laughs" document."""


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


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalars of YAML 1.2, which is what editors check the schema with.

    `1e-6` is a number; `no`, `1:30` and `2026-01-01` are text. Keys are text as they are written: `yes` and `1` are
    two keys, where Python would take `True` and `1` for one.
    """

    yaml_implicit_resolvers = {}  # noqa: RUF012  PyYAML's own attribute
    yaml_constructors: ClassVar[dict[str | None, Any]] = {
        tag: make
        for tag, make in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.rpartition(":")[2] in ("null", "bool", "int", "float", "str", "seq", "map")
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        if not isinstance(node, yaml.MappingNode):  # tagged `!!map`
            raise yaml.constructor.ConstructorError(problem="no mapping", problem_mark=node.start_mark)
        self.flatten_mapping(node)
        return {key.value: self.construct_object(value, deep=deep) for key, value in node.value}

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        number = super().construct_yaml_int(node)
        if abs(number) > MAX_WHOLE:
            raise yaml.constructor.ConstructorError(
                problem=f"{node.value[:20]}… is too large a number", problem_mark=node.start_mark
            )
        return number


NO_VALUE = (ValueError, LookupError, RecursionError)
"""What PyYAML raises for values that their tag does not fit (`!!bool maybe`, `!!int ""`), and for deep nesting."""

MAX_WHOLE = 2**63 - 1
"""Larger whole numbers fit into nothing that reads them."""

_BARE_REFERENCE = re.compile(r"[\[{,:]\s*\\?\$\{$")
"""The end of a text up to where YAML takes the brace of an interpolation for one of its own."""

SCALARS = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0o[0-7_]+)",
    "merge": r"<<",
    "float": r"""[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+
        |\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)""",
}
"""Type of a scalar → how it is written; whatever else is text."""

for _kind, _pattern in SCALARS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(rf"(?:{_pattern})\Z", re.X), None)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def read_yaml(path: Path) -> Source:
    """Read a YAML file whose top level is a mapping, with its interpolations resolved.

    Raises:
        SpecError: see `read_unresolved`; or an interpolation does not resolve.
    """
    return read_unresolved(path).resolved()


def read_unresolved(path: Path) -> Source:
    """Read a YAML file whose top level is a mapping, interpolations as they are written.

    Raises:
        SpecError: the file is missing, unreadable, too large, empty, not YAML, not a mapping, or holds a key twice.
    """
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise SpecError("is a folder, not a file", str(path), "name a YAML file")
        if size > MAX_BYTES:
            raise SpecError(f"{size} bytes is no sweep file", str(path), f"at most {MAX_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError("no such file", str(path), "check the path") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"not UTF-8 text (byte {error.start})", str(path), "save it as UTF-8") from None
    except OSError as error:
        raise SpecError(f"cannot be read: {error.strerror}", str(path), "check its permissions") from None
    return _parsed(text, str(path))


def unresolved_source(data: Mapping[str, Any], name: str) -> Source:
    """A mapping as if it had been read from a file: the same types, and no more than JSON can say.

    Raises:
        SpecError: it holds something else, or is refused as text would be.
    """
    try:
        text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        hint = "numbers, text, true and false, None, lists and mappings"
        raise SpecError(f"holds what YAML cannot say: {_first_line(error)}", name, hint) from None
    source = _parsed(text, name)
    return replace(source, lines=dict.fromkeys(source.lines, 0))


def parse_yaml(text: str, name: str) -> Source:
    """Parse YAML text; see `read_yaml` for what is refused."""
    return _parsed(text, name).resolved()


def _parsed(text: str, name: str) -> Source:
    loader = None
    try:
        loader = _Loader(text)  # refuses control characters
        node = loader.get_single_node()
        if node is None:
            raise SpecError("is empty", name, "a mapping is expected, for example `name: my_sweep`")
        if not isinstance(node, yaml.MappingNode):
            raise SpecError(
                f"the top level is a {_kind_of(node)}", name, "a mapping is expected: `key: value` lines"
            )
        lines: dict[KeyPath, int] = {}
        _index(node, (), lines, name, [0], ())
        data = loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{name}:{mark.line + 1}" if mark is not None else name
        hint = "check indentation and quotes"
        if mark is not None and _BARE_REFERENCE.search(text[: mark.index + 1]):
            hint = 'within { } and [ ] an interpolation stands in quotes: "${base.rl.lr}"'
        raise SpecError(f"not valid YAML: {_problem(error)}", place, hint) from None
    except NO_VALUE as error:
        raise SpecError(f"not valid YAML: {_first_line(error)}", name, "check the values") from None
    finally:
        if loader is not None:
            loader.dispose()
    return Source(data, name, lines, text)


def parse_value(text: str, where: str) -> Any:
    """A value given on the command line (`--set key=value`), read as YAML."""
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, *NO_VALUE) as error:
        raise SpecError(
            f"value {text!r} is not YAML: {_problem(error)}", where, "check its spelling and quotes"
        ) from None


def _problem(error: BaseException) -> str:
    """What PyYAML finds wrong, in one clause; some begin with `but`, behind what was expected."""
    problem = getattr(error, "problem", None) or _first_line(error)
    return f"{getattr(error, 'context', None)}, {problem}" if problem.startswith("but ") else problem


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _kind_of(node: yaml.Node) -> str:
    return {"SequenceNode": "list", "ScalarNode": "single value"}.get(type(node).__name__, "mapping")


def _index(
    node: yaml.Node,
    path: KeyPath,
    lines: dict[KeyPath, int],
    name: str,
    count: list[int],
    above: tuple[int, ...],
) -> None:
    """Record the line of every key; refuse duplicate keys, cycles and documents that explode."""
    count[0] += 1
    if count[0] > MAX_NODES:
        raise SpecError(f"more than {MAX_NODES} values after aliases are expanded", name, "remove aliases")
    if id(node) in above:
        raise SpecError("an alias refers to itself", _at(name, node, path), "remove it")
    above = (*above, id(node))
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise SpecError("a key is not a plain word", _at(name, key_node, path), "keys are text")
            key = str(key_node.value)
            if key in seen and key != "<<":
                what = f"key {key!r} stands twice (first on line {seen[key]})"
                raise SpecError(what, _at(name, key_node, (*path, key)), "remove one")
            seen[key] = line
            lines[(*path, key)] = line
            _index(value_node, (*path, key), lines, name, count, above)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            lines[(*path, position)] = item.start_mark.line + 1
            _index(item, (*path, position), lines, name, count, above)


def _at(name: str, node: yaml.Node, path: KeyPath) -> str:
    place = f"{name}:{node.start_mark.line + 1}"
    return f"{place}: {dotted(path)}" if path else place
