"""When two argument values are equal, as a setting: almost every published design has its own rule."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from toolrl_cli.rewards.errors import RewardError, no_others, one_of, shown
from toolrl_cli.rewards.matching import same_value
from toolrl_cli.rewards.schedule import as_number

RULES = ("value", "python", "json", "numbers_as_text", "folded", "typed")
_FOLD = re.compile(r"[ ,./\-_*^]")


@dataclass(frozen=True)
class Equality:
    """A rule for values.

    Attributes:
        rule: `value` (as `matching.same_value`); `python` (`==`: true is 1); `json` (the same JSON text with sorted
            keys: 1 is not 1.0); `numbers_as_text` (1 is "1", and not 1.0); `folded` (texts as BFCL folds them: without
            case, space and , . / - _ * ^); `typed` (the given value's type is the gold's or a subclass, recursively).
        tolerance: numbers may differ by so much; under `typed` only floats.
        overlap: of `typed`: two texts of two words or more are equal if Σ min of their words' counts over the number
            of words of both reaches this (0 lets any two pass, above 0.5 refuses the gold text itself); None: texts
            have to be the same.
    """

    rule: str = "value"
    tolerance: float = 0.0
    overlap: float | None = None

    def same(self, wanted: Any, given: Any) -> bool:
        """Whether a given value counts as the wanted one; values too deep to be compared do not."""
        try:
            return self._same(wanted, given)
        except RecursionError:
            return False

    def _same(self, wanted: Any, given: Any) -> bool:
        if self.rule == "typed":
            return self._typed(wanted, given)
        if self.tolerance and _is_number(wanted) and _is_number(given):
            return math.isclose(wanted, given, rel_tol=0, abs_tol=self.tolerance)
        if self.tolerance and isinstance(wanted, list) and isinstance(given, list):
            return len(wanted) == len(given) and all(map(self._same, wanted, given))
        if self.tolerance and isinstance(wanted, dict) and isinstance(given, dict):
            return wanted.keys() == given.keys() and all(self._same(v, given[k]) for k, v in wanted.items())
        if self.rule == "python":
            return bool(wanted == given)
        if self.rule == "json":
            return json.dumps(wanted, sort_keys=True) == json.dumps(given, sort_keys=True)
        if self.rule == "numbers_as_text":
            return same_value(*(_changed(each, _number_as_text) for each in (wanted, given)))
        if self.rule == "folded":
            return same_value(*(_changed(each, _folded) for each in (wanted, given)))
        return same_value(wanted, given)

    def _typed(self, wanted: Any, given: Any) -> bool:
        if not isinstance(given, type(wanted)):
            return False
        if isinstance(wanted, dict):
            return wanted.keys() == given.keys() and all(self._typed(v, given[k]) for k, v in wanted.items())
        if isinstance(wanted, list):
            return len(wanted) == len(given) and all(map(self._typed, wanted, given))
        if isinstance(wanted, float):
            return math.isclose(wanted, given, rel_tol=0, abs_tol=self.tolerance)
        if isinstance(wanted, str) and self.overlap is not None:
            left, right = wanted.lower().split(), given.lower().split()
            if min(len(left), len(right)) >= 2:
                shared = (Counter(left) & Counter(right)).total()
                return shared / (len(left) + len(right)) >= self.overlap
        return bool(wanted == given)

    def to_dict(self) -> dict[str, Any]:
        """All settings that differ from the default, ready for JSON."""
        found: dict[str, Any] = {} if self.rule == "value" else {"rule": self.rule}
        found |= {"tolerance": self.tolerance} if self.tolerance else {}
        return found | ({} if self.overlap is None else {"overlap": self.overlap})


def parse_equality(raw: Any, where: str) -> Equality:
    """A rule: its name, or `{rule, tolerance, overlap}`.

    Raises:
        RewardError: it is neither.
    """
    if isinstance(raw, str):
        return Equality(one_of(raw, RULES, where))
    if not isinstance(raw, Mapping):
        raise RewardError(
            f"{shown(raw)} is no rule of equality", where, f"one of {', '.join(RULES)}, or a mapping"
        )
    no_others(raw, ("rule", "tolerance", "overlap"), where)
    rule = one_of(raw.get("rule", "value"), RULES, f"{where}.rule")
    tolerance = as_number(raw.get("tolerance", 0.0), f"{where}.tolerance")
    overlap = None if raw.get("overlap") is None else as_number(raw["overlap"], f"{where}.overlap")
    if tolerance < 0 or (overlap is not None and not 0 <= overlap <= 1):
        raise RewardError("tolerance is 0 or more, and overlap from 0 to 1", where)
    if overlap is not None and rule != "typed":
        raise RewardError("overlap belongs to the rule `typed`", f"{where}.overlap")
    if tolerance and rule in ("json", "numbers_as_text", "folded"):
        raise RewardError(
            f"tolerance has no effect under the rule {rule!r}", f"{where}.tolerance", "leave it out"
        )
    return Equality(rule, tolerance, overlap)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _changed(value: Any, change: Callable[[Any], Any]) -> Any:
    """A JSON value with each number, text, truth value and null in it changed."""
    if isinstance(value, dict):
        return {key: _changed(each, change) for key, each in value.items()}
    if isinstance(value, list):
        return [_changed(each, change) for each in value]
    return change(value)


def _number_as_text(value: Any) -> Any:
    return str(value) if _is_number(value) else value


def _folded(value: Any) -> Any:
    return folded(value) if isinstance(value, str) else value


def folded(text: str) -> str:
    """A text as BFCL compares it: without case, space and , . / - _ * ^, and every quote a double one."""
    return _FOLD.sub("", text).lower().replace("'", '"')
