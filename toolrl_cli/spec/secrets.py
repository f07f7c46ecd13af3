"""What is a secret by its name, and texts without the secrets that the environment holds."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

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


def scrubbed(value: Any, environment: Mapping[str, str] = os.environ) -> Any:
    """Any JSON value without logins in URLs, and without the values of variables that are secrets by their names."""
    found = {v for name, v in environment.items() if len(v) >= SHORTEST and SECRET_NAME.search(name)}
    return _scrubbed(value, sorted(found, key=len, reverse=True))


def _scrubbed(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, HIDDEN)
        return LOGIN.sub("", value) if "://" in value else value
    if isinstance(value, Mapping):
        return {_scrubbed(key, secrets): _scrubbed(inner, secrets) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_scrubbed(inner, secrets) for inner in value]
    return value
