"""The commands of toolrl, and what a line that somebody would type means."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import typer

from toolrl_cli.app import app


def commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        path = f"{before} {name}".strip()
        if hasattr(command, "commands"):
            yield from commands(command, path)
        else:
            yield path, command


ROOT: Any = typer.main.get_command(app)
COMMANDS = dict(commands(ROOT))
PAGES = {"": ROOT, **{name: c for name, c in ROOT.commands.items() if hasattr(c, "commands")}, **COMMANDS}
"""Every help page: the root's, the groups' and the commands'."""


def words_of(line: str) -> list[str]:
    """The arguments of `toolrl`; without a redirection, a comment and a prompt."""
    words = shlex.split(line.removeprefix("$ ").partition(" > ")[0], comments=True)
    assert words.pop(0) == "toolrl", line
    return words


def command_of(words: list[str]) -> tuple[str, list[str]]:
    """The command's name, and the rest."""
    length = 1 if words[0] in COMMANDS else 2
    return " ".join(words[:length]), words[length:]


def parsed(line: str) -> Any:
    """The context of the command that a line would run; a mistake in it is raised."""
    path, rest = command_of(words_of(line))
    return COMMANDS[path].make_context(path, rest)
