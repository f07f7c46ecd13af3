"""Reading YAML that a user wrote: safely, as YAML 1.2, with the line of every key, and one clear line for every fault.

Sweeps, tables, presets and rewards are read with it. It is no room and imports none.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import yaml

from toolrl_cli.wording import first_line

MAX_BYTES = 1_000_000
"""No such file is this large; a larger one is a mistake (a log, a data set)."""

MAX_NODES = 100_000
"""Nodes after aliases are expanded; guards against the "billion laughs" document."""


Place = tuple[str | int, ...]
"""Keys and positions that lead to a value."""


class YamlFault(Exception):
    """A file or text that is no YAML of ours.

    Attributes:
        what: the fault in one clause.
        line: its line, from 1; None where it is the whole.
        place: the value at fault; empty where it is the whole.
        hint: what to do about it.
    """

    def __init__(self, what: str, hint: str, line: int | None = None, place: Place = ()) -> None:
        self.what, self.hint, self.line, self.place = what, hint, line, place
        super().__init__(what)


class Parsed(NamedTuple):
    """A mapping that was read: plain data, the line of every key (from 1), and the text."""

    data: dict[str, Any]
    lines: dict[Place, int]
    text: str


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


def read(path: Path) -> Parsed:
    """Read a YAML file whose top level is a mapping.

    Raises:
        YamlFault: the file is missing, unreadable, too large, empty, not YAML, not a mapping, or holds a key twice.
    """
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise YamlFault("is a folder, not a file", "name a YAML file")
        if size > MAX_BYTES:
            raise YamlFault(f"{size} bytes is no file of settings", f"at most {MAX_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise YamlFault("no such file", "check the path") from None
    except UnicodeDecodeError as error:
        raise YamlFault(f"not UTF-8 text (byte {error.start})", "save it as UTF-8") from None
    except OSError as error:
        raise YamlFault(f"cannot be read: {error.strerror}", "check its permissions") from None
    return parse(text)


def parse(text: str) -> Parsed:
    """Parse YAML text; see `read` for what is refused."""
    loader = None
    try:
        loader = _Loader(text)  # refuses control characters
        node = loader.get_single_node()
        if node is None:
            raise YamlFault("is empty", "a mapping is expected: `key: value` lines")
        if not isinstance(node, yaml.MappingNode):
            raise YamlFault(
                f"the top level is a {_kind_of(node)}", "a mapping is expected: `key: value` lines"
            )
        lines: dict[Place, int] = {}
        _index(node, (), lines, [0], ())
        data = loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        hint = "check indentation and quotes"
        if mark is not None and _BARE_REFERENCE.search(text[: mark.index + 1]):
            hint = 'within { } and [ ] an interpolation stands in quotes: "${base.rl.lr}"'
        line = mark.line + 1 if mark is not None else None
        raise YamlFault(f"not valid YAML: {_problem(error)}", hint, line) from None
    except NO_VALUE as error:
        raise YamlFault(f"not valid YAML: {first_line(error)}", "check the values") from None
    finally:
        if loader is not None:
            loader.dispose()
    return Parsed(data, lines, text)


def value_of(text: str) -> Any:
    """A single value, of any kind.

    Raises:
        YamlFault: it is no YAML.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, *NO_VALUE) as error:
        raise YamlFault(
            f"value {text!r} is not YAML: {_problem(error)}", "check its spelling and quotes"
        ) from None


def _problem(error: BaseException) -> str:
    """What PyYAML finds wrong, in one clause; some begin with `but`, behind what was expected."""
    problem = getattr(error, "problem", None) or first_line(error)
    return f"{getattr(error, 'context', None)}, {problem}" if problem.startswith("but ") else problem


def _kind_of(node: yaml.Node) -> str:
    return {"SequenceNode": "list", "ScalarNode": "single value"}.get(type(node).__name__, "mapping")


def _index(
    node: yaml.Node,
    path: Place,
    lines: dict[Place, int],
    count: list[int],
    above: tuple[int, ...],
) -> None:
    """Record the line of every key; refuse duplicate keys, cycles and documents that explode."""
    count[0] += 1
    if count[0] > MAX_NODES:
        raise YamlFault(f"more than {MAX_NODES} values after aliases are expanded", "remove aliases")
    if id(node) in above:
        raise YamlFault("an alias refers to itself", "remove it", node.start_mark.line + 1, path)
    above = (*above, id(node))
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise YamlFault("a key is not a plain word", "keys are text", line, path)
            key = str(key_node.value)
            if key in seen and key != "<<":
                what = f"key {key!r} stands twice (first on line {seen[key]})"
                raise YamlFault(what, "remove one", line, (*path, key))
            seen[key] = line
            lines[(*path, key)] = line
            _index(value_node, (*path, key), lines, count, above)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            lines[(*path, position)] = item.start_mark.line + 1
            _index(item, (*path, position), lines, count, above)
