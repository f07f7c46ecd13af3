"""Settings of transport that a stage has after it ran out of memory, in place of those that were asked for.

They are kept in `state.json` (`adjust`), so that every later attempt of the stage has them, and hold as long as
the setting that they replace is what it was: whoever changes it in the sweep has the last word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_kind import settings_of, training_settings, trains
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.state import Adjust, StageState

if TYPE_CHECKING:
    from toolrl_cli.spec.stage_config import Change


def adjusted(spec: StageSpec, adjust: Adjust) -> StageSpec:
    """The stage with what holds of `adjust` in its config; its id and identity stay."""
    config = spec.config
    changes = list(_holding(spec, adjust))
    if changes and spec.resources.get("offload") == "auto" and trains(spec.kind):
        # every attempt imports this module, and hardly any has a use for what follows
        from toolrl_cli.training.models.gpu_memory import chosen_offload

        # settled by what was asked for: with smaller batches it might let more stay on the GPU
        config = _with(config, ["resources", "offload"], chosen_offload(training_settings(spec)))
    for key, change in changes:
        config = _with(config, key.split("."), change["used"])
    return replace(spec, config=config)


def next_adjust(spec: StageSpec, state: StageState) -> Adjust:
    """What the next attempt has to adjust: as before, and with less memory if the last one ran out of it."""
    adjust = dict(_holding(spec, state.adjust))
    change = next_change(spec, state)
    if change is not None:
        asked = adjust[change.key]["asked"] if change.key in adjust else change.old
        adjust[change.key] = {"asked": asked, "used": change.new}
    return adjust


def next_change(spec: StageSpec, state: StageState) -> Change | None:
    """What the next attempt changes because the last one ran out of memory; None where nothing is to be done."""
    failure = state.failure
    if state.status != "failed" or failure is None or failure.kind != "oom":
        return None
    change = settings_of(adjusted(spec, state.adjust)).with_less_memory(failure.message)
    return None if isinstance(change, str) else change


def with_memory_hint(failure: Failure, spec: StageSpec) -> Failure:
    """The failure; if it is of memory, with what the next attempt does about it, or what else helps."""
    if failure.kind != "oom":
        return failure
    change = settings_of(spec).with_less_memory(failure.message)
    if isinstance(change, str):
        return replace(failure, hint=change)
    return replace(failure, hint=f"the next attempt has {change}, which does not change the result")


def told(spec: StageSpec, adjust: Adjust) -> list[str]:
    """A line for each setting that holds, for the attempt's log."""
    changes = [(key, change["asked"], change["used"]) for key, change in _holding(spec, adjust)]
    return [f"{key} {asked} → {used} after running out of memory" for key, asked, used in changes]


def _holding(spec: StageSpec, adjust: Adjust) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, change in adjust.items():
        value: Any = spec.config
        for name in key.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        if value is not None and value == change["asked"]:
            yield key, change


def _with(config: Mapping[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    first, *rest = path
    return {**config, first: _with(config[first], rest, value) if rest else value}
