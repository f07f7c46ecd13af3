"""Components that users write: a Python function in a file, or one that can be imported.

What it gets and returns, where it runs and what it may import is in docs/rewards.md. It runs in a process of its own
(`user_code.runner`); whatever it does there ends as a `RewardError` with the component, the file and the completion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from toolrl_cli.rewards.components import Component, Range, Term
from toolrl_cli.rewards.errors import RewardError, nearest, shown
from toolrl_cli.rewards.reading import GROUP, Reading
from toolrl_cli.rewards.user_code.sources import Where, names_in, parsed
from toolrl_cli.rewards.user_code.values import Returned

TOLERANCE = 1e-9  # tolerance for a sum that leaves its range by rounding
TIMEOUT = 60.0  # seconds


@dataclass(frozen=True)
class PythonComponent(Component):
    """A user's function as a component.

    Two components are equal if function name, SHA-256 of the source, `batch` and scale are equal; the path does not
    count.

    Attributes:
        function: name of the function at the top level of its source.
        sha256: of the source file and of those that it imports from beside it (`user_code.sources`).
        path: the file, absolute; empty for an importable one.
        module: dotted name of the module; empty for a file.
        batch: it is given all responses to a prompt together, and returns a list.
        timeout: seconds that a call may take; no part of what it computes.
    """

    range: Range | None = None
    function: str = ""
    sha256: str = ""
    batch: bool = False
    path: str = field(default="", compare=False)
    module: str = field(default="", compare=False)
    timeout: float = field(default=TIMEOUT, compare=False)

    kind: ClassVar[str] = "python"

    @property
    def judges(self) -> bool:
        return not self.batch  # what a gold answer earns beside none to be compared with says nothing of it

    @property
    def takes_groups(self) -> bool:
        return self.batch

    def look_at_group(self, readings: Sequence[Reading]) -> None:
        for reading, found in zip(readings, self._returned(readings), strict=True):
            reading.memo["python", self.name] = found

    def raw(self, reading: Reading, fidelity: str, low: float, high: float) -> float:
        found: Returned | None = reading.memo.get(("python", self.name))
        if found is None:
            (found,) = self._returned([reading])
        if not low - TOLERANCE <= found.value <= high + TOLERANCE:
            raise self._fault(reading, f"returned {found.value:g}, outside its range [{low:g}, {high:g}]")
        reading.beside |= {f"{self.name}/{key}": each for key, each in found.beside.items()}
        return found.value

    def terms(self, reading: Reading, low: float, high: float, raw: float) -> tuple[Term, ...]:
        own = {
            key.removeprefix(f"{self.name}/"): each
            for key, each in reading.beside.items()
            if key.startswith(f"{self.name}/")
        }
        numbers = [Term(key, "a metric", each) for key, each in own.items() if not isinstance(each, str)]
        texts = [f"{key} = {shown(each)}" for key, each in own.items() if isinstance(each, str)]
        told = f" (texts are not logged: {', '.join(texts)})" if texts else ""
        many = reading.memo.get(GROUP, 1)
        group = f", given {many} responses to the prompt" if many > 1 else ", given this response alone"
        group = group if self.batch else ""
        return (*numbers, Term("raw", f"value of the function{group}{told}", raw))

    def _returned(self, readings: Sequence[Reading]) -> list[Returned]:
        from toolrl_cli.rewards.user_code.runner import run  # only a score needs a process

        try:
            run(self.place, None, self.timeout)
        except RewardError as fault:  # whatever the completion
            raise self._fault(None, fault.what, fault.hint) from fault.__cause__
        given = [(r.completion, r.truth.text, r.step, r.total_steps, r.tokens, r.row) for r in readings]
        try:
            return run(self.place, given, self.timeout)
        except RewardError as fault:
            raise self._fault(readings[0], fault.what, fault.hint) from fault.__cause__

    @property
    def place(self) -> Where:
        """The function, for the process that runs it."""
        return Where(self.function, self.sha256, self.path, self.module, self.batch)

    def _fault(self, reading: Reading | None, what: str, hint: str = "") -> RewardError:
        named = (f"{self.function} {what}", f"components.{self.name}")
        told = "; ".join(part for part in (f"in {self.path or self.module}", hint) if part)
        if reading is None:
            return RewardError(*named, told)
        return RewardError(
            *named,
            told,
            completion=reading.completion,
            ground_truth=reading.truth.text,
            step=reading.step,
            tokens=reading.tokens,
            row=reading.row,
        )

    def to_dict(self) -> dict[str, Any]:
        source = {"path": self.path} if self.path else {"module": self.module}
        limit = {} if self.timeout == TIMEOUT else {"timeout": self.timeout}
        own = {"function": self.function, "sha256": self.sha256, **({"batch": True} if self.batch else {})}
        return {**super().to_dict(), **own, **source, **limit}


def check_defined(path: Path, code: bytes, function: str, where: str) -> None:
    """Check, without running a file, that its top level defines `function`: a misspelt name is found when planning.

    Raises:
        RewardError: the file is not valid Python, or does not define the name.
    """
    import ast  # only a reward with a user component needs it

    tree = parsed(path, code, where)
    names = names_in(tree)
    if function not in names and "*" not in names:
        functions = names - {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
        hint = nearest(function, functions) if functions else "it has no function at its top level"
        raise RewardError(f"{path} defines no {function!r}", where, hint)
