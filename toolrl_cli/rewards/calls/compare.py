"""Compares the calls of a turn with the gold turn's: credit for each pair, pairs, and the share that they come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from toolrl_cli.rewards.calls.equality import Equality
from toolrl_cli.rewards.calls.style import Call, ReadCalls, Style
from toolrl_cli.rewards.errors import RewardError
from toolrl_cli.rewards.matching import assign
from toolrl_cli.rewards.reading import Reading, Truth

CREDITS = ("exact", "name", "arguments", "match_tir")
PAIRINGS = ("optimal", "greedy", "best_first", "ordered")
MEASURES = ("recall", "precision", "f1", "max", "min", "pairs")
EITHER = Style(form="any", key="either")


class Pair(NamedTuple):
    """A gold call and a predicted one, by position, and what the predicted one earns for it."""

    gold: int
    predicted: int
    credit: float


class Compared(NamedTuple):
    """What a turn's calls come to; `share` is `earned` over `out_of`, times `factor`."""

    pairs: tuple[Pair, ...]
    earned: float
    out_of: float
    factor: float
    share: float


@dataclass(frozen=True)
class Comparison:
    """A rule for two lists of calls.

    Attributes:
        credit: what a pair earns. `exact`: 1 if name and arguments are equal. `name`: 1 if the names are.
            `arguments`: with equal names, the share of the gold's arguments that are equal (1 where it has none).
            `match_tir`: with names equal but for case, (1 + Jaccard of the keys + equal values) / (2 + gold's keys).
            A mapping `call`, `name`, `arguments`: the first for any call, the second if the name is right too, the
            third times the share of the gold's arguments then.
        equality: of values.
        keys: `all` (a further argument makes a call unequal) or `gold` (the gold's count alone).
        pairing: `optimal` (the largest sum), `greedy` (in the gold's order, the best that is left), `best_first`
            (pairs by falling credit), `ordered` (first with first, second with second).
        measure: what the pairs' credit is divided by: gold calls (`recall`), predicted calls (`precision`), the mean
            of both (`f1`), the larger or the smaller number (`max`, `min`), or the number of pairs (`pairs`).
        unpaired: what a predicted call without a partner earns.
        extra: factor for more calls than wanted: `free` (none), or `ratio` (gold calls / predicted calls).
        unequal: factor where the numbers of calls differ.
        at_least: a share below this counts as 0.
    """

    credit: str | tuple[tuple[str, float], ...] = "exact"
    equality: Equality = field(default_factory=Equality)
    keys: str = "all"
    pairing: str = "optimal"
    measure: str = "f1"
    unpaired: float = 0.0
    extra: str = "free"
    unequal: float = 1.0
    at_least: float = 0.0

    def compare(self, wanted: tuple[Call, ...], given: tuple[Call, ...]) -> Compared:
        """The share of the wanted calls that the given ones come to; there is at least one wanted call."""
        scores = [[self.credit_of(gold, call) for call in given] for gold in wanted]
        pairs = tuple(
            Pair(g, p, scores[g][p]) for g, p in self._pairs(scores, len(given)) if scores[g][p] > 0
        )
        golds, calls = len(wanted), len(given)
        earned = sum(pair.credit for pair in pairs) + self.unpaired * (calls - len(pairs))
        out_of = {
            "recall": golds,
            "precision": calls,
            "f1": (golds + calls) / 2,
            "max": max(golds, calls),
            "min": min(golds, calls),
            "pairs": len(pairs),
        }[self.measure]
        factor = golds / calls if self.extra == "ratio" and calls > golds else 1.0
        factor *= self.unequal if golds != calls else 1.0
        share = factor * earned / out_of if out_of else 0.0
        return Compared(pairs, earned, out_of, factor, share if share >= self.at_least - 1e-12 else 0.0)

    def credit_of(self, gold: Call, call: Call) -> float:
        """What a predicted call earns for a gold call."""
        if self.credit == "match_tir":
            return self._match_tir(gold, call)
        named = gold.name == call.name
        if isinstance(self.credit, tuple):
            credit = dict(self.credit)
            right = credit["name"] + credit["arguments"] * self._right(gold, call) if named else 0.0
            return credit["call"] + right
        if not named:
            return 0.0
        if self.credit == "name":
            return 1.0
        if self.credit == "arguments":
            return self._right(gold, call)
        if self.keys == "all":
            return float(self.equality.same(gold.arguments, call.arguments))
        return float(self._right(gold, call) == 1.0)

    def told(self, gold: Call, call: Call) -> str:
        """How the credit of a pair comes about, in a few words."""
        named = "name right" if gold.name == call.name else f"{call.name} for {gold.name}"
        if self.credit == "name":
            return named
        more = len(call.arguments.keys() - gold.arguments.keys())
        right = round(self._right(gold, call) * len(gold.arguments))
        return f"{named}, {right} of {len(gold.arguments)} arguments" + (f", {more} more" if more else "")

    def _right(self, gold: Call, call: Call) -> float:
        """Share of the gold's arguments that the call has too."""
        same = self.equality.same
        equal = sum(
            key in call.arguments and same(v, call.arguments[key]) for key, v in gold.arguments.items()
        )
        return equal / len(gold.arguments) if gold.arguments else 1.0

    def _match_tir(self, gold: Call, call: Call) -> float:
        if gold.name.lower() != call.name.lower():
            return 0.0
        union = gold.arguments.keys() | call.arguments.keys()
        common = gold.arguments.keys() & call.arguments.keys()
        jaccard = len(common) / len(union) if union else 1.0
        equal = sum(self.equality.same(gold.arguments[key], call.arguments[key]) for key in common)
        return (1 + jaccard + equal) / (2 + len(gold.arguments))

    def _pairs(self, scores: list[list[float]], calls: int) -> list[tuple[int, int]]:
        if not calls:
            return []
        if self.pairing == "ordered":
            return [(n, n) for n in range(min(len(scores), calls))]
        if self.pairing == "optimal":
            return assign(scores)
        free, found = set(range(calls)), []
        if self.pairing == "greedy":
            for gold, row in enumerate(scores):
                best = max(sorted(free), key=row.__getitem__, default=None)
                if best is not None and row[best] > 0:
                    found.append((gold, best))
                    free.discard(best)
            return found
        golds = set(range(len(scores)))
        for gold, call in sorted(
            ((g, p) for g in golds for p in free), key=lambda pair: -scores[pair[0]][pair[1]]
        ):
            if gold in golds and call in free:
                found.append((gold, call))
                golds.discard(gold)
                free.discard(call)
        return found

    def to_dict(self) -> dict[str, Any]:
        """All settings, ready for JSON."""
        credit = dict(self.credit) if isinstance(self.credit, tuple) else self.credit
        rest = {
            key: getattr(self, key)
            for key in ("keys", "pairing", "measure", "unpaired", "extra", "unequal", "at_least")
        }
        return {"credit": credit, "equality": self.equality.to_dict(), **rest}


