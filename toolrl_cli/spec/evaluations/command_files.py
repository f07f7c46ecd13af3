"""The files that a command names: they are part of what it is."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from toolrl_cli.errors import SpecError
from toolrl_cli.rewards.errors import RewardError
from toolrl_cli.rewards.user_code.sources import INIT, Sources, sources_of
from toolrl_cli.spec.evaluations.command_words import MODEL, OUTPUT

SCRIPTS = (".py", ".sh")
PYTHON = re.compile(r"python(3[.\d]*)?t?")
FLAGS = "-[bBdEhiIOPqRsSuvVx]*"
"""Those of Python that take no value, and may stand before `-c` and `-m` in one word."""
MODULE = re.compile(FLAGS + "m(.*)")
NO_FILE = re.compile(FLAGS + "c.*|-")
TAKE_VALUE = re.compile("-W|-X|--check-hash-based-pycs")
SHELL = re.compile(r"(ba|z|da|k)?sh")
SHELL_TEXT = re.compile("-[A-Za-z]*c")
SHELL_NO_FILE = re.compile("-[A-Za-z]*[cs]")
SHELL_TAKE_VALUE = re.compile("[-+][A-Za-z]*[oO]|--rcfile|--init-file")
PUNCTUATION = "();<>|&\n"


def files_of(command: Sequence[str], folder: Path, where: str) -> list[tuple[Path, str]]:
    """The files that a command names, each with a digest: of Python with what it imports from beside it.

    What is no Python that toolrl can read is refused where Python itself would run it; elsewhere it is data.

    Args:
        command: its words.
        folder: where it runs.
        where: its place, for messages.

    Raises:
        SpecError: a file cannot be used.
    """
    found: list[tuple[Path, str]] = []
    program, module_at = _program(command), -1
    in_shell = False
    for position, word in enumerate(command):
        is_program = position == program
        for path in (absolute(text, folder) for text in _texts(word)):
            if is_program and (path / "__main__.py").is_file():
                path /= "__main__.py"
            if path.is_file():
                found.append((path, _digest(path, where, is_program)))
        if in_shell and SHELL_TEXT.fullmatch(command[position - 1]):
            found += _of_shell(word, folder, where)
        in_shell |= bool(SHELL.fullmatch(Path(word).name))
        named = MODULE.fullmatch(word)
        if position == module_at:
            found += _of_module(word, folder, where, is_program)
        elif named and named[1]:
            found += _of_module(named[1], folder, where, is_program)
        elif named:
            module_at = position + 1
    return found


def check_can_start(command: Sequence[str], folder: Path, where: str) -> None:
    """Refuse a command whose program or script is not there, in the folder where it runs.

    Raises:
        SpecError: with its path; what is elsewhere may be another machine's (`not_here`).
    """
    for path in _needed(command, folder):
        if not path.exists() and not path.is_relative_to(folder.resolve()):
            continue
        if not path.exists():
            raise SpecError(f"command: there is no file {path}", where, f"paths begin in {folder}")
        if path == absolute(command[0], folder) and not (path.is_file() and os.access(path, os.X_OK)):
            raise SpecError(f"command: {path} is not executable", where, f"chmod +x {shlex.quote(str(path))}")


def not_here(command: Sequence[str], folder: Path) -> Path | None:
    """The program or script of a command that is not on this machine."""
    return next((path for path in _needed(command, folder) if not path.exists()), None)


def _needed(command: Sequence[str], folder: Path) -> list[Path]:
    """The program, where it is given by its path, and the script that it runs."""
    position = _program(command)
    words = [command[0]] if "/" in command[0] else []
    if 0 < position < len(command) and not any(map(MODULE.fullmatch, command[position - 1 : position + 1])):
        words.append(command[position])
    elif len(command) > 1 and Path(command[1]).suffix in SCRIPTS:
        words.append(command[1])
    return [absolute(word, folder) for word in words if MODEL not in word and OUTPUT not in word]


def absolute(text: str, folder: Path) -> Path:
    """A word as a path."""
    try:
        path = (folder / Path(text).expanduser()).resolve()
        path.is_file()  # raises of a name that is too long to be one
        return path
    except (OSError, RuntimeError, ValueError):  # no path at all
        return folder / "?"


def sources(path: Path, where: str, module: str = "") -> Sources:
    """A Python file with what it imports from beside it.

    Raises:
        SpecError: it is not there, or cannot be used.
    """
    if not path.is_file():
        raise SpecError(f"there is no file {path}", where, "paths are relative to the sweep file")
    try:
        return sources_of(path, where, module)
    except RewardError as error:
        raise SpecError(error.what, where, error.hint) from error


def _texts(word: str) -> Iterator[str]:
    """A word, and what stands behind each `=` in it."""
    yield word
    while "=" in word:
        word = word.partition("=")[2]
        yield word


def _of_shell(text: str, folder: Path, where: str) -> list[tuple[Path, str]]:
    """The code that the commands in a shell's text run; it is followed through `cd`.

    Not their other files: of those nothing says which one is read, and which one an earlier command writes.
    """
    text = re.sub(r"\\\n|(?m:(?<!\S)#.*)", " ", text)
    words = shlex.shlex(text, posix=True, punctuation_chars=PUNCTUATION)
    words.whitespace, words.commenters = " \t\r", ""
    words.whitespace_split = True
    found: list[tuple[Path, str]] = []
    command: list[str] = []
    start = folder
    try:
        given = [*words]
    except ValueError:  # a quote that is not closed, or a here-document
        given = text.split()
    for word in [*given, ";"]:
        if not set(word) <= {*PUNCTUATION}:
            command.append(word)
            continue
        if command[:1] == ["cd"]:
            folder = absolute(command[-1], folder)
        elif command:
            found += [file for file in files_of(command, folder, where) if file[0].suffix in SCRIPTS]
        command = []
        folder = start if ")" in word else folder
    return found


def _program(command: Sequence[str]) -> int:
    """Position of the word that names what Python or a shell runs; -1 where it is not known."""
    name = Path(command[0]).name
    in_shell = SHELL.fullmatch(name)
    if not in_shell and not PYTHON.fullmatch(name):
        return -1
    words = iter(enumerate(command[1:], 1))
    for position, word in words:
        if not in_shell and (module := MODULE.fullmatch(word)):
            return position if module[1] else position + 1
        if (SHELL_NO_FILE if in_shell else NO_FILE).fullmatch(word):
            return -1
        if (SHELL_TAKE_VALUE if in_shell else TAKE_VALUE).fullmatch(word):
            next(words, None)
        elif not word.startswith("-"):
            return position
    return -1


def _of_module(module: str, folder: Path, where: str, is_program: bool) -> list[tuple[Path, str]]:
    """What `-m` runs: the module, or its package's `__main__`, and first the `__init__` of each package around it."""
    found: list[tuple[Path, str]] = []
    known: set[Path | None] = set()

    def add(path: Path, name: str) -> None:
        try:
            read = sources(path, where, name)
        except SpecError:
            if is_program:
                raise
            found.append((path, _bytes(path, where)))
        else:
            found.append((path, read.sha256))
            known.update(file.path for file in read.files.values())

    for name in (module, f"{module}.__main__"):
        path = absolute(name.replace(".", "/") + ".py", folder)
        if path.is_file():
            add(path, name)
    parts = module.split(".") if found else []
    for depth in range(1, len(parts) + 1):
        path = absolute("/".join([*parts[:depth], INIT]), folder)
        if path.is_file() and path not in known and path.stat().st_size:
            add(path, ".".join(parts[:depth]))
    return found


def _digest(path: Path, where: str, is_program: bool) -> str:
    if path.suffix == ".py":
        try:
            return sources(path, where).sha256
        except SpecError:
            if is_program:
                raise
    return _bytes(path, where)


def _bytes(path: Path, where: str) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise SpecError(f"cannot read {path}: {error.strerror}", where) from error
