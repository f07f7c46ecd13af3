"""Documents of earlier versions: brought up to date when read, and written in today's form the next time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from toolrl_cli.errors import LedgerError

Step = Callable[[dict[str, Any]], dict[str, Any]]


def migrated(data: Mapping[str, Any], current: int, steps: Mapping[int, Step], what: str) -> dict[str, Any]:
    """The document in schema `current`.

    Args:
        data: the document; `schema` says which it is in.
        current: the schema that this version writes.
        steps: schema n → what makes a document of schema n + 1 of one of schema n.
        what: what the document is, for messages.

    Raises:
        LedgerError: a later version wrote it, or one that is too old to be understood.
        KeyError, TypeError, ValueError: it is something else.
    """
    schema = int(data["schema"])
    if schema > current:
        raise LedgerError(
            f"{what} is of schema {schema}, and this toolrl reads schema {current}",
            hint="a later version wrote it; use that one, or another --results",
        )
    document = dict(data)
    for version in range(schema, current):
        if version not in steps:
            raise LedgerError(
                f"{what} is of schema {schema}, which this toolrl no longer reads",
                hint="use the version that wrote it, or another --results",
            )
        document = {**steps[version](document), "schema": version + 1}
    return document