def wanted_calls(truth: Truth) -> tuple[Call, ...]:
    """The gold turn's calls, arguments under `parameters` or `arguments`.

    Raises:
        RewardError: one has no name, or no object of arguments; a fault in the data.
    """
    if not truth.wants_call:
        return ()
    read = EITHER.read_blocks([truth.block])
    if read.calls is None:
        raise RewardError(
            read.problem, "ground truth", "correct the row or leave it out", ground_truth=truth.text
        )
    return read.calls


def given_calls(reading: Reading, style: Style) -> ReadCalls:
    """The turn's calls in a style, read once for all components that share it."""
    found: ReadCalls | None = reading.memo.get(style)
    if found is None:
        found = reading.memo[style] = style.read(reading.turn)
    return found


def offered_tools(reading: Reading, where: str) -> Mapping[str, Mapping[str, Any]]:
    """Name → JSON schema of the parameters, of the tools that the row offers in `extra_info.tools`.

    Raises:
        RewardError: the row does not say which tools it offers.
    """
    found: Mapping[str, Mapping[str, Any]] | None = reading.memo.get("tools")
    if found is None:
        found = reading.memo["tools"] = _tools(reading, where)
    return found


def _tools(reading: Reading, where: str) -> Mapping[str, Mapping[str, Any]]:
    import json  # only rewards that look at the tools

    extra = reading.row.get("extra_info")
    tools = extra.get("tools") if isinstance(extra, Mapping) else None
    if isinstance(tools, str):
        try:
            tools = json.loads(tools)
        except ValueError:
            tools = None
    known: dict[str, Mapping[str, Any]] = {}
    for tool in tools if isinstance(tools, (list, tuple)) else ():
        told = tool.get("function", tool) if isinstance(tool, Mapping) else {}
        if isinstance(told, Mapping) and isinstance(told.get("name"), str):
            parameters = told.get("parameters")
            known[told["name"]] = parameters if isinstance(parameters, Mapping) else {}
    if not known:
        raise RewardError(
            "the row does not say which tools it offers",
            where,
            "it needs extra_info.tools: a JSON list of {name, parameters: JSON schema}; or leave the component out",
            completion=reading.completion,
            ground_truth=reading.truth.text,
            step=reading.step,
            row=reading.row,
        )
    return known
