"""`answers.jsonl` in a stage's folder: one line for each finished item, so that a restart asks only what is owed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from toolrl_cli.spec.evaluations.benchmarks import Item, Reply
from toolrl_cli.spec.identity import digest
from toolrl_cli.store.documents import encodable
from toolrl_cli.store.files import explained, make_folder, open_to_read
from toolrl_cli.store.jsonl import read
from toolrl_cli.store.scores import ANSWERS


class Answers:
    """The replies that are kept; open it with `with` before one is added.

    Args:
        folder: the stage's.
        conditions: all that decides what is asked and how; replies under others are not taken.

    Raises:
        LedgerError: the file cannot be read.
    """

    def __init__(self, folder: Path, conditions: Mapping[str, Any]) -> None:
        self._path = folder / ANSWERS
        self._conditions = dict(conditions)
        with explained(self._path):
            self._kept = {(str(row.get("id")), str(row.get("asked"))): row for row in read(self._path)}

    def reply(self, item: Item) -> Reply | None:
        """What an item's conversation came to; None where it is owed."""
        row = self._kept.get((item.id, self._asked(item)))
        if row is None:
            return None
        output, record, stop = row.get("output"), row.get("record"), row.get("stop")
        if not isinstance(output, str) or not isinstance(record, dict) or stop not in ("stop", "length"):
            return None
        return Reply(output, record, stop)

    def add(self, item: Item, reply: Reply) -> None:
        """Keep a reply; it is on disk when this returns.

        Raises:
            LedgerError: the file system refuses.
        """
        row: dict[str, Any] = {"id": item.id, "asked": self._asked(item)}
        row |= {"output": reply.output, "record": dict(reply.record), "stop": reply.stop}
        with explained(self._path):
            line = json.dumps(row)  # ASCII: half surrogates have no bytes
            self._file.write(line.encode() + b"\n")
            self._file.flush()
        self._kept[item.id, row["asked"]] = encodable(row, line)  # as it will be read

    def __enter__(self) -> Answers:
        make_folder(self._path.parent)
        with explained(self._path):
            torn = self._torn()
            self._file = self._path.open("ab")
            if torn is not None:
                self._file.truncate(torn)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _torn(self) -> int | None:
        """Where the last line begins, of a file whose last line has no end."""
        if not self._path.exists():
            return None
        with open_to_read(self._path) as file:
            text = file.read()
        return text.rfind(b"\n") + 1 if text and not text.endswith(b"\n") else None

    def _asked(self, item: Item) -> str:
        messages = [dict(message) for message in item.messages]
        return digest({"conditions": self._conditions, "messages": messages, "tools": item.tools})
