"""A sweep as it was when it was last started, as far as it was another than it is now."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from toolrl_cli.errors import LedgerError
from toolrl_cli.planning.plan import Plan
from toolrl_cli.store.files import entry_lines, read_json
from toolrl_cli.store.ledger import Ledger

_HEAD = re.compile(r'\{"schema": \d+, "id": "([^"\\]+)", "kind": "(\w+)", ')
"""How a stage begins in a plan; its settings, which are nearly all of the file, are not looked at."""


@dataclass
class Earlier:
    """What a sweep had and has no more.

    Attributes:
        ledger: where the stages are.
        runs: run that it still has → the stages of then, where one of them is no longer part of the plan.
        gone: stage that is no longer part of the sweep → its kind.
    """

    ledger: Ledger
    runs: dict[str, Sequence[str]] = field(default_factory=dict)
    gone: dict[str, str] = field(default_factory=dict)
    _finished: dict[str, bool] = field(default_factory=dict)

    @cached_property
    def _present(self) -> Mapping[str, set[str]]:
        return self.ledger.names()

    def finished(self, stage_id: str, kind: str) -> bool:
        """Whether a stage has succeeded, by the ledger."""
        if stage_id not in self._present.get(kind, ()):
            return False
        if stage_id not in self._finished:
            try:
                status = self.ledger.at(kind, stage_id).state().status
            except LedgerError:
                status = "failed"
            self._finished[stage_id] = status == "succeeded"
        return self._finished[stage_id]


def read_earlier(path: Path, ledger: Ledger, plan: Plan, whole: Plan) -> Earlier:
    """Read a frozen plan beside the one of now.

    Args:
        path: of the frozen plan; where it is missing or torn, nothing is known of before.
        ledger: where the stages are.
        plan: the part of the sweep that is looked at.
        whole: the sweep.

    Raises:
        LedgerError: the file is there and the file system does not give it.
    """
    run_ids = {run.id for run in plan.runs}
    for entries in (_line_by_line, _as_a_whole):
        earlier = Earlier(ledger)
        try:
            for key, entry_id, value in entries(path):
                if key == "stages" and entry_id not in whole.stages:
                    earlier.gone[entry_id] = value
                elif key == "runs" and entry_id in run_ids and not all(i in plan.stages for i in value):
                    earlier.runs[entry_id] = value
        except (KeyError, TypeError, ValueError):
            continue
        return earlier
    return Earlier(ledger)


Entry = tuple[str, str, Any]
"""`runs`, a run's id and its stages; or `stages`, a stage's id and its kind."""


def _line_by_line(path: Path) -> Iterator[Entry]:
    """What the entries are, as the file is written: 100,000 runs are half a gigabyte."""
    for key, text in entry_lines(path):
        head = _HEAD.match(text) if key == "stages" else None
        if head is not None:
            yield key, head[1], head[2]
        elif key in ("runs", "stages"):
            yield _entry(key, json.loads(text))


def _as_a_whole(path: Path) -> Iterator[Entry]:
    """The same of a file that was edited, or written by an earlier version."""
    data = read_json(path) or {}
    for key in ("runs", "stages"):
        for entry in data.get(key, ()):
            yield _entry(key, entry)


def _entry(key: str, entry: Mapping[str, Any]) -> Entry:
    return key, str(entry["id"]), [str(i) for i in entry["stages"]] if key == "runs" else str(entry["kind"])
