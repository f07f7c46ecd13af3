"""Stages that are there already under another slug: a renamed copy of a model is the same model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from toolrl_cli.errors import LedgerError
from toolrl_cli.spec.identity import canonical_json
from toolrl_cli.store.ledger import Ledger

Whole = tuple[Mapping[str, Any], Mapping[str, str]]
"""Identity and inputs of a stage."""


class KnownStages:
    """The ids of the stages in the ledger and of those that a plan has made so far.

    A slug is for people, but what reads a stage has its whole id in its own identity. So a stage keeps the id that it
    was first given, whatever would be its slug today, and all that depends on it stays what it is.

    Args:
        ledger: where stages are.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._planned: dict[tuple[str, str], tuple[str, Whole]] = {}

    def id_of(self, kind: str, wanted: str, identity: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
        """The id of a stage: `wanted`, unless the ledger or the plan has the same stage under another.

        Raises:
            LedgerError: the file system does not give the ledger's names.
        """
        mark, whole = (kind, wanted.rpartition("-")[2]), (identity, inputs)
        there = self._there.get(mark, [])
        if wanted in there:
            found = wanted
        elif mark in self._planned and self._planned[mark][1] == whole:
            found = self._planned[mark][0]
        else:
            found = next((name for name in there if self._same(kind, name, whole)), wanted)
        self._planned.setdefault(mark, (found, whole))
        return found

    @cached_property
    def _there(self) -> Mapping[tuple[str, str], list[str]]:
        found: dict[tuple[str, str], list[str]] = {}
        for kind, names in self._ledger.names().items():
            for name in sorted(names):
                found.setdefault((kind, name.rpartition("-")[2]), []).append(name)
        return found

    def _same(self, kind: str, name: str, whole: Whole) -> bool:
        """Whether it is the same stage, and not one whose hash is equal by chance."""
        try:
            spec = self._ledger.at(kind, name).spec()
        except LedgerError:  # torn, or of another version
            return False
        return canonical_json([spec.identity, spec.inputs]) == canonical_json(whole)
