"""The paper's reward designs by name: the value that each name sets on its axis, under each fidelity.

Sources: arXiv 2504.13958 (section 3.3, tables 5 to 7) and the released scorer, ToolRL 8cee13e. A design is a
composition like any other; this module holds their definitions and computes no score.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from toolrl_cli.rewards.components import FIDELITIES, Component, Correctness, Format, Length
from toolrl_cli.rewards.errors import RewardError, nearest
from toolrl_cli.rewards.matching import GRANULARITIES
from toolrl_cli.rewards.schedule import Schedule

SCALES = ("original", "equal_max", "two_stage", "dynamic")
LENGTHS = ("none", "static", "dynamic")
LENGTH_NAMES = {"length": "static", "length_dynamic": "dynamic"}
DEFAULTS = {"granularity": "original", "scale": "original", "length": "none"}
AXES = {"granularity": GRANULARITIES, "scale": SCALES, "length": LENGTHS}

# name of a design -> the axes that it sets, with their values
NAMES: dict[str, dict[str, str]] = {
    "original": {"granularity": "original", "scale": "original"},
    **{name: {"scale": name} for name in SCALES[1:]},
    **{name: {"granularity": name} for name in GRANULARITIES[1:]},
    **{name: {"length": value} for name, value in LENGTH_NAMES.items()},
}

TWO_STAGE_STEP = 30
# The released code divides the step by 150 whatever the run's length; its runs have 105 steps.
RELEASED_SCALE_STEPS = 150
RELEASED_LENGTH_STEPS = 105


def read_name(text: str, where: str = "reward", others: tuple[str, ...] = ()) -> tuple[dict[str, str], str]:
    """Axes and fidelity of a name such as `coarse`, `finegrained+dynamic` or `original@paper`.

    Args:
        text: the name.
        where: key path, for messages.
        others: more names that may have been meant.

    Raises:
        RewardError: a name is unknown, or two names set the same axis.
    """
    names, at, fidelity = text.partition("@")
    if at and fidelity not in FIDELITIES:
        raise RewardError(f"{fidelity!r} is no fidelity", where, nearest(fidelity, FIDELITIES))
    axes: dict[str, str] = {}
    taken: dict[str, str] = {}
    for name in (part.strip() for part in names.split("+")):
        if name not in NAMES:
            raise RewardError(f"{name!r} is no reward design", where, _meant(name, others))
        for axis, value in NAMES[name].items():
            if axis in taken:
                raise RewardError(
                    f"{taken[axis]!r} and {name!r} are both names on the axis {axis!r}",
                    where,
                    "join one name per axis; 'original' stands for granularity and scale",
                )
            taken[axis] = name
            axes[axis] = value
    return axes, fidelity if at else "released"


def _meant(name: str, others: tuple[str, ...]) -> str:
    hint = nearest(name, (*NAMES, *others))
    if hint.startswith("did you mean") or not others:
        return hint
    return f"{nearest(name, NAMES)}; other papers': `toolrl reward list --field`"


def write_name(axes: dict[str, str], fidelity: str) -> str:
    """The name of a choice on each axis, in the order granularity, scale, length."""
    names = [axes[axis] for axis in ("granularity", "scale") if axes[axis] != "original"]
    names += [name for name, value in LENGTH_NAMES.items() if value == axes["length"]]
    return "+".join(names or ["original"]) + ("" if fidelity == "released" else f"@{fidelity}")


def compose(axes: dict[str, str], fidelity: str) -> tuple[Component, ...]:
    """The components of a design: format, correctness, and length where the design has it.

    Args:
        axes: a value for each of `granularity`, `scale` and `length`.
    """
    # the paper asks for the fields in order, the released code for the very line ends between them
    form = Format("format", between="white_space" if fidelity == "paper" else "exact")
    correct = Correctness("correctness", granularity=axes["granularity"])
    parts: list[Component] = [*_scaled(form, correct, axes["scale"], fidelity)]
    if axes["length"] != "none":
        parts.append(Length("length", target=_length_target(axes["length"], fidelity)))
    return tuple(parts)


def _scaled(form: Format, correct: Correctness, scale: str, fidelity: str) -> tuple[Component, Component]:
    if scale == "equal_max":
        return form, replace(correct, range=(-1.0, 1.0))
    if scale == "two_stage":
        return (
            replace(form, weight=_step(1.0, 0.5)),
            replace(correct, weight=_step(1 / 3, 1.0)),
        )
    if scale == "dynamic" and fidelity == "paper":
        over_run = {"format": (2.0, 1.0), "correctness": (2 / 3, 1.0)}
        return (
            replace(form, range=(-1.0, 1.0), weight=_ramp("share", 1, *over_run["format"])),
            replace(correct, weight=_ramp("share", 1, *over_run["correctness"])),
        )
    if scale == "dynamic":
        # the floor rises twice as fast as the ceiling falls and stops at -1: the range changes its shape
        shape = (
            (0, (-2.0, 2.0)),
            (RELEASED_SCALE_STEPS // 2, (-1.0, 1.5)),
            (RELEASED_SCALE_STEPS, (-1.0, 1.0)),
        )
        return (
            replace(form, range=(-1.0, 1.0), range_schedule=Schedule("linear", "steps", shape)),
            replace(correct, weight=_ramp("steps", RELEASED_SCALE_STEPS, 2 / 3, 1.0)),
        )
    return form, correct


def _length_target(length: str, fidelity: str) -> float | Schedule:
    if length == "static":
        return 512.0
    if fidelity == "paper":
        return _ramp("share", 1, 512.0, 1024.0)
    # nothing stops the released target: it goes on growing after step 105
    return replace(_ramp("steps", RELEASED_LENGTH_STEPS, 384.0, 640.0), extrapolate=True)


def _step(before: float, after: float) -> Schedule:
    return Schedule("step", "steps", ((0, (before,)), (TWO_STAGE_STEP, (after,))))


def _ramp(unit: str, until: float, start: float, end: float) -> Schedule:
    return Schedule("linear", unit, ((0, (start,)), (until, (end,))))


@lru_cache(maxsize=1)
def names_by_composition() -> dict[tuple[tuple[Component, ...], str], str]:
    """Name of every composition that has one."""
    return {
        (compose(axes, fidelity), fidelity): write_name(axes, fidelity)
        for granularity in GRANULARITIES
        for scale in SCALES
        for length in LENGTHS
        for fidelity in FIDELITIES
        for axes in [{"granularity": granularity, "scale": scale, "length": length}]
    }
