"""A reward: named components with weights; its value is Σ weight(step) · component."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from toolrl_cli.rewards.components import Component
from toolrl_cli.rewards.composing.conditions import holds, parts_of
from toolrl_cli.rewards.errors import RewardError, shown
from toolrl_cli.rewards.reading import NO_ROW, Reading


class Part(NamedTuple):
    """One component of one score; `weighted` = `weight` · `raw`.

    Attributes:
        raw: the component's value on its own range.
        weight: its factor at this step.
        weighted: what it adds to the total.
    """

    raw: float
    weight: float
    weighted: float


class Score(NamedTuple):
    """A completion's score: `total` is the sum of the parts' `weighted`, in the order of `parts`, within the clamp.

    `beside` has what users' functions returned beside their values, as `<part>/<key>`: metrics, and texts.
    """

    total: float
    parts: dict[str, Part]
    beside: Mapping[str, float | str] = NO_ROW


_new = tuple.__new__  # half the cost of calling a NamedTuple; done three times for each score


class Scale(NamedTuple):
    """A component with its weight and its range at one step."""

    component: Component
    weight: float
    low: float
    high: float


@dataclass(frozen=True)
class Reward:
    """A composition of components under one fidelity; made by `get_reward`.

    Two rewards are equal if they compute the same score; the name is a label and does not count.

    Attributes:
        components: format, correctness and length first, then the others by name; each after those it refers to.
        fidelity: `released` or `paper`.
        name: the design's name, or one that the user or the composition gives.
        clamp: [least, most] total; None where nothing is cut off.
    """

    components: tuple[Component, ...]
    fidelity: str = "released"
    name: str = field(default="custom", compare=False)
    clamp: tuple[float, float] | None = None

    # names of parts that others refer to; whether any part has a condition or is for some sources only
    _referred: frozenset[str] = field(default=frozenset(), init=False, compare=False, repr=False)
    _plain: bool = field(default=True, init=False, compare=False, repr=False)

    # cache of weights and ranges by step: a batch has only a few different steps
    _scales: dict[tuple[int, int | None], list[Scale]] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    def __post_init__(self) -> None:
        referred = frozenset(name for part in self.components for name in part.refers_to)
        gated = any(part.only_if or part.sources for part in self.components)
        object.__setattr__(self, "_referred", referred)
        object.__setattr__(self, "_plain", not referred and not gated)

    def score(
        self,
        completion: str,
        ground_truth: str,
        step: int = 0,
        total_steps: int | None = None,
        tokens: int | None = None,
        row: Mapping[str, Any] = NO_ROW,
    ) -> Score:
        """Scores one completion.

        Args:
            completion: text of the assistant's turn as generated, with special tokens; surrounding white space and
                everything after `<|im_end|>` (of Llama: `<|eot_id|>`) are ignored, and what comes before the turn.
            ground_truth: text of the gold turn.
            step: verl's global step: 1 at the first update, 0 in the validation before training.
            total_steps: length of the run; needed where a schedule counts in shares of the run.
            tokens: length of the response as it was generated; needed by `overlong`.
            row: what `row_facts` tells of the data's row, for components that ask for it.

        Raises:
            RewardError: the ground truth cannot be read, a user component failed, a schedule lacks `total_steps`,
                or `overlong` lacks `tokens`. Never because of the completion's text.
        """
        if not isinstance(completion, str) or not isinstance(ground_truth, str):
            wrong = completion if not isinstance(completion, str) else ground_truth
            raise RewardError(f"completion and ground truth are texts, and one is {shown(wrong)}", "score")
        reading = Reading(completion, ground_truth, step, total_steps, tokens, row)
        addends = []
        parts: dict[str, Part] = {}
        scales = self._scales.get((step, total_steps)) or self._scales_at(step, total_steps)
        for component, weight, low, high in scales:
            if self._plain:
                raw = component.raw(reading, self.fidelity, low, high)
            else:
                raw, weight = self._linked(component, weight, low, high, reading)
            weighted = weight * raw
            addends.append(weighted)
            parts[component.name] = _new(Part, (raw, weight, weighted))
        # sum, and not +=, so that the sum of the parts is the total on every Python (3.12 compensates)
        total = sum(addends)
        if self.clamp is not None:
            total = min(max(total, self.clamp[0]), self.clamp[1])
        return _new(Score, (total, parts, reading.beside))

    def score_group(
        self,
        completions: Sequence[str],
        ground_truth: str,
        step: int = 0,
        total_steps: int | None = None,
        tokens: Sequence[int | None] = (),
        row: Mapping[str, Any] = NO_ROW,
    ) -> list[Score]:
        """Scores all responses to one prompt, for parts whose functions are given them together (`batch: true`).

        Such a function is given those responses that its part counts for. All else is as in `score`, response by
        response.

        Args:
            completions: the responses.
            tokens: length of each; empty where none is known.
            ground_truth, step, total_steps, row: as for `score`.

        Raises:
            RewardError: as `score`.
        """
        lengths = list(tokens) or [None] * len(completions)
        given = list(zip(completions, lengths, strict=True))
        if not self.takes_groups:
            return [self.score(c, ground_truth, step, total_steps, long, row) for c, long in given]
        readings = [Reading(c, ground_truth, step, total_steps, long, row) for c, long in given]
        parts: list[dict[str, Part]] = [{} for _ in readings]
        for component, weight, low, high in self._scales_at(step, total_steps):
            if component.takes_groups and (counted := [r for r in readings if self._counts(component, r)]):
                component.look_at_group(counted)
            for reading, found in zip(readings, parts, strict=True):
                raw, factor = self._linked(component, weight, low, high, reading)
                found[component.name] = Part(raw, factor, factor * raw)
        return [Score(self._total(p), p, r.beside) for p, r in zip(parts, readings, strict=True)]

    @property
    def takes_groups(self) -> bool:
        """Whether a score may depend on the other responses to the prompt: `score` is for one alone."""
        return any(component.takes_groups for component in self.components)

    def _counts(self, component: Component, reading: Reading) -> bool:
        if component.sources and not self._is_for(component, reading):
            return False
        return all(holds(condition, reading) for condition in component.only_if)

    def _total(self, parts: Mapping[str, Part]) -> float:
        total = sum(part.weighted for part in parts.values())
        return total if self.clamp is None else min(max(total, self.clamp[0]), self.clamp[1])

    def _linked(
        self, component: Component, weight: float, low: float, high: float, reading: Reading
    ) -> tuple[float, float]:
        """Raw value and weight of a part that may have conditions; what others refer to is remembered."""
        if component.sources and not self._is_for(component, reading):
            return 0.0, 0.0
        if all(holds(condition, reading) for condition in component.only_if):
            raw = component.raw(reading, self.fidelity, low, high)
        else:
            raw = low if component.otherwise is None else component.otherwise
        if component.name in self._referred:
            reading.shares[component.name] = _share(raw, low, high)
        return raw, weight

    def shares(self, score: Score, step: int = 0, total_steps: int | None = None) -> dict[str, float]:
        """Of each part that others refer to, how far up its range a score's raw value is, from 0 to 1."""
        return {
            component.name: _share(score.parts[component.name].raw, low, high)
            for component, _, low, high in self._scales_at(step, total_steps)
            if component.name in self._referred
        }

    def _is_for(self, component: Component, reading: Reading) -> bool:
        source = reading.row.get("data_source")
        if source is None:
            raise RewardError(
                "the row's data_source is not known here",
                f"components.{component.name}",
                "training knows it; leave `sources` out to score texts alone",
                completion=reading.completion,
                ground_truth=reading.truth.text,
                step=reading.step,
            )
        return source in component.sources

    def score_many(
        self,
        rows: Iterable[Mapping[str, Any] | Sequence[Any]],
        step: int = 0,
        total_steps: int | None = None,
    ) -> list[Score]:
        """Scores a batch.

        Args:
            rows: mappings with `completion` and `ground_truth` and, where a row has its own, `step` and
                `total_steps`; or tuples in that order, of two to four.
            step, total_steps: for rows that do not have their own.

        Returns:
            One score for each row, in their order.

        Raises:
            RewardError: as for `score`; `where` names the position of the row, counted from 0.
        """
        scores = []
        for position, row in enumerate(rows):
            try:
                scores.append(self.score(*_unpacked(row, step, total_steps)))
            except RewardError as fault:
                fault.where = f"row {position}: {fault.where}" if fault.where else f"row {position}"
                raise
        return scores

    def total_range(
        self, step: int = 0, total_steps: int | None = None, ground_truth: str | None = None
    ) -> tuple[float, float]:
        """[least, most] total at `step`, over all ground truths or for the given one.

        Infinite where a user component declares no range.
        """
        spans = self.part_ranges(step, total_steps, ground_truth).values()
        low, high = sum(low for low, _ in spans), sum(high for _, high in spans)
        if self.clamp is None:
            return low, high
        least, most = self.clamp
        return min(max(low, least), most), min(max(high, least), most)

    def max_total(
        self, step: int = 0, total_steps: int | None = None, ground_truth: str | None = None
    ) -> float:
        """The highest possible total at `step`, over all ground truths or for the given one."""
        return self.total_range(step, total_steps, ground_truth)[1]

    def part_ranges(
        self,
        step: int = 0,
        total_steps: int | None = None,
        ground_truth: str | None = None,
        row: Mapping[str, Any] = NO_ROW,
    ) -> dict[str, tuple[float, float]]:
        """[least, most] weighted value of each part, for the same arguments as `total_range`.

        With a row, a part that is for other sources counts nothing.
        """
        reading = None if ground_truth is None else Reading("", ground_truth, step, total_steps)
        source = row.get("data_source")
        ranges = {}
        for component, weight, low, high in self._scales_at(step, total_steps):
            least, most = component.reach(reading, self.fidelity, low, high)
            if component.only_if:
                rest = low if component.otherwise is None else component.otherwise
                of_row = [condition for condition in component.only_if if not parts_of([condition])]
                if reading is not None and not all(holds(condition, reading) for condition in of_row):
                    least = most = rest  # whatever the completion
                elif len(of_row) < len(component.only_if) or reading is None:
                    least, most = min(least, rest), max(most, rest)
            if component.sources and source is None:
                least, most = min(least, 0.0), max(most, 0.0)
            elif component.sources and source not in component.sources:
                least = most = 0.0
            low, high = least, most
            ends = (weight * low, weight * high) if weight else (0.0, 0.0)
            ranges[component.name] = (min(ends), max(ends))
        return ranges

    @property
    def needs_tokens(self) -> bool:
        """Whether it scores no response whose length in tokens is not known."""
        return any("tokens" in component.needs for component in self.components)

    def to_dict(self) -> dict[str, Any]:
        """Canonical composition, fully resolved and ready for JSON; `get_reward` builds an equal reward from it.

        It has no names of designs, so that equal compositions are equal mappings however they were written.
        """
        components = {c.name: dict(sorted(c.to_dict().items())) for c in self.components}
        clamp = {} if self.clamp is None else {"clamp": list(self.clamp)}
        return {**clamp, "components": dict(sorted(components.items())), "fidelity": self.fidelity}

    def identity(self) -> dict[str, Any]:
        """`to_dict` without the paths and time limits of user components: only what decides the score."""
        whole = self.to_dict()
        for component in whole["components"].values():
            for key in ("path", "module", "timeout"):
                component.pop(key, None)
        return whole

    def _scales_at(self, step: int, total_steps: int | None) -> list[Scale]:
        scales = [
            Scale(
                component.at_step(step, total_steps),
                component.weight_at(step, total_steps),
                *component.range_at(step, total_steps),
            )
            for component in self.components
        ]
        self._scales[step, total_steps] = scales
        return scales


def _share(raw: float, low: float, high: float) -> float:
    return (raw - low) / (high - low) if high > low else 1.0


def _unpacked(
    row: Mapping[str, Any] | Sequence[Any], step: int, total_steps: int | None
) -> tuple[str, str, int, int | None]:
    """(completion, ground truth, step, total steps) of a row of `score_many`."""
    if isinstance(row, (dict, Mapping)):  # the first test is the faster one and usually decides
        try:
            completion, ground_truth = row["completion"], row["ground_truth"]
        except KeyError as fault:
            raise RewardError(f"has no {fault}, but {', '.join(map(str, row))}") from fault
        return completion, ground_truth, row.get("step", step), row.get("total_steps", total_steps)
    if isinstance(row, str) or not 2 <= len(row) <= 4:
        raise RewardError("is no (completion, ground_truth[, step[, total_steps]])")
    own_step = row[2] if len(row) > 2 else step
    own_total = row[3] if len(row) > 3 else total_steps
    return row[0], row[1], own_step, own_total
