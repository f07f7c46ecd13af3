"""What is a secret by its name, and texts without the secrets that the environment holds."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

SECRET_NAME = re.compile(
    r"(?:^|_)(?:\w*KEY|\w*TOKEN|\w*SECRET|PASS|PASSWORD|PASSWD|PAT|JWT|CREDENTIALS?|COOKIE)(?:_|$)"
    r"|PASSPHRASE|_PWD$",
    re.I,
)
"""Names of environment variables that hold secrets."""
LOGIN = re.compile(r"(?<=://)[^/@\s]+@")
"""A user's name, with or without a password, in a URL."""
SHORTEST = 8
"""Characters below which a secret's value is no text to look for: it would be found in innocent words."""
HIDDEN = "***"


LATEX = {
    "\\": "textbackslash{}",
    "~": "textasciitilde{}",
    "^": "textasciicircum{}",
    "<": "textless{}",
    ">": "textgreater{}",
}


def scrubbed(value: Any, environment: Mapping[str, str] = os.environ) -> Any:
    """Any JSON value without logins in URLs, and without the values of variables that are secrets by their names.

    Texts may be whole files: a value is found as JSON, HTML, Markdown, LaTeX and URLs write it, too.
    """
    found = {v for name, v in environment.items() if len(v) >= SHORTEST and SECRET_NAME.search(name)}
    return _scrubbed(value, _pattern(frozenset(found)) if found else None)


@lru_cache(maxsize=8)
def _pattern(secrets: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join("".join(map(_written, s)) for s in sorted(secrets, key=len, reverse=True)))


def _written(character: str) -> str:
    """A pattern of one character as other languages write it."""
    if character.isascii() and character.isalnum():
        return character
    forms = {character, html.escape(character), json.dumps(character)[1:-1], LATEX.get(character, character)}
    forms |= {
        form for form in (quote(character, safe=""), quote(character, safe="").lower()) if form != character
    }
    return r"\\*(?:" + "|".join(map(re.escape, sorted(forms, key=len, reverse=True))) + ")"


def _scrubbed(value: Any, secrets: re.Pattern[str] | None) -> Any:
    if isinstance(value, str):
        if secrets:
            value = secrets.sub(HIDDEN, value)
        return LOGIN.sub("", value) if "://" in value else value
    if isinstance(value, Mapping):
        return {_scrubbed(key, secrets): _scrubbed(inner, secrets) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_scrubbed(inner, secrets) for inner in value]
    return value
