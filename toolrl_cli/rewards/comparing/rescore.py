"""Scores the same rollouts under several rewards, to see which designs differ before training with them.

Rows are rollouts; a group is the n responses to one prompt at one step, whose scores GRPO compares.
Advantages are GRPO's, A_i = (r_i - mean) / (std + eps) over the group; only their signs are used here, and
a score within `TIE` of its group's mean has sign 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from toolrl_cli.rewards.errors import RewardError
from toolrl_cli.rewards.exact_match import exact_match
from toolrl_cli.rewards.reward import Reward

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TIE = 1e-9
REPRODUCED = 1e-6
HOPELESS = 20

# Possible keys of each field of a rollout: our own first, then those of verl's dumps.
FIELDS = {
    "completion": ("completion", "output", "response"),
    "ground_truth": ("ground_truth", "gts", "answer"),
    "group": ("group", "group_id", "uid", "prompt_id", "input", "prompt"),
    "step": ("step", "global_step"),
    "logged": ("logged", "score", "reward"),
    "tokens": ("tokens", "response_length", "num_tokens"),
}


@dataclass(frozen=True)
class Rollout:
    """One response; `group` names its prompt, `logged` and `tokens` are the recorded reward and length, if any."""

    completion: str
    ground_truth: str
    group: str
    step: int = 0
    logged: float | None = None
    tokens: int | None = None


@dataclass(frozen=True)
class ArmStatistics:
    """One reward over all rollouts.

    Attributes:
        mean, std, least, most: of the total; `std` over the population.
        zero_variance: share of groups of two or more whose totals are all equal: no gradient.
        exact_rank: Spearman correlation of the total with exact match (0 or 1); None where either is constant.
        exact_auc: chance that an exact match outscores another response of its group, ties counting half;
            None where no group has both.
        logged_error: largest difference from the logged reward; None where nothing is logged.
        reproduces_logged: whether that is at most 1e-6.
    """

    name: str
    mean: float
    std: float
    least: float
    most: float
    zero_variance: float | None
    exact_rank: float | None
    exact_auc: float | None
    logged_error: float | None
    reproduces_logged: bool | None


@dataclass(frozen=True)
class Rescored:
    """Result of `rescore`; matrices are arm × arm, in the order of `arms`.

    Attributes:
        rollouts, groups: counted; `comparable_groups` are those of two or more rollouts.
        exact_match: share of rollouts that are an exact match (`exact_match.mismatch`).
        rank_correlation: Spearman's, over all rollouts; None where an arm is constant.
        sign_agreement: share of rollouts in comparable groups whose advantages have the same sign.
        totals: of each arm, in the order of the rollouts.
    """

    rollouts: int
    groups: int
    comparable_groups: int
    exact_match: float
    arms: tuple[ArmStatistics, ...]
    rank_correlation: tuple[tuple[float | None, ...], ...]
    sign_agreement: tuple[tuple[float | None, ...], ...]
    totals: tuple[tuple[float, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """All but the totals, ready for JSON."""
        out = asdict(self)
        del out["totals"]
        return out

    def table(self) -> list[dict[str, float | str | bool | None]]:
        """One flat row for each arm, for a table or CSV: its statistics, then its row of both matrices."""
        rows: list[dict[str, float | str | bool | None]] = []
        for at, arm in enumerate(self.arms):
            row = asdict(arm)
            for title, matrix in (("rank", self.rank_correlation), ("sign", self.sign_agreement)):
                row |= {f"{title}:{other.name}": matrix[at][to] for to, other in enumerate(self.arms)}
            rows.append(row)
        return rows


def rollout_from(raw: Mapping[str, Any], where: str = "row", step: int = 0) -> Rollout:
    """A rollout from a line of a dump: ours, verl's, or any with the fields of `FIELDS`.

    verl's `uid` is `<prompt>_<session>_<turn>`; the group is the prompt.

    Args:
        step: for lines that have no step.

    Raises:
        RewardError: completion, ground truth or group is missing or not a text.
    """
    found: dict[str, Any] = {}
    for field, names in FIELDS.items():
        name = next((name for name in names if raw.get(name) is not None), None)
        if name is not None:
            found[field] = raw[name]
        elif field in ("completion", "ground_truth", "group"):
            raise RewardError(f"has no {field}", where, f"one of: {', '.join(names)}")
    for field in ("completion", "ground_truth"):
        if not isinstance(found[field], str):
            raise RewardError(f"its {field} is no text", where)
    group = str(found["group"])
    if "uid" in raw and group == raw["uid"]:
        prompt, *rest = group.rsplit("_", 2)
        group = prompt if len(rest) == 2 and all(part.isdigit() for part in rest) else group
    logged = found.get("logged")
    return Rollout(
        completion=found["completion"],
        ground_truth=found["ground_truth"],
        group=group,
        step=int(found.get("step", step)),
        logged=None if logged is None else float(logged),
        tokens=int(found["tokens"]) if "tokens" in found else None,
    )


class Scored(NamedTuple):
    """Rollouts under rewards.

    Attributes:
        totals: of each rollout that every reward can score, by its position: one for each reward.
        faults: position of each other rollout → why it cannot be scored.
    """

    totals: dict[int, list[float]]
    faults: dict[int, RewardError]


def score_rollouts(
    rollouts: Sequence[Rollout], rewards: Sequence[Reward], total_steps: int | None = None
) -> Scored:
    """Scores every rollout under every reward, at the rollout's own step; one that cannot be scored stops no other.

    Where a reward takes groups, all rollouts of a group are scored together, and fail together.

    Where none of the first `HOPELESS` can be scored, no other is tried.

    Raises:
        RewardError: the fault is a reward's own, whatever the rollout.
    """
    scored = Scored({}, {})
    scorers = [_Scorer(reward, rollouts, total_steps) for reward in rewards]
    for position in range(len(rollouts)):
        try:
            scored.totals[position] = [scorer.total(position) for scorer in scorers]
        except RewardError as fault:
            if fault.ground_truth is None:
                raise
            scored.faults[position] = fault
            if not scored.totals and len(scored.faults) >= HOPELESS:
                break
    return scored


class _Scorer:
    """Totals of rollouts under one reward; groups are scored when their first rollout is asked for."""

    def __init__(self, reward: Reward, rollouts: Sequence[Rollout], total_steps: int | None) -> None:
        self._reward, self._rollouts, self._total_steps = reward, rollouts, total_steps
        self._known: dict[int, float | RewardError] = {}
        self._groups: dict[Any, list[int]] = {}
        for position, rollout in enumerate(rollouts if reward.takes_groups else ()):
            self._groups.setdefault(group_of(rollout), []).append(position)

    def total(self, position: int) -> float:
        one = self._rollouts[position]
        if not self._groups:
            given = (one.completion, one.ground_truth, one.step, self._total_steps, one.tokens)
            return self._reward.score(*given).total
        if position not in self._known:
            self._score(self._groups[group_of(one)])
        found = self._known[position]
        if isinstance(found, RewardError):
            raise found
        return found

    def _score(self, positions: list[int]) -> None:
        group = [self._rollouts[position] for position in positions]
        texts, lengths = [one.completion for one in group], [one.tokens for one in group]
        given = (group[0].ground_truth, group[0].step, self._total_steps, lengths)
        try:
            scores = self._reward.score_group(texts, *given)
            self._known |= {at: score.total for at, score in zip(positions, scores, strict=True)}
        except RewardError as fault:
            self._known |= dict.fromkeys(positions, fault)


def group_of(rollout: Rollout) -> tuple[int, str, str]:
    """What rollouts have in common that answer one prompt at one step."""
    return rollout.step, rollout.group, rollout.ground_truth


def rescore(
    rollouts: Sequence[Rollout],
    rewards: Sequence[Reward],
    total_steps: int | None = None,
    totals: Sequence[Sequence[float]] | None = None,
) -> Rescored:
    """Compares rewards by their scores of every rollout, at the rollout's own step.

    Args:
        rollouts: from one run or any other source; a group is identified by (step, group).
        rewards: the arms; their names must differ.
        total_steps: length of the run; needed where a schedule counts in shares of the run.
        totals: of each rollout under each reward; None to score them here.

    Raises:
        RewardError: nothing to compare, two arms of one name, or a fault in scoring.
    """
    import numpy as np  # imported here because it is slow to import and only this function uses it

    if not rollouts or not rewards:
        raise RewardError("needs at least one rollout and one reward", "rescore")
    names = [reward.name for reward in rewards]
    if len(set(names)) < len(names):
        raise RewardError(f"two rewards have the same name: {', '.join(names)}", "rescore", "name them")
    if totals is None:
        scored = score_rollouts(rollouts, rewards, total_steps)
        for position, fault in scored.faults.items():
            fault.where = f"row {position}: {fault.where}" if fault.where else f"row {position}"
            raise fault
        totals = list(scored.totals.values())
    by_arm = np.array(totals, dtype=float).T
    exact = np.array([exact_match(rollout.completion, rollout.ground_truth) for rollout in rollouts], float)
    keys: dict[tuple[int, str], int] = {}
    group = np.array([keys.setdefault((r.step, r.group), len(keys)) for r in rollouts])
    sizes = np.bincount(group)
    signs = np.stack([_signs(total, group, sizes) for total in by_arm])
    compared = sizes[group] > 1
    ranks = [_ranks(total) for total in by_arm]
    logged = [rollout.logged for rollout in rollouts]
    arms = tuple(
        _statistics(name, total, exact, group, sizes, logged)
        for name, total in zip(names, by_arm, strict=True)
    )
    return Rescored(
        rollouts=len(rollouts),
        groups=len(sizes),
        comparable_groups=int((sizes > 1).sum()),
        exact_match=float(exact.mean()),
        arms=arms,
        rank_correlation=tuple(tuple(_correlation(a, b) for b in ranks) for a in ranks),
        sign_agreement=tuple(
            tuple(float((a == b)[compared].mean()) if compared.any() else None for b in signs) for a in signs
        ),
        totals=tuple(tuple(float(value) for value in total) for total in by_arm),
    )


def _statistics(
    name: str,
    total: Floats,
    exact: Floats,
    group: NDArray[np.int64],
    sizes: NDArray[np.int64],
    logged: list[float | None],
) -> ArmStatistics:
    gaps = [abs(score - was) for score, was in zip(total, logged, strict=True) if was is not None]
    error = max(gaps, default=None)
    return ArmStatistics(
        name=name,
        mean=float(total.mean()),
        std=float(total.std()),
        least=float(total.min()),
        most=float(total.max()),
        zero_variance=_zero_variance(total, group, sizes),
        exact_rank=_correlation(_ranks(total), _ranks(exact)),
        exact_auc=_auc(total, exact, group),
        logged_error=None if error is None else float(error),
        reproduces_logged=None if error is None else bool(error <= REPRODUCED),
    )


def _signs(total: Floats, group: NDArray[np.int64], sizes: NDArray[np.int64]) -> Floats:
    import numpy as np

    means = np.bincount(group, weights=total) / sizes
    away = total - means[group]
    return np.where(np.abs(away) <= TIE, 0.0, np.sign(away))


def _zero_variance(total: Floats, group: NDArray[np.int64], sizes: NDArray[np.int64]) -> float | None:
    import numpy as np

    least, most = np.full(len(sizes), np.inf), np.full(len(sizes), -np.inf)
    np.minimum.at(least, group, total)
    np.maximum.at(most, group, total)
    compared = sizes > 1
    return float((most - least <= TIE)[compared].mean()) if compared.any() else None


def _ranks(values: Floats) -> Floats:
    """Ranks from 0; ties get their mean rank, and values that differ only by rounding are ties."""
    import numpy as np

    _, where, counts = np.unique(np.round(values, 9), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts + 1) / 2)[where]


def _correlation(a: Floats, b: Floats) -> float | None:
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale else None


def _auc(total: Floats, exact: Floats, group: NDArray[np.int64]) -> float | None:
    """Share of pairs (exact match, other rollout of the same group) in which the exact match scores higher."""
    import numpy as np

    won = pairs = 0.0
    order = np.argsort(group, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        right, wrong = total[members][exact[members] == 1], total[members][exact[members] == 0]
        ahead = right[:, None] - wrong[None, :]
        won += float((ahead > TIE).sum()) + 0.5 * float((np.abs(ahead) <= TIE).sum())
        pairs += ahead.size
    return won / pairs if pairs else None
