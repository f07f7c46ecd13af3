"""Gold check: the gold answer of every row must earn the highest reward that its row allows.

A row whose gold answer does not earn the maximum teaches the model to avoid it, so this is checked before training.
So is that a part of it can earn a part of the reward, where the reward gives parts: calls in another form than
`{"name": …, "parameters": {…}}` earn all or nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from toolrl_cli.rewards.calls.style import Style
from toolrl_cli.rewards.components import Correctness
from toolrl_cli.rewards.errors import RewardError
from toolrl_cli.rewards.reading import CALL, read_truth, unmatchable
from toolrl_cli.rewards.reward import Reward
from toolrl_cli.rewards.stretch import turning_steps

TOLERANCE = 1e-9
CRLF = "its lines end in CRLF, and the format wants LF"
FORM = (
    "the reward reads calls in another form than the gold answer has them in; `reading: toolrl` reads these"
)
BLOCKS = f"only the first of its {CALL} blocks counts; write all calls into one, a JSON object a line"
ROWS_NAMED = 5  # rows named in the one-line error; the report lists all


@dataclass(frozen=True)
class Shortfall:
    """A row whose gold answer is not maximal.

    Attributes:
        row: the row's name or position, as given.
        parts: of each part that falls short, [reached, maximum] weighted.
        problem: why the row cannot be scored at all, or no part of its calls can; empty otherwise.
        step: the first at which it falls short.
    """

    row: str
    parts: dict[str, tuple[float, float]]
    problem: str = ""
    step: int = 1

    def __str__(self) -> str:
        short = ", ".join(f"{part} {got:.4g} of {most + 0.0:.4g}" for part, (got, most) in self.parts.items())
        later = f" from step {self.step} on" if self.step > 1 else ""
        return f"row {self.row}{later}: {self.problem or short}"


@dataclass(frozen=True)
class GoldReport:
    """Result of a gold check over `rows` rows."""

    reward: str
    rows: int
    shortfalls: tuple[Shortfall, ...]

    @property
    def ok(self) -> bool:
        """Whether every gold answer reaches the maximum of its row."""
        return not self.shortfalls

    def raise_if_imperfect(self, where: str = "training data") -> None:
        """Raise an error unless all gold answers are maximal.

        Raises:
            RewardError: some row falls short; the message names the first few.
        """
        if self.shortfalls:
            named = "; ".join(str(shortfall) for shortfall in self.shortfalls[:ROWS_NAMED])
            more = "; …" if len(self.shortfalls) > ROWS_NAMED else ""
            raise RewardError(
                f"{len(self.shortfalls)} of {self.rows} gold answers do not reach the maximum of reward "
                f"{self.reward!r}: {named}{more}",
                where,
                "correct the rows, or continue with --allow-imperfect-gold",
            )

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "ok": self.ok}


def estimated_tokens(text: str) -> int:
    """A length in tokens for a text that no model generated: a quarter of its characters, at least 1."""
    return max(1, len(text) // 4)


def check_gold(
    reward: Reward,
    ground_truths: Iterable[str | tuple[object, str] | tuple[object, str, Mapping[str, Any]]],
    total_steps: int | None = None,
    *,
    whole_data: bool = True,
) -> GoldReport:
    """Score each ground truth as if it were the completion, at every step from which the reward judges otherwise.

    Length is not checked, in words or in tokens: the length of a gold thought does not make its answer right or wrong
    (the RL rows of the paper have one-line placeholder thoughts), and a user component that asks for the tokens gets
    an estimate. User components without a declared range are not checked either. A fault in a row's ground truth is a
    shortfall; a fault in a user component is an error.

    Args:
        ground_truths: texts, named by their position from 0; or name of the row, text, and `row` as in `Reward.score`.
        total_steps: length of the run; changes behind it are not looked at.
        whole_data: these are all the rows that there are, so that a part for sources that none of them has counts
            nowhere.

    Raises:
        RewardError: a user component failed, a schedule lacks `total_steps`, or a part is for no row.
    """
    graded = {part.granularity for part in reward.components if isinstance(part, Correctness)} - {"coarse"}
    whole = reward.fidelity == "released" and graded == {"intermediate"}
    comparing = any(part.compares_calls for part in reward.components)
    steps = turning_steps(reward, total_steps)
    shortfalls, rows, sources = [], 0, set[object]()
    for rows, row in enumerate(ground_truths, start=1):
        name, text, *known = (rows - 1, row) if isinstance(row, str) else row
        sources.update(each.get("data_source") for each in known)
        found = None
        for step in steps:
            found = found or _shortfall(reward, str(name), text, known, step, total_steps)
        if graded and not (found and found.problem):
            problem = unmatchable(read_truth(text).calls, whole=whole)
            if problem:
                parts = found.parts if found else {}
                found = Shortfall(str(name), parts, f"{problem}; an answer earns all or nothing")
        if comparing and text.count(CALL) > 1:
            found = Shortfall(str(name), found.parts if found else {}, BLOCKS)
        if found:
            shortfalls.append(found)
    for component in reward.components if whole_data and sources else ():
        if component.sources and not sources & set(component.sources):
            there = f"the rows are of {', '.join(sorted(map(str, sources)))}"
            raise RewardError("no row is of these sources", f"components.{component.name}.sources", there)
    return GoldReport(reward.name, rows, tuple(shortfalls))


def _judging(reward: Reward) -> set[str]:
    """Parts that a gold answer alone can be held against: none of a group's responses, nor what is made of such."""
    grouped = {part.name for part in reward.components if part.takes_groups}
    while more := {p.name for p in reward.components if grouped.intersection(p.refers_to)} - grouped:
        grouped |= more
    return {part.name for part in reward.components if part.judges} - grouped


def _shortfall(
    reward: Reward,
    name: str,
    text: str,
    known: Sequence[Mapping[str, Any]],
    step: int,
    total_steps: int | None,
) -> Shortfall | None:
    """What a row's gold answer lacks at one step; None where that is nothing."""
    try:
        ranges = reward.part_ranges(step, total_steps, text, *known)
    except RewardError as fault:
        if fault.ground_truth is None:  # the fault is in the reward and not in the row
            raise
        return Shortfall(name, {}, str(fault))
    try:
        parts = reward.score(text, text, step, total_steps, estimated_tokens(text), *known).parts
    except RewardError as fault:
        fault.where = f"row {name}: {fault.where}" if fault.where else f"row {name}"
        raise
    judging = _judging(reward)
    short = {
        part.name: (parts[part.name].weighted, ranges[part.name][1])
        for part in reward.components
        if part.name in judging
        and math.isfinite(ranges[part.name][1])
        and parts[part.name].weighted < ranges[part.name][1] - TOLERANCE
    }
    if not short:
        return None
    foreign = any(getattr(part, "reading", Style()) != Style() for part in reward.components)
    return Shortfall(name, short, CRLF if "\r\n" in text else FORM if foreign else "", step)
