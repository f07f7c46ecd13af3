"""The differences between the released code and the paper that affect the score of one completion.

The numbers are those of the list of deviations found by running the released scorer (ToolRL 8cee13e) against
arXiv 2504.13958 (17 was found later). Deviations that do not affect this completion, ground truth and step are left
out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from toolrl_cli.rewards.components import Correctness, Format, Length
from toolrl_cli.rewards.designs import DEFAULTS, compose, names_by_composition, read_name
from toolrl_cli.rewards.matching import (
    EXACT,
    MISSHAPEN,
    Match,
    match_calls,
    paper_match,
    released_match,
    same_calls,
)
from toolrl_cli.rewards.reading import CALL, Reading, fields_in_order, format_holds, think_words
from toolrl_cli.rewards.reward import Reward


@dataclass(frozen=True)
class Difference:
    """One deviation of the released code from the paper that affects a score; `text` states it with its numbers."""

    number: int
    topic: str
    text: str


def differences(reward: Reward, reading: Reading) -> tuple[Difference, ...]:
    """The deviations that apply to this reading under this reward, in the order of their numbers."""
    found: dict[int, Difference] = {}
    for component in reward.components:
        if isinstance(component, Correctness):
            for difference in _of_correctness(component, reading):
                found.setdefault(difference.number, difference)
        elif isinstance(component, Format):
            for difference in _of_format(reading):
                found.setdefault(difference.number, difference)
        elif isinstance(component, Length):
            for difference in _of_length(component, reading):
                found.setdefault(difference.number, difference)
    for difference in _of_scale(reward, reading):
        found.setdefault(difference.number, difference)
    return tuple(found[number] for number in sorted(found))


def _of_format(reading: Reading) -> Iterator[Difference]:
    fields = (reading.turn, reading.truth.wants_call, reading.truth.wants_response)
    if not format_holds(*fields) and fields_in_order(*fields, text_between=False):
        text = f"the fields are in order, and between them stands {_between(reading.turn)}: the code wants one line end"
        yield Difference(17, "white space between fields", text)


def _between(turn: str) -> str:
    """What stands around the tags between the fields, as Python writes it."""
    parts = re.findall(r"</think>(\s*)<|<tool_call>(\s*)|(\s*)</tool_call>|</tool_call>(\s*)<", turn)
    return ", ".join(dict.fromkeys(repr("".join(found)) for found in parts))


def _of_correctness(component: Correctness, reading: Reading) -> Iterator[Difference]:
    truth = reading.truth
    if not truth.wants_call:
        text = "the ground truth has no call: the code gives 0, the paper's formula one of the two ends"
        yield Difference(3, "no call wanted", text)
        return
    if reading.turn.count(CALL) > 1:
        text = "the first block is scored; the evaluators of BFCL and API-Bank read the last"
        yield Difference(13, "several tool_call blocks", text)
    released = _matched(component, reading, "released")
    if released is None:
        yield Difference(5, "unreadable calls", "no block, bad JSON or a bad shape gives the lowest value")
        return
    if released.share > 0 and not format_holds(reading.turn, truth.wants_call, truth.wants_response):
        text = f"the calls earn {released.share:.4g} of the range although the format fails"
        yield Difference(4, "format does not gate correctness", text)
    if released is not EXACT:
        yield from _of_matching(component, reading, released)


def _of_matching(component: Correctness, reading: Reading, released: Match) -> Iterator[Difference]:
    calls = reading.calls or []
    if component.granularity == "coarse":
        if same_calls(reading.truth.calls, calls):
            text = "the same calls in another order: the code compares lists, the paper sets"
            yield Difference(6, "order of calls", text)
        return
    paper = _matched(component, reading, "paper")
    if paper is None:
        return
    if component.granularity == "finegrained":
        if _order_decides(reading, released, paper):
            text = f"in order the calls earn {released.share:.4g} of the range, as sets {paper.share:.4g}"
            yield Difference(6, "order of names and keys", text)
    elif abs(released.name_score - paper.name_score) > 1e-12:
        text = f"with repeats the names earn {released.name_score:.4g}, as a set {paper.name_score:.4g}"
        yield Difference(2, "repeated names", text)
    if component.granularity == "finegrained":
        # compare the paper's pairs with the code's, ignoring the order of keys: the rest is due to the matching
        greedy = _pair_total(released_match(reading.truth, calls, "original"))
        best = _pair_total(paper_match(reading.truth, calls, "original"))
    else:
        greedy, best = _pair_total(released), _pair_total(paper)
    if abs(greedy - best) > 1e-12:
        text = f"greedy, same-name pairs earn {greedy:.4g}, the best assignment {best:.4g}"
        yield Difference(1, "matching", text)


def _matched(component: Correctness, reading: Reading, fidelity: str) -> Match | None:
    if reading.calls is None:
        return None
    try:
        return match_calls(reading.truth, reading.calls, component.granularity, fidelity)
    except MISSHAPEN:
        return None


def _pair_total(match: Match) -> float:
    return sum(score for _, _, score in match.pairs)


def _order_decides(reading: Reading, released: Match, paper: Match) -> bool:
    """Whether names or keys are the same but in another order."""
    if paper.name_score != released.name_score:
        return True
    golds, calls = reading.truth.calls, reading.calls or []
    for gold, predicted, _ in released.pairs:
        wanted, given = golds[gold]["parameters"], calls[predicted]["parameters"]
        if wanted.keys() == given.keys() and list(wanted) != list(given):
            return True
    return False


def _of_length(component: Length, reading: Reading) -> Iterator[Difference]:
    words = think_words(reading.turn)
    target = component.target_at(reading.step, reading.total_steps)
    if words is not None and words < target and round(words / target, 2) != words / target:
        text = f"{words} white-space words over {target:g}: the code rounds the ratio to {words / target:.2f}"
        yield Difference(8, "length", text)


def _of_scale(reward: Reward, reading: Reading) -> Iterator[Difference]:
    name = names_by_composition().get((reward.components, reward.fidelity))
    if name is None:
        return
    axes, _ = read_name(name)
    step, total = reading.step, reading.total_steps
    if axes.get("scale") == "dynamic":
        yield Difference(7, "dynamic scale", _two_scales(axes, step, total, ("format", "correctness")))
    if axes.get("length") == "dynamic":
        yield Difference(8, "dynamic length", _two_targets(axes, step, total))


def _two_scales(axes: dict[str, str], step: int, total: int | None, parts: tuple[str, ...]) -> str:
    def spans(fidelity: str) -> str:
        ranges = Reward(compose({**DEFAULTS, **axes}, fidelity), fidelity).part_ranges(step, total)
        return ", ".join(f"{part} [{ranges[part][0]:.4g}, {ranges[part][1]:.4g}]" for part in parts)

    paper = "over the run's own length" if total is None else spans("paper")
    return f"over 150 steps, whatever the run's length: {spans('released')} here; paper: {paper}"


def _two_targets(axes: dict[str, str], step: int, total: int | None) -> str:
    def target(fidelity: str) -> float:
        component = compose({**DEFAULTS, **axes}, fidelity)[-1]
        assert isinstance(component, Length)
        return component.target_at(step, total)

    paper = "512 to 1024 over the run" if total is None else f"{target('paper'):.4g}"
    return (
        f"a target of {target('released'):.4g} words here, 384 to 640 over 105 steps and on; paper: {paper}"
    )
