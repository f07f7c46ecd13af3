"""Conditions of a sweep file, `when` and `exclude`: what they see of a cell, whether they hold, what was meant."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolrl_cli.errors import SpecError
from toolrl_cli.rewards import RewardError, get_reward
from toolrl_cli.rewards.designs import DEFAULTS, read_name
from toolrl_cli.spec.run.frozen import Frozen
from toolrl_cli.spec.run.run_spec import KINDS
from toolrl_cli.spec.suggest import hint_for, nearest
from toolrl_cli.spec.sweeps import presets
from toolrl_cli.spec.sweeps.algorithm_layer import algorithm_settings
from toolrl_cli.spec.sweeps.fields import PRESET, check_setting, choices_at, defaults, fields_at
from toolrl_cli.spec.sweeps.paths import reward_anchored
from toolrl_cli.spec.sweeps.settings import ABSENT, WHOLE, flatten, matches
from toolrl_cli.spec.sweeps.sweep import Document


class Settings:
    """The value of any setting in a cell, for conditions.

    The first of: `--set`, the cell, the base, its algorithm, its presets, the default.
    """

    def __init__(self, base: Mapping[str, Any], document: Document) -> None:
        self._base = base
        self._document = document
        given = flatten(dict(document.overrides), "--set")
        self._overrides = {
            key: reward_anchored(key, value, lambda _: Path.cwd()) if key == "reward" else value
            for key, value in given.items()
        }
        self._layers: dict[str, Mapping[str, Any]] = {}
        self._wholes: dict[str, Any] = {}

    def value(self, key: str, settings: Mapping[str, Any]) -> Any:
        """`ABSENT` where nothing sets it and it has no default.

        Of a block that is null by default, what is set in it.
        """
        block = key.partition(".")[0]
        for layer in (self._overrides, settings, self._base):
            if key in layer:
                return layer[key]
            if (
                block != key and layer.get(block, ABSENT) is None
            ):  # `lora: null` here, `lora.rank` further below
                return ABSENT
            if block != key and block in WHOLE and block in layer:
                return self._within(key, layer[block])
            if block == key and defaults().get(key, ABSENT) is None and fields_at((key,)):
                inside = {name: value for name, value in layer.items() if name.startswith(f"{key}.")}
                if inside:
                    return inside
        if key.startswith("rl."):
            brought = algorithm_settings(self.value("algorithm", settings))
            if key in brought:
                return brought[key]
        chosen = {**self._base, **settings, **self._overrides}.get(PRESET)
        name = repr(chosen)
        if name not in self._layers:
            where = self._document.source.where(("base", "preset"))
            self._layers[name] = {**defaults(), **presets.layered(chosen, where)}
        layer = self._layers[name]
        if key not in layer and block != key and block in WHOLE and block in layer:
            return self._within(key, layer[block])
        return layer.get(key, ABSENT)

    def _within(self, key: str, whole: Any) -> Any:
        block = key.partition(".")[0]
        text = f"{block} {whole!r}"
        if text not in self._wholes:
            self._wholes[text] = _opened(block, whole, self._document.path.parent)
        return _within(key, self._wholes[text])


def _opened(block: str, whole: Any, folder: Path) -> Any:
    """A block that is given as a whole, with what its name stands for; as it is where that cannot be told."""
    try:
        if block == "model":
            return presets.model(whole, "")
        if block != "reward":
            return whole
        reward = get_reward(whole, base_dir=folder)
    except (SpecError, RewardError, TypeError, ValueError):  # told when the cell is resolved
        return {"name": whole} if isinstance(whole, str) else whole
    given = {"name": whole} if isinstance(whole, str) else {"name": reward.name, **whole}
    try:
        axes = {**DEFAULTS, **read_name(reward.name)[0]}
    except RewardError:  # a composition of the user's own, or of another paper
        axes = {}
    return {**axes, **reward.to_dict(), **given}


def _within(key: str, whole: Any) -> Any:
    """What an opened block says of a setting in it."""
    found = whole
    for part in key.split(".")[1:]:
        named = found.get("kind") if isinstance(found, Mapping) else None
        kind = KINDS.get(named) if isinstance(named, str) else None
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif kind is not None and part in kind.model_fields and not kind.model_fields[part].is_required():
            found = kind.model_fields[part].get_default(call_default_factory=True)
        else:
            found = getattr(found, part, ABSENT) if isinstance(found, Frozen) else ABSENT
    return found


class Rule:
    """A condition of `when` or `exclude`, and whether it ever held."""

    def __init__(self, condition: Mapping[str, Any], where: str) -> None:
        self.condition = condition
        self.where = where
        self.held = False
        self._seen: dict[str, dict[str, None]] = {key: {} for key in condition}

    def holds(self, settings: Mapping[str, Any], below: Settings) -> bool:
        """Whether every key has the value wanted, or one of those wanted."""
        values = {key: below.value(key, settings) for key in self.condition}
        if matches(self.condition, values):
            self.held = True
            return True
        if not self.held:
            for key, value in values.items():
                if value is not ABSENT and len(self._seen[key]) < 20:
                    self._seen[key][_shown(value)] = None
        return False

    def hint(self) -> str:
        """What was meant most likely: the value that comes nearest, or those that occur."""
        for key, seen in self._seen.items():
            wanted = self.condition[key]
            options = [_shown(option) for option in (wanted if isinstance(wanted, list) else [wanted])]
            words = choices_at(key)
            wrong = next((option for option in options if words and option not in words), None)
            if wrong is not None:
                return f"{wrong!r}: {hint_for(wrong, words, 'values')}"
            if not any(option in seen for option in options):
                close = nearest(options[0], seen) if options and not words else None
                return f"did you mean {close!r}?" if close else f"{key} is {', '.join(seen) or 'never set'}"
        return "these values never come together"


def _shown(value: Any) -> str:
    return str(value["name"]) if isinstance(value, Mapping) and "name" in value else str(value)


def when_rules(document: Document) -> dict[str, Rule]:
    """Axis → the condition under which it applies.

    Raises:
        SpecError: no such axis, an empty condition, one on the axis itself, or on a key that does not exist.
    """
    sweep, source = document.sweep, document.source
    rules = {}
    for axis, condition in sweep.when.items():
        where = source.where(("when", axis))
        if axis not in sweep.axes:
            raise SpecError(f"{axis!r} is no axis", where, f"axes: {', '.join(sweep.axes) or 'none'}")
        if not condition:
            raise SpecError("the condition is empty", where, "name a setting and its value")
        rules[axis] = _rule(condition, where)
        if axis in rules[axis].condition:
            raise SpecError(f"{axis!r} depends on itself", where, "name another setting")
    return rules


def exclude_rules(document: Document) -> list[Rule]:
    """The conditions of `exclude`, in order.

    Raises:
        SpecError: an empty condition, or one on a key that does not exist.
    """
    rules = []
    for position, condition in enumerate(document.sweep.exclude):
        where = document.source.where(("exclude", position))
        if not condition:
            raise SpecError("an empty condition would exclude every cell", where, "name what to leave out")
        rules.append(_rule(condition, where))
    return rules


def _rule(condition: Mapping[str, Any], where: str) -> Rule:
    flat = flatten(condition, where, wholes=False)
    for key in flat:
        check_setting(key, where)
    return Rule(flat, where)
