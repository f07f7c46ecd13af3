"""A user's Python file as a benchmark; its code runs in a process of its own and may do there what it likes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from toolrl_cli.errors import BenchmarkError
from toolrl_cli.processes.child import describe_exit, importable
from toolrl_cli.spec.benchmarks import Benchmark, Item, Reply, Verdict
from toolrl_cli.spec.models import DataSpec, OwnEvaluation

LOG_FD = 2
"""Standard error, which is the stage's log."""

SECONDS = 3600.0
"""For one request, such as to judge all answers."""


@dataclass(frozen=True)
class OwnItem(Item):
    """An item, and what the user's `judge` is given."""

    given: Any = field(default=None)


class OwnPython(Benchmark):
    """The benchmark in a user's file.

    Args:
        own: which.
        seconds: for one request.
    """

    prompt_format: ClassVar[str] = "chat"

    def __init__(self, own: OwnEvaluation, seconds: float = SECONDS) -> None:
        self.name = own.name  # type: ignore[misc]
        self.protocol = f"own:{own.name}"  # type: ignore[misc]
        self.version = own.sha256[:12]  # type: ignore[misc]
        self._file, self._seconds = Path(own.path), seconds

    def items(self, data: DataSpec | None, folder: Path | None = None) -> Sequence[Item]:
        """The items that the file gives.

        Raises:
            BenchmarkError: it gives none that can be used.
        """
        rows = self._ask({"do": "items"})
        ids = [row["id"] for row in rows]
        twice = (
            next((name for n, name in enumerate(ids) if name in ids[:n]), None)
            if len(set(ids)) < len(ids)
            else None
        )
        if twice is not None:
            raise BenchmarkError(
                f"two items have the id {twice!r}", str(self._file), "give each its own `id`"
            )
        return [
            OwnItem(row["id"], row["category"], row["messages"], row["gold"], row["tools"], row["given"])
            for row in rows
        ]

    def judge(self, item: Item, reply: Reply) -> Verdict:
        return self.judge_all([item], [reply], Path())[0]

    def judge_all(self, items: Sequence[Item], replies: Sequence[Reply], scratch: Path) -> list[Verdict]:
        """The verdicts of the file's `judge`.

        Raises:
            BenchmarkError: it raised, or gives what is no verdict.
        """
        if not items:
            return []
        rows = [
            {
                "id": item.id,
                "category": item.category,
                "messages": [dict(message) for message in item.messages],
                "gold": item.gold,
                "tools": item.tools,
                "given": getattr(item, "given", None),
            }
            for item in items
        ]
        outputs = [reply.output for reply in replies]
        found = self._ask({"do": "judge", "items": rows, "outputs": outputs})
        return [Verdict(row["reason"], row["calls"]) for row in found]

    def _ask(self, request: dict[str, Any]) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            asked, answer = Path(folder) / "request.json", Path(folder) / "answer.json"
            asked.write_text(json.dumps(request), encoding="utf-8")
            command = [sys.executable, "-m", "toolrl_cli.benchmarks.own.child"]
            try:
                done = subprocess.run(
                    [*command, str(self._file), str(asked), str(answer)],
                    cwd=self._file.parent,
                    env=importable(None),
                    stdin=subprocess.DEVNULL,
                    stdout=LOG_FD,
                    timeout=self._seconds,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise BenchmarkError(
                    f"has not ended after {self._seconds:.0f} s", str(self._file), "make it faster"
                ) from error
            if not answer.is_file():
                raise BenchmarkError(f"its process {describe_exit(done.returncode)}", str(self._file))
            found = json.loads(answer.read_text(encoding="utf-8"))
        if "fault" in found:
            what = " ".join(str(found["fault"]).split())[:400]
            raise BenchmarkError(what, str(self._file), "see docs/evaluations.md")
        return found["value"]
