"""Why a completion got its score: what was read, which calls were matched, every term of every part.

The numbers come from the functions that score; nothing is computed a second way. The result is frozen
dataclasses with `to_dict`, for a command to print.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from toolrl_cli.rewards import matching
from toolrl_cli.rewards.components import Component, Correctness, Format, Length, Overlong, Term
from toolrl_cli.rewards.composing.conditions import holds
from toolrl_cli.rewards.differences import Difference, differences
from toolrl_cli.rewards.reading import (
    CALL,
    CALL_END,
    GROUP,
    NO_ROW,
    RESPONSE,
    RESPONSE_END,
    THINK,
    THINK_END,
    Reading,
    block_problem,
    call_block,
    format_holds,
    think_words,
)
from toolrl_cli.rewards.reward import Part, Reward


@dataclass(frozen=True)
class FieldRead:
    """A field of the turn: whether the ground truth requires it, and how often its tags occur."""

    name: str
    required: bool
    opened: int
    closed: int


@dataclass(frozen=True)
class Parsed:
    """What the reward sees of a completion.

    Attributes:
        turn: the text that is scored, cut out of the completion.
        fields: think, tool_call and response.
        format_holds: whether the required fields are there, once each and in order.
        calls: the predicted calls as JSON texts; empty when they cannot be read.
        problem: why the calls cannot be read; empty when they can, or when no call is wanted.
    """

    turn: str
    fields: tuple[FieldRead, ...]
    format_holds: bool
    calls: tuple[str, ...]
    problem: str


@dataclass(frozen=True)
class Value:
    """The value of one parameter in both calls of a pair, as JSON text; None where a call lacks it."""

    key: str
    wanted: str | None
    given: str | None
    equal: bool


@dataclass(frozen=True)
class AlignedCall:
    """A row of the alignment: a ground-truth call, a predicted call, or a matched pair of them.

    Attributes:
        gold, predicted: positions, counted from 0; None where there is no such call.
        gold_name, predicted_name: as JSON texts without quotes, None as above.
        values: the parameters of both sides.
        score: what the pair adds to the match: its key term and its value term.
    """

    gold: int | None
    predicted: int | None
    gold_name: str | None
    predicted_name: str | None
    values: tuple[Value, ...]
    score: float


@dataclass(frozen=True)
class PartExplained:
    """One part: `weighted` = `weight` · `raw`, and `raw` is the last of the `terms`.

    Attributes:
        alignment: the matched calls of a correctness part; empty where there are no calls to align.
    """

    name: str
    kind: str
    terms: tuple[Term, ...]
    alignment: tuple[AlignedCall, ...]
    raw: float
    weight: float
    weighted: float


@dataclass(frozen=True)
class Explanation:
    """A score with all terms that it consists of; `to_dict` is ready for JSON."""

    reward: str
    fidelity: str
    step: int
    total_steps: int | None
    parsed: Parsed
    parts: tuple[PartExplained, ...]
    total: float
    differences: tuple[Difference, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def explain(
    reward: Reward,
    completion: str,
    ground_truth: str,
    step: int = 0,
    total_steps: int | None = None,
    tokens: int | None = None,
    row: Mapping[str, Any] = NO_ROW,
    others: Sequence[tuple[str, int | None]] = (),
    place: int = 0,
) -> Explanation:
    """Explains one score; the arguments are those of `Reward.score`.

    Args:
        others: completion and tokens of the other responses to the prompt, for rewards that take groups.
        place: how many of these come before this one.

    Raises:
        RewardError: as `Reward.score`.
    """
    group = [*others[:place], (completion, tokens), *others[place:]]
    lengths = [long for _, long in group]
    scores = reward.score_group([text for text, _ in group], ground_truth, step, total_steps, lengths, row)
    score = scores[place]
    reading = Reading(completion, ground_truth, step, total_steps, tokens, row)
    reading.shares, reading.beside = reward.shares(score, step, total_steps), dict(score.beside)
    reading.memo[GROUP] = len(group)
    parts = tuple(
        _explain_part(component, score.parts[component.name], reading, reward.fidelity)
        for component in reward.components
    )
    return Explanation(
        reward=reward.name,
        fidelity=reward.fidelity,
        step=step,
        total_steps=total_steps,
        parsed=_parse(reading),
        parts=parts,
        total=score.total,
        differences=differences(reward, reading),
    )


def _parse(reading: Reading) -> Parsed:
    turn, truth = reading.turn, reading.truth
    fields = (
        FieldRead("think", True, turn.count(THINK), turn.count(THINK_END)),
        FieldRead("tool_call", truth.wants_call, turn.count(CALL), turn.count(CALL_END)),
        FieldRead("response", truth.wants_response, turn.count(RESPONSE), turn.count(RESPONSE_END)),
    )
    holds = format_holds(turn, truth.wants_call, truth.wants_response)
    calls = tuple(_json(call) for call in reading.calls or ())
    return Parsed(turn, fields, holds, calls, _problem(reading))


def _problem(reading: Reading) -> str:
    if reading.calls is not None or not (reading.truth.wants_call or reading.tries_call):
        return ""
    block = call_block(reading.turn)
    return "no <tool_call> … </tool_call> block" if block is None else block_problem(block)


def _explain_part(component: Component, part: Part, reading: Reading, fidelity: str) -> PartExplained:
    low, high = component.range_at(reading.step, reading.total_steps)
    alignment: tuple[AlignedCall, ...] = ()
    unmet = [condition for condition in component.only_if if not holds(condition, reading)]
    if component.sources and reading.row.get("data_source") not in component.sources:
        terms = [Term("raw", f"not for rows of {reading.row.get('data_source')!r}", part.raw)]
    elif unmet:
        terms = [
            Term("raw", f"counts only if {' and '.join(component.only_if)}; not so: {unmet[0]}", part.raw)
        ]
    elif isinstance(component, Correctness):
        alignment, terms = _correctness(component, reading, fidelity, low, high)
    elif isinstance(component, Length):
        terms = _length(component, reading, fidelity, low, high)
    elif isinstance(component, Format):
        in_order = component.holds(reading)
        terms = [Term("fields in order", "yes" if in_order else "no", float(in_order))]
        terms.append(Term("raw", f"{high:g} if in order, else {low:g}", part.raw))
    elif isinstance(component, Overlong):
        rule = f"{low:g} from {component.max_length} tokens on, evenly from {high:g} over the last {component.buffer}"
        terms = [Term("tokens", "of the response", float(reading.tokens or 0)), Term("raw", rule, part.raw)]
    else:
        terms = list(component.terms(reading, low, high, part.raw))
    return PartExplained(component.name, component.kind, tuple(terms), alignment, *part)


def _length(component: Length, reading: Reading, fidelity: str, low: float, high: float) -> list[Term]:
    words, target = think_words(reading.turn), component.target_at(reading.step, reading.total_steps)
    raw = component.raw(reading, fidelity, low, high)
    if words is None:
        return [Term("words", "no think block", 0.0), Term("raw", f"{low:g}", raw)]
    rounded = fidelity == "released"
    share = round(words / target, 2) if rounded else words / target
    ratio = f"{words} / {target:g}" + (" to two decimals" if rounded else "")
    return [
        Term("words", "of the last think block", float(words)),
        Term("share", ratio, share),
        Term("raw", _on_range(min(share, 1.0), low, high), raw),
    ]


def _correctness(
    component: Correctness, reading: Reading, fidelity: str, low: float, high: float
) -> tuple[tuple[AlignedCall, ...], list[Term]]:
    raw = component.raw(reading, fidelity, low, high)
    if not reading.truth.wants_call:
        rule = "0 whatever is called" if fidelity == "released" else "high end if nothing is called"
        return (), [Term("raw", f"the ground truth has no call: {rule}", raw)]
    if reading.calls is None:
        return _aligned(reading, fidelity, []), [Term("raw", f"{_problem(reading)}: {low:g}", raw)]
    try:
        match = matching.match_calls(reading.truth, reading.calls, component.granularity, fidelity)
    except matching.MISSHAPEN as fault:
        problem = f"a call has the wrong shape ({type(fault).__name__}: {fault})"
        return _aligned(reading, fidelity, []), [Term("raw", f"{problem}: {low:g}", raw)]
    if match is matching.EXACT or match is matching.NOTHING:
        exact = match is matching.EXACT
        shown = "the calls equal the ground truth's" if exact else "some call differs, or their order"
        rows = _aligned(reading, fidelity, _equal_pairs(reading, fidelity, component.granularity, exact))
        return rows, [Term("share", shown, match.share), Term("raw", _on_range(match.share, low, high), raw)]
    rows = _aligned(reading, fidelity, match.pairs)
    terms = [Term("names", _NAME_RULE[fidelity, component.granularity], match.name_score)]
    terms += [_pair_term(row, component.granularity) for row in rows if row.score]
    terms += [
        Term("match", " + ".join(f"{term.value:.4g}" for term in terms), match.share * match.full_score),
        Term("S_max", _full_rule(component.granularity), float(match.full_score)),
        Term("raw", _on_range(match.share, low, high), raw),
    ]
    return rows, terms


def _pair_term(row: AlignedCall, granularity: str) -> Term:
    assert row.gold is not None and row.predicted is not None  # only matched pairs have a score
    equal = sum(value.equal for value in row.values)
    earned = "equal" if granularity == "intermediate" else f"keys {row.score - equal:.4g} + values {equal}"
    return Term(f"call {row.gold + 1}", f"predicted call {row.predicted + 1}: {earned}", row.score)


_NAME_RULE = {
    ("released", "original"): "Jaccard of the names, repeats counted",
    ("released", "intermediate"): "Jaccard of the names, repeats counted",
    ("released", "finegrained"): "1 if the names are equal in order",
    ("paper", "original"): "Jaccard of the names",
    ("paper", "intermediate"): "Jaccard of the names",
    ("paper", "finegrained"): "1 if the names are the same",
}


def _full_rule(granularity: str) -> str:
    return "1 + calls" if granularity == "intermediate" else "1 + calls + parameters"


def _on_range(share: float, low: float, high: float) -> str:
    return f"{high - low:g} · {share:.4g} {'-' if low < 0 else '+'} {abs(low):g}"


def _equal_pairs(reading: Reading, fidelity: str, granularity: str, exact: bool) -> list[matching.Pair]:
    """The calls that occur on both sides; they earn their full score if `exact`, when all calls do, and else 0."""
    equals, pairs, rest = matching.equality(fidelity), [], list(enumerate(reading.calls or ()))
    for gold, call in enumerate(reading.truth.calls):
        at = next((i for i, (_, given) in enumerate(rest) if equals(given, call)), None)
        if at is not None:
            predicted, _ = rest.pop(at)
            full = 1.0 if granularity in ("intermediate", "coarse") else 1.0 + len(_parameters(call))
            pairs.append((gold, predicted, full if exact else 0.0))
    return pairs


def _aligned(reading: Reading, fidelity: str, pairs: list[matching.Pair]) -> tuple[AlignedCall, ...]:
    """Every ground-truth call with its partner, then the predicted calls without one."""
    golds, given = reading.truth.calls, reading.calls or []
    partner = {gold: (predicted, score) for gold, predicted, score in pairs}
    rows = [_row(golds, given, fidelity, gold, *partner.get(gold, (None, 0.0))) for gold in range(len(golds))]
    taken = {predicted for predicted, _ in partner.values()}
    rows += [_row(golds, given, fidelity, None, p, 0.0) for p in range(len(given)) if p not in taken]
    return tuple(rows)


def _row(
    golds: list[Any],
    given: list[Any],
    fidelity: str,
    gold: int | None,
    predicted: int | None,
    score: float,
) -> AlignedCall:
    wanted_call = None if gold is None else golds[gold]
    given_call = None if predicted is None else given[predicted]
    wanted, have, equals = _parameters(wanted_call), _parameters(given_call), matching.equality(fidelity)
    values = tuple(
        Value(
            key,
            _json(wanted[key]) if key in wanted else None,
            _json(have[key]) if key in have else None,
            key in wanted and key in have and equals(wanted[key], have[key]),
        )
        for key in dict.fromkeys([*wanted, *have])
    )
    return AlignedCall(gold, predicted, _name(wanted_call), _name(given_call), values, score)


def _name(call: Any) -> str | None:
    if call is None:
        return None
    name = call.get("name") if isinstance(call, dict) else call
    return name if isinstance(name, str) else _json(name)


def _parameters(call: Any) -> dict[str, Any]:
    parameters = call.get("parameters") if isinstance(call, dict) else None
    return parameters if isinstance(parameters, dict) else {}


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:  # a value whose nesting could just be parsed may be too deep to be written
        return "(nested too deep to show)"
