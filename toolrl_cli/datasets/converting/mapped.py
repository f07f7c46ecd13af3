"""Rows whose fields are named by the user: dotted paths into a row, and what stands there as turns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from toolrl_cli.datasets.converting.readers import answered, conversation_of, said, spoken
from toolrl_cli.datasets.converting.turns import Json, Refused, Turn, tools_of

DEPTH = 4
"""Keys one below the other that are looked at for suggestions."""


def at(row: Json, path: str) -> Any:
    """What stands at a path: keys joined by dots, and positions in lists, such as `messages.-1.content`.

    A key that is called like the whole path comes first. None where nothing stands.
    """
    if path in row:
        return row[path]
    value: Any = row
    for key in path.split("."):
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif (
            isinstance(value, list)
            and key.removeprefix("-").isdigit()
            and -len(value) <= int(key) < len(value)
        ):
            value = value[int(key)]
        else:
            return None
    return value


def paths_of(rows: Iterable[Json]) -> list[str]:
    """The paths of rows, as `at` takes them, in the order in which they are found."""
    found: dict[str, None] = {}

    def walk(value: Any, path: tuple[str, ...]) -> None:
        found[".".join(path)] = None
        if len(path) < DEPTH and isinstance(value, (Mapping, list)):
            below = value.items() if isinstance(value, Mapping) else enumerate(value[:1])
            for key, each in below:
                walk(each, (*path, str(key)))

    for row in rows:
        for key, value in row.items():
            walk(value, (str(key),))
    return list(found)


def read_mapped(row: Json, fields: Mapping[str, str]) -> Iterator[Turn]:
    """The turns of a row.

    Args:
        row: as it stands in the file.
        fields: what → its path: `messages`, or `prompt` and `gold`; perhaps `tools` and `think`.

    Raises:
        Refused: something is not there, or is not what it should be.
    """
    tools = tools_of(at(row, fields["tools"])) if "tools" in fields else ()
    if "messages" in fields:
        yield from spoken(conversation_of(at(row, fields["messages"])), tools)
        return
    prompt, gold = (at(row, fields[name]) for name in ("prompt", "gold"))
    if gold is None:
        raise Refused(f"nothing stands at {fields['gold']!r}")
    think = at(row, fields["think"]) if "think" in fields else None
    if isinstance(prompt, list):
        before = tuple(
            said(message) if tools or message.calls else (message.role, message.text)
            for message in conversation_of(prompt)
        )
    elif isinstance(prompt, str) and prompt.strip():
        before = (("user", prompt),)
    else:
        raise Refused(f"what stands at {fields['prompt']!r} is no text and no messages")
    yield answered(tools, before, gold, think.strip() if isinstance(think, str) else "")
