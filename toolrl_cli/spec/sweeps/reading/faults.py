"""What pydantic finds wrong with a file, in our words: the bad value as YAML has it, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from toolrl_cli.rewards.errors import shown as as_python

LONGEST = 60
MANY = 10  # seeds that a hint writes out
"""Characters of a value that are worth saying again."""

_NUMBER = re.compile(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?", re.I)

Fault = Mapping[str, Any]
"""One entry of `ValidationError.errors()`."""

NOT_A = {
    "string_type": "text",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of a size that fits",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}
"""Type of a finding → what the value is not."""

MUST_BE: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than": lambda limits: f"greater than {limits['gt']:g}",
    "greater_than_equal": lambda limits: f"at least {limits['ge']:g}",
    "less_than": lambda limits: f"less than {limits['lt']:g}",
    "less_than_equal": lambda limits: f"at most {limits['le']:g}",
    "literal_error": lambda limits: str(limits["expected"]),
}
"""Type of a finding → what the value must be."""


def telling_fault(error: ValidationError) -> Fault:
    """The finding that says most: the first, or an unknown key beside it, or, of a union's, the deepest."""
    faults = error.errors(include_url=False)
    beside = [f for f in faults if f["loc"][:1] == faults[0]["loc"][:1]]
    return max(beside, key=lambda f: (f["type"] == "extra_forbidden", len(f["loc"]), -beside.index(f)))


def fault_text(fault: Fault) -> str:
    """The fault in one clause, with the bad value."""
    kind, limits = fault["type"], fault.get("ctx", {})
    if kind == "missing":
        last = fault["loc"][-1]
        return f"the key {last!r} is missing" if isinstance(last, str) else f"item {last + 1} is missing"
    if kind == "union_tag_not_found":
        return f"the key {limits['discriminator']} is missing"
    if kind == "value_error":
        return str(limits["error"])
    value = shown(fault.get("input"))
    if kind == "union_tag_invalid":
        return f"{limits['discriminator']} {limits['tag']!r} must be {_either(limits['expected_tags'])}"
    if kind in NOT_A:
        return f"{value} is not {NOT_A[kind]}"
    if kind in MUST_BE:
        return f"{value} must be {MUST_BE[kind](limits)}"
    if kind == "too_long":
        return f"{value} has {limits['actual_length']} items, and {limits['max_length']} are the most"
    message = str(fault["msg"])
    return f"{value}: {message[0].lower()}{message[1:]}"


def what_to_write(fault: Fault, takes: Callable[[list[Any]], bool]) -> str:
    """What stands in the value's place where it is right; empty where that cannot be told from the value.

    Args:
        fault: the finding.
        takes: whether a list of these would be right where a list is missing.
    """
    kind, value = fault["type"], fault.get("input")
    if len(str(value)) > LONGEST:
        return ""
    if kind in ("list_type", "tuple_type"):
        if fault["loc"][:1] == ("seeds",) and type(value) is int and 1 < value <= MANY:
            return f"write {list(range(1, value + 1))}, or [{value}] for that one seed"
        if value is None:
            return "write [] for none" if takes([]) else ""
        wrapped = "write each as an item: `- …`" if isinstance(value, Mapping) else f"write [{_bare(value)}]"
        return wrapped if value != "" and takes([value]) else ""
    if NOT_A.get(kind) == "a mapping" and value is None:
        return "write {} for no settings"
    if kind == "string_type" and value is not None and not isinstance(value, (list, Mapping)):
        return f"write '{_bare(value)}' in quotes"
    if (
        isinstance(value, str)
        and NOT_A.get(kind) in ("a number", "a whole number")
        and _NUMBER.fullmatch(value)
    ):
        return f"write {value} without quotes"
    return ""


def words_of(fault: Fault) -> list[str]:
    """The words that may stand where something else does; empty where it is no matter of words."""
    expected = {"literal_error": "expected", "union_tag_invalid": "expected_tags"}.get(fault["type"])
    return re.findall(r"'([^']+)'", fault["ctx"][expected]) if expected else []


def shown(value: Any) -> str:
    """A value as YAML has it, cut to a line."""
    return _bare(value) if value is None or isinstance(value, bool) else as_python(value)


def _bare(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _either(words: str) -> str:
    return " or ".join(words.split(", "))
