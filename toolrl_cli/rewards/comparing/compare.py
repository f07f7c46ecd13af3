"""Scores mutations of gold answers under designs, and says what each cannot tell from the right answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from toolrl_cli.rewards.calls.style import Style
from toolrl_cli.rewards.comparing.mutations import mutations
from toolrl_cli.rewards.errors import RewardError
from toolrl_cli.rewards.gold import estimated_tokens
from toolrl_cli.rewards.reward import Reward

TIE = 1e-9


@dataclass(frozen=True)
class Cell:
    """One kind of mutation under one design.

    Attributes:
        mean: of the totals.
        as_gold: share of the rows on which it earns as much as the gold answer or more.
        rows: on how many it was scored.
    """

    mean: float
    as_gold: float
    rows: int


@dataclass(frozen=True)
class Profile:
    """What one design makes of the mutations.

    Attributes:
        reward: its name.
        cells: mutation → what it earns; the gold answer first.
        blind: wrong mutations that earn as much as the gold answer on some row: what training may learn instead.
        values: how many different totals it gives, over all rows and mutations.
        no_gradient: expected share of groups whose responses all earn the same, where every response of a group is one
            of the row's mutations, each as likely.
    """

    reward: str
    cells: Mapping[str, Cell]
    blind: tuple[str, ...]
    values: int
    no_gradient: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def profile(
    reward: Reward,
    rows: Sequence[tuple[str, Mapping[str, Any]]],
    *,
    step: int = 1,
    total_steps: int | None = None,
    rollouts: int = 4,
) -> Profile:
    """Score all mutations of gold answers; those of one row are a group, where parts take groups.

    Args:
        reward: the design.
        rows: (ground truth, `row` as in `Reward.score`).
        step, total_steps: where schedules are.
        rollouts: responses of a group.

    Raises:
        RewardError: the design cannot score a row; it names the row.
    """
    totals: dict[str, list[float]] = {}
    beside: dict[str, list[bool]] = {}
    wrong: dict[str, None] = {}
    alike: list[float] = []
    style = style_of(reward)
    for position, (truth, row) in enumerate(rows):
        try:
            changed = list(mutations(truth, style))
            texts = [mutation.text for mutation in changed]
            lengths = [estimated_tokens(text) for text in texts]
            found = reward.score_group(texts, truth, step, total_steps, lengths, row)
        except RewardError as fault:
            fault.where = f"row {position}: {fault.where}" if fault.where else f"row {position}"
            raise
        scored = {m.name: (score.total, m.right) for m, score in zip(changed, found, strict=True)}
        gold = scored["gold"][0]
        for name, (total, right) in scored.items():
            totals.setdefault(name, []).append(total)
            beside.setdefault(name, []).append(total >= gold - TIE)
            if not right and total >= gold - TIE:
                wrong[name] = None
        alike.append(_all_alike([value for value, _ in scored.values()], rollouts))
    cells = {
        name: Cell(sum(values) / len(values), sum(beside[name]) / len(values), len(values))
        for name, values in totals.items()
    }
    different = len({round(value, 9) for values in totals.values() for value in values})
    return Profile(reward.name, cells, tuple(wrong), different, sum(alike) / len(alike) if alike else 1.0)


def style_of(reward: Reward) -> Style:
    """The form in which a design reads calls: that of its first part that has one, else ToolRL's."""
    styles = (getattr(part, "reading", None) for part in reward.components)
    return next((style for style in styles if isinstance(style, Style)), Style())


def _all_alike(values: Sequence[float], rollouts: int) -> float:
    """Chance that so many draws, with equal chances, all give one value."""
    counts = Counter(round(value, 9) for value in values)
    return sum((count / len(values)) ** rollouts for count in counts.values())
