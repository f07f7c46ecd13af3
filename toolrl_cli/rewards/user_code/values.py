"""What users' functions take and return, as plain values; what they make is never trusted to print itself."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from toolrl_cli.rewards.errors import RewardError, shown
from toolrl_cli.rewards.reading import Reading, read_calls

INPUTS = (
    *("completion", "ground_truth", "step", "total_steps", "tokens", "calls", "gold_calls"),
    *("prompt", "solution_str", "data_source", "extra_info"),
)
"""Names of parameters; the last three, with `ground_truth`, are those of verl's reward functions."""

ALIKE = 0.88
"""How like an input's name that of a parameter with a default may not be: one letter too few, too many or swapped."""

SCORE = "score"
"""The key of a returned mapping that counts, as in verl."""


def inputs_of(function: Any, where: str) -> tuple[str, ...]:
    """Names of the inputs that a function takes.

    Raises:
        RewardError: it is no function, or asks for what is no input.
    """
    if isinstance(function, type):
        raise RewardError("is a class", where, "name a function, or an instance to call")
    if not callable(function):
        raise RewardError(f"is {shown(function)}, which is no function", where)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise RewardError("yields, and has to return", where, "return one number")
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as fault:  # built-in functions may have no signature
        raise RewardError("does not say what its inputs are", where) from fault
    _refuse_unfed(parameters, INPUTS, where)
    for p in parameters:
        if p.kind is p.POSITIONAL_ONLY and (p.default is p.empty or p.name in INPUTS):
            hint = f"inputs are given by name: leave out the / after {p.name}"
            raise RewardError(f"takes {p.name!r}, which cannot be given by its name", where, hint)
        if p.name not in INPUTS and p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            raise RewardError(
                f"takes {p.name!r}, which is no input of a component", where, f"inputs: {', '.join(INPUTS)}"
            )
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return INPUTS
    return tuple(p.name for p in parameters if p.name in INPUTS and p.kind is not p.POSITIONAL_ONLY)


def _refuse_unfed(parameters: Iterable[inspect.Parameter], known: Sequence[str], where: str) -> None:
    """Refuse parameters that look as if they were given an input and never are: `*args`, and a misspelt one's default.

    Raises:
        RewardError: with the first.
    """
    parameters = list(parameters)
    named = any(p.name in known or p.kind is p.VAR_KEYWORD for p in parameters)
    for p in parameters:
        if p.kind is p.VAR_POSITIONAL and not named:
            hint = f"name those that it reads: {', '.join(known)}"
            raise RewardError(f"takes *{p.name}, and inputs are given by name", where, hint)
        close = get_close_matches(p.name, known, n=1, cutoff=ALIKE) if p.default is not p.empty else []
        if close and p.name not in known:
            hint = f"did you mean {close[0]!r}? If it is a setting of your own, give it another name"
            raise RewardError(
                f"takes {p.name!r}, which is no input and stays {shown(p.default)}", where, hint
            )


def given(reading: Reading, name: str) -> Any:
    """One input."""
    if name == "ground_truth":
        return reading.truth.text
    if name == "solution_str":
        return reading.completion
    if name in ("data_source", "extra_info", "prompt"):
        return reading.row.get(name)
    # parsed again for each score, because a user's function may change its arguments
    if name == "gold_calls":
        return read_calls(reading.truth.block) if reading.truth.wants_call else []
    if name == "calls":
        return reading.fresh_calls()
    return getattr(reading, name)


def called(function: Callable[..., Any], inputs: tuple[str, ...], reading: Reading) -> float:
    """The number that a function returns; of an async one, once it is done.

    Raises:
        RewardError: it returned something else.
        BaseException: whatever it raises.
    """
    value = function(**{name: given(reading, name) for name in inputs})
    if inspect.isawaitable(value):
        value = _finished(value)
    return number(value)


def number(value: Any) -> float:
    """A returned value as a number: also of a mapping with `score`, and of a scalar of numpy or torch.

    Raises:
        RewardError: it is none, or no float can be so large.
    """
    if isinstance(value, Mapping):
        if SCORE not in value:
            raise RewardError(f"returned a mapping without {SCORE!r}: {shown(value)}")
        value = value[SCORE]
    if not isinstance(value, numbers.Real) and getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = value.item()
    if not isinstance(value, numbers.Real):
        raise RewardError(f"returned {shown(value)}, which is no number")
    try:
        result = float(value)
    except OverflowError:
        raise RewardError(f"returned {shown(value)}, which is too large") from None
    if not math.isfinite(result):
        raise RewardError(f"returned {result}")
    return result


def _finished(value: Any) -> Any:
    """What an async function returns; all calls share one event loop, so that its clients can be kept."""
    import asyncio

    global _LOOP
    if _LOOP is None:
        _LOOP = asyncio.new_event_loop()
        asyncio.set_event_loop(_LOOP)

    async def wait() -> Any:
        return await value

    return _LOOP.run_until_complete(wait())


_LOOP: Any = None
