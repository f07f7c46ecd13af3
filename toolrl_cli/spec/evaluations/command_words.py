"""The words of a command: what toolrl puts into them, and what only looks as if something were put in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.suggest import nearest

MODEL = "{model}"
"""In a command: the folder of the model that is evaluated."""
OUTPUT = "{output}"
"""In a command: a folder of the stage's, for what it writes."""
FROM_ENVIRONMENT = (
    "the program reads OPENAI_BASE_URL and TOOLRL_MODEL from its environment;"
    " as words they take a shell: [sh, -c, …]"
)

_PIECE = re.compile(r"(?<![$@%#{\\])\{\s*([A-Za-z_][\w-]*)\s*\}(?!\})")
_VARIABLE = re.compile(r"\$\{?(?:TOOLRL_MODEL|TOOLRL_OUTPUT|OPENAI_BASE_URL|OPENAI_API_KEY)\b")
_TEXT = re.compile(r"[\s'\"\\]")
"""In a word that is a program, JSON or prose, whose braces are its own."""
_BEFORE_PROGRAM = re.compile("-[A-Za-z]*[ceS]")
"""`sh -c`, `perl -e`, `env -S`: what follows is a program."""


def without_tilde(word: str) -> str:
    """A word with `~/` at the beginning of it, or of an option's value, as a path: there is no shell to do it."""
    return re.sub(r"^(--?[\w-]+=|)~(?=/)", lambda found: found[1] + str(Path.home()), word)


def check_words(command: Sequence[str], where: str) -> None:
    """Refuse words that would arrive as they are written and are hardly meant so.

    Raises:
        SpecError: `{ouput}`, or a variable that no shell fills in.
    """
    for before, word in zip(("", *command), command, strict=False):
        if _BEFORE_PROGRAM.fullmatch(before) or _TEXT.search(_PIECE.sub("", word)):
            continue
        for piece in _PIECE.finditer(word):
            close = nearest(piece[1], ("model", "output"))
            # within a longer word it may be the program's own, such as a template's
            if piece[0] not in (MODEL, OUTPUT) and (close or piece[0] == word):
                hint = f"{MODEL} is the model's folder, {OUTPUT} one for what the command writes"
                hint = f"did you mean {{{close}}}? {hint}" if close else hint
                raise SpecError(f"command: {piece[0]} stands for nothing", where, hint)
        if _VARIABLE.search(word):
            raise SpecError(f"command: no shell fills in {word}", where, FROM_ENVIRONMENT)
