"""What users' functions take and return, as plain values; what they make is never trusted to print itself."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from toolrl_cli.rewards.errors import RewardError, shown
from toolrl_cli.rewards.reading import Reading, read_calls

INPUTS = (
    *("completion", "ground_truth", "step", "total_steps", "tokens", "calls", "gold_calls"),
    *("prompt", "solution_str", "data_source", "extra_info"),
)
"""Names of parameters; the last three, with `ground_truth`, are those of verl's reward functions."""

OF_RUN = ("step", "total_steps")
BATCH_INPUTS: Mapping[str, str] = {
    name if name in (*OF_RUN, "tokens", "calls", "gold_calls") else f"{name}s": name for name in INPUTS
}
"""Of a function that is given all responses to a prompt: parameter → the input of which it is the list.

Those `OF_RUN` are no lists. The names are those of verl's batch functions and of TRL's.
"""

ALIKE = 0.885
"""How like an input's name that of a parameter with a default may not be: one letter too few, too many or swapped."""

SCORE = "score"
"""The key of a returned mapping that counts, as in verl."""

OWN = ("raw", "weight", "weighted")
"""What every part is logged with; no key of a returned mapping may be called so."""


class Returned(NamedTuple):
    """What a function returned.

    Attributes:
        value: the number that counts.
        beside: of a mapping, its other keys with their numbers, or texts; without those that are None.
    """

    value: float
    beside: dict[str, float | str]


def inputs_of(function: Any, where: str, batch: bool = False) -> tuple[str, ...]:
    """Names of the inputs that a function takes.

    Args:
        function: the user's.
        where: its key path, for messages.
        batch: it is given all responses to a prompt together.

    Raises:
        RewardError: it is no function, or asks for what is no input.
    """
    if isinstance(function, type):
        raise RewardError("is a class", where, "name a function, or an instance to call")
    if not callable(function):
        raise RewardError(f"is {shown(function)}, which is no function", where)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise RewardError("yields, and has to return", where, "return one number")
    known = tuple(BATCH_INPUTS) if batch else INPUTS
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as fault:  # built-in functions may have no signature
        raise RewardError("does not say what its inputs are", where) from fault
    _refuse_unfed(parameters, known, where)
    for p in parameters:
        if p.kind is p.POSITIONAL_ONLY and (p.default is p.empty or p.name in known):
            hint = f"inputs are given by name: leave out the / after {p.name}"
            raise RewardError(f"takes {p.name!r}, which cannot be given by its name", where, hint)
        if p.name not in known and p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            hint = f"inputs{' under batch: true' if batch else ''}: {', '.join(known)}"
            if not batch and p.name in BATCH_INPUTS:
                hint = "`batch: true` gives the function all responses to a prompt, as lists"
            raise RewardError(f"takes {p.name!r}, which is no input of a component", where, hint)
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return known
    return tuple(p.name for p in parameters if p.name in known and p.kind is not p.POSITIONAL_ONLY)


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


def called(
    function: Callable[..., Any], inputs: tuple[str, ...], readings: Sequence[Reading], batch: bool
) -> list[Returned]:
    """What a function returns for each response; of an async one, once it is done.

    Args:
        function: the user's.
        inputs: as `inputs_of` names them.
        readings: one; with `batch`, of all responses to a prompt.
        batch: whether it is given them together.

    Raises:
        RewardError: it returned something else.
        BaseException: whatever it raises.
    """
    if not batch:
        return [returned(_result(function, {n: given(reading, n) for n in inputs})) for reading in readings]
    lists = {n: [given(reading, BATCH_INPUTS[n]) for reading in readings] for n in inputs}
    value = _result(function, {n: each[0] if n in OF_RUN else each for n, each in lists.items()})
    if hasattr(value, "tolist"):  # of numpy or torch
        value = value.tolist()
    wanted = f"a list of one value for each of the {len(readings)} responses"
    if not isinstance(value, (list, tuple)):
        raise RewardError(f"returned {shown(value)}, which is no list", "", wanted)
    if len(value) != len(readings):
        raise RewardError(f"returned {len(value)} values for {len(readings)} responses", "", wanted)
    return [returned(each, f" for response {n} of {len(value)}") for n, each in enumerate(value, start=1)]


def _result(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    value = function(**arguments)
    return _finished(value) if inspect.isawaitable(value) else value


def returned(value: Any, under: str = "") -> Returned:
    """A number, or a mapping with the number under `score` and others beside it.

    Args:
        value: of a user's function.
        under: where it stood, for messages.

    Raises:
        RewardError: it is neither.
    """
    if not isinstance(value, Mapping):
        return Returned(number(value, under), {})
    if SCORE not in value:
        raise RewardError(f"returned a mapping without {SCORE!r}{under}: {shown(value)}")
    beside: dict[str, float | str] = {}
    for key, each in value.items():
        if not isinstance(key, str) or not key.replace("-", "_").isidentifier():
            raise RewardError(f"returned the key {shown(key)}", "", "letters, digits, _ and -")
        if key in OWN:
            raise RewardError(f"returned the key {key!r}", "", f"every part has one: call it my_{key}")
        if key != SCORE and each is not None:
            beside[key] = str(each) if isinstance(each, str) else number(each, f" under {key!r}{under}")
    return Returned(number(value[SCORE], under), beside)


def number(value: Any, under: str = "") -> float:
    """A returned value as a number, also of a scalar of numpy or torch.

    Args:
        under: where it stood, for messages.

    Raises:
        RewardError: it is none, or no float can be so large.
    """
    if not isinstance(value, numbers.Real) and getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = value.item()
    if not isinstance(value, numbers.Real):
        raise RewardError(f"returned {shown(value)}{under}, which is no number")
    try:
        result = float(value)
    except OverflowError:
        raise RewardError(f"returned {shown(value)}{under}, which is too large") from None
    if not math.isfinite(result):
        raise RewardError(f"returned {result}{under}")
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
