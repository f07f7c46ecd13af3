"""A user's Python file as a benchmark; its code runs in a process of its own and may do there what it likes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from toolrl_cli.benchmarks.own.conversations import OwnSession
from toolrl_cli.benchmarks.own.faults import metric_fault
from toolrl_cli.errors import BenchmarkError
from toolrl_cli.processes.child import describe_exit, importable
from toolrl_cli.processes.tree import descendants, kill
from toolrl_cli.spec.evaluations.benchmarks import (
    Benchmark,
    EvaluationContext,
    Item,
    Metric,
    Reply,
    Session,
    Verdict,
)
from toolrl_cli.spec.run.data_settings import DataSpec
from toolrl_cli.spec.run.evaluation_settings import OwnEvaluation

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
        self._about: Mapping[str, Any] = {}

    def items(self, data: DataSpec | None, folder: Path | None = None) -> Sequence[Item]:
        """The items that the file gives.

        Raises:
            BenchmarkError: it gives none that can be used.
        """
        found = self._ask({"do": "items"})
        rows, self._about = found["rows"], found["about"]
        self.also = tuple(self._about.get("also", ()))  # type: ignore[misc]
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
        said = [asdict(reply) for reply in replies]
        found = self._ask({"do": "judge", "items": rows, "replies": said})
        return [Verdict(row["reason"], row["calls"], row["also"]) for row in found]

    def metrics(self, items: Sequence[Item], verdicts: Sequence[Verdict | None]) -> dict[str, Metric]:
        """The columns, by the file's own rule where it has one.

        Raises:
            BenchmarkError: it raised, gives none, or one that cannot be used.
        """
        if not self._about.get("counts"):
            return super().metrics(items, verdicts)
        rows = [verdict and asdict(verdict) for verdict in verdicts]
        found = self._ask({"do": "metrics", "ids": [item.id for item in items], "verdicts": rows})
        metrics = {name: Metric(**metric) for name, metric in found.items()}
        faults = {
            name: metric_fault(0.0 if m.value is None else m.value, m.correct, m.total, of_means=True)
            for name, m in metrics.items()
        }
        for name, fault in faults.items() if faults else [("metrics", "gives none")]:
            if fault:
                raise BenchmarkError(f"{name}: {fault}", str(self._file), "see docs/evaluations.md")
        return metrics

    @contextmanager
    def session(self, scratch: Path, ctx: EvaluationContext) -> Iterator[Session]:
        if not self._about.get("converses"):
            yield Session()
            return
        session = OwnSession(
            self._start("converse", stdin=subprocess.PIPE, stdout=subprocess.PIPE), self._file, self._seconds
        )
        try:
            yield session
        finally:
            session.close()

    def _start(self, *arguments: str, stdin: int, stdout: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "toolrl_cli.benchmarks.own.child", str(self._file), *arguments],
            cwd=self._file.parent,
            env=importable(None),
            stdin=stdin,
            stdout=stdout,
            text=True,
            encoding="utf-8",
        )

    def _ask(self, request: dict[str, Any]) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            asked, answer = Path(folder) / "request.json", Path(folder) / "answer.json"
            asked.write_text(json.dumps(request), encoding="utf-8")
            child = self._start(str(asked), str(answer), stdin=subprocess.DEVNULL, stdout=LOG_FD)
            try:
                status = child.wait(self._seconds)
            except subprocess.TimeoutExpired as error:
                raise BenchmarkError(
                    f"has not ended after {self._seconds:.0f} s", str(self._file), "make it faster"
                ) from error
            finally:
                if child.poll() is None:
                    kill(descendants(child.pid))
                    child.kill()
                    child.wait()
            if not answer.is_file():
                raise BenchmarkError(f"its process {describe_exit(status)}", str(self._file))
            found = json.loads(answer.read_text(encoding="utf-8"))
        if "fault" in found:
            what = " ".join(str(found["fault"]).split())[:400]
            raise BenchmarkError(what, str(self._file), "see docs/evaluations.md")
        return found["value"]
