"""What a user's code gives that cannot be used."""

from __future__ import annotations


class Unusable(Exception):
    """The user's code gives what cannot be used; as text, what."""


def told(error: BaseException) -> str:
    """What went wrong in a user's code, for one line."""
    return str(error) if isinstance(error, Unusable) else f"raised {type(error).__name__}: {error}"
