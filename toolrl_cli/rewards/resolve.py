"""`get_reward`: builds a reward from a name, a mapping or a YAML file; errors name the key path."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from toolrl_cli.rewards.component_kind import COMPONENT_KINDS
from toolrl_cli.rewards.components import FIDELITIES, Component
from toolrl_cli.rewards.designs import (
    AXES,
    DEFAULTS,
    LENGTH_NAMES,
    compose,
    names_by_composition,
    read_name,
    write_name,
)
from toolrl_cli.rewards.errors import RewardError, nearest, one_of, shown
from toolrl_cli.rewards.reward import Reward
from toolrl_cli.rewards.schedule import Schedule, as_values, number_or_schedule, parse_schedule

_COMMON = ("kind", "range", "schedule", "weight")


def get_reward(
    spec: str | Path | Mapping[str, Any] | Reward, *, base_dir: str | Path | None = None
) -> Reward:
    """Build a reward.

    Args:
        spec: one of
            a name such as `coarse`, or names of different axes joined by `+`, such as `finegrained+dynamic`; a
            suffix `@paper` chooses the fidelity;
            the path of a YAML file (ends in .yaml or .yml) that holds one of the mappings here, at its top or
            under `reward`;
            a mapping `{name, fidelity}`;
            a mapping of axes, `{granularity, scale, length, fidelity}`;
            a mapping `{components: {part: {kind, ...}}, fidelity, name}`, as `Reward.to_dict` returns it.
        base_dir: the folder that relative paths of user components start from; by default the folder of the YAML
            file, or the working directory.

    Raises:
        RewardError: names the fault, its key and the nearest valid name.
    """
    if isinstance(spec, Reward):
        return spec
    if isinstance(spec, Path) or (isinstance(spec, str) and spec.endswith((".yaml", ".yml"))):
        path = Path(base_dir or ".", spec)
        return _from_file(path)
    if isinstance(spec, str):
        axes, fidelity = read_name(spec)
        return _design(axes, fidelity)
    if isinstance(spec, Mapping):
        return _from_mapping(spec, Path(base_dir or "."))
    raise RewardError(f"a reward is a name, a mapping or a YAML file, not {shown(spec)}", "reward")


def _design(axes: Mapping[str, str], fidelity: str) -> Reward:
    full = {**DEFAULTS, **axes}
    return Reward(compose(full, fidelity), fidelity, write_name(full, fidelity))


def _from_file(path: Path) -> Reward:
    """The reward in a YAML file, at its top or under `reward`; faults name the file and the line."""
    from toolrl_cli import yaml12  # only a reward in a file needs it, and PyYAML

    try:
        loaded, lines, _ = yaml12.read(path)
    except yaml12.YamlFault as fault:
        where = f"{path}:{fault.line}" if fault.line else str(path)
        inner = f": {'.'.join(map(str, fault.place))}" if fault.place else ""
        raise RewardError(fault.what, f"{where}{inner}", fault.hint) from fault
    nested = set(loaded) == {"reward"}
    spec: Any = loaded["reward"] if nested else loaded
    if isinstance(spec, str):
        spec = {"name": spec}
    if not isinstance(spec, Mapping):
        raise RewardError(f"holds {shown(spec)}, which is no reward", str(path), "write components: ...")
    try:
        return _from_mapping(spec, path.parent)
    except RewardError as fault:
        fault.where = f"{path}{_line_of(fault.where, lines, nested)}: {fault.where}"
        raise


def _line_of(where: str, lines: Mapping[tuple[str | int, ...], int], nested: bool) -> str:
    """`:LINE` of a key path that begins with `reward`, or of what is nearest above it."""
    keys = tuple(where.split(".")[0 if nested else 1 :])
    found = next((lines[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in lines), None)
    return f":{found}" if found else ""


def _from_mapping(spec: Mapping[str, Any], base: Path) -> Reward:
    if "components" in spec:
        allowed = {"components", "fidelity", "name"}
    elif "name" in spec:
        allowed = {"name", "fidelity"}
    else:
        allowed = {*AXES, "fidelity"}
    _no_others(spec, allowed, "reward")
    if not spec:
        raise RewardError("is empty", "reward", "give a name, axes or components")
    fidelity = spec.get("fidelity")
    if fidelity is not None:
        one_of(fidelity, FIDELITIES, "reward.fidelity")
    if "components" in spec:
        return _composition(spec["components"], fidelity or "released", spec.get("name"), base)
    if "name" in spec:
        if not isinstance(spec["name"], str):
            raise RewardError(f"{shown(spec['name'])} is no text", "reward.name")
        axes, named = read_name(spec["name"], "reward.name")
        if fidelity and "@" in spec["name"] and fidelity != named:
            raise RewardError(f"the name says {named!r} and fidelity {fidelity!r}", "reward", "keep one")
        return _design(axes, fidelity or named)
    chosen = {axis: _axis(axis, spec[axis]) for axis in AXES if axis in spec}
    return _design(chosen, fidelity or "released")


def _axis(axis: str, value: Any) -> str:
    if axis == "length" and isinstance(value, str):
        value = LENGTH_NAMES.get(value, value)
    return one_of(value, AXES[axis], f"reward.{axis}")


def _composition(components: Any, fidelity: str, name: Any, base: Path) -> Reward:
    if not isinstance(components, Mapping) or not components:
        raise RewardError("components are a mapping of part to component", "reward.components")
    if name is not None and not isinstance(name, str):
        raise RewardError(f"{shown(name)} is no text", "reward.name")
    parts = [_component(part, raw, base) for part, raw in components.items()]
    parts.sort(key=lambda part: (COMPONENT_KINDS.get(part.kind).position, part.kind, part.name))
    resolved = tuple(parts)
    designs = names_by_composition()
    label = name or designs.get((resolved, fidelity))
    if label in designs.values() and label != designs.get((resolved, fidelity)):
        raise RewardError(f"{label!r} is the name of another design", "reward.name", "choose another name")
    reward = Reward(resolved, fidelity, label or "custom")
    return reward if label else replace(reward, name=f"custom-{_digest(reward)}")


def _digest(reward: Reward) -> str:
    import hashlib  # imported here because only a composition without a name needs it

    return hashlib.sha256(json.dumps(reward.identity(), sort_keys=True).encode()).hexdigest()[:6]


def _component(name: Any, raw: Any, base: Path) -> Component:
    where = f"reward.components.{name}"
    if not isinstance(name, str) or not name.replace("-", "_").isidentifier():
        hint = "letters, digits, _ and -"
        raise RewardError(f"{shown(name)} is no name of a part", "reward.components", hint)
    if not isinstance(raw, Mapping):
        raise RewardError(f"a component is a mapping, not {shown(raw)}", where, f"kind: {name}")
    kind = raw.get("kind", name)
    if not isinstance(kind, str) or kind not in COMPONENT_KINDS:
        kind = one_of(kind, tuple(COMPONENT_KINDS.names()), f"{where}.kind")
    known = COMPONENT_KINDS.get(kind)
    _no_others(raw, (*_COMMON, *known.keys), where)
    return _with_scale(known.read(name, raw, where, base), raw, where)


def _with_scale(part: Component, raw: Mapping[str, Any], where: str) -> Component:
    span = part.range
    if raw.get("range") is not None:
        low, high = as_values(raw["range"], f"{where}.range", 2)
        span = (low, high)
    weight = number_or_schedule(raw.get("weight", 1.0), f"{where}.weight")
    changing = None
    if raw.get("schedule") is not None:
        if span is None:
            raise RewardError("a schedule of the range needs a range", where, "add range: [low, high]")
        changing = parse_schedule(raw["schedule"], f"{where}.schedule", 2, span)
        factors = _as_factors(changing, span)
        if factors is not None and isinstance(weight, float):
            weight, changing = factors.scaled(weight), None
    return replace(part, range=span, range_schedule=changing, weight=weight)


def _as_factors(changing: Schedule, span: tuple[float, float]) -> Schedule | None:
    """The schedule as factors of `span`, if all its ranges are multiples of `span`: then it is a change of weight."""
    points = []
    for at, (low, high) in changing.points:
        factor = high / span[1] if span[1] else low / span[0] if span[0] else 0.0
        if abs(factor * span[0] - low) > 1e-12 or abs(factor * span[1] - high) > 1e-12:
            return None
        points.append((at, (factor,)))
    return Schedule(changing.kind, changing.unit, tuple(points), changing.extrapolate)


def _no_others(raw: Mapping[str, Any], allowed: Iterable[str], where: str) -> None:
    known = set(allowed)
    for key in raw:
        if key not in known:
            raise RewardError(f"{shown(key)} is not known here", f"{where}.{key}", nearest(str(key), known))
