"""`get_reward`: builds a reward from a name, a mapping or a YAML file; errors name the key path."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from toolrl_cli.rewards.component_kind import COMPONENT_KINDS
from toolrl_cli.rewards.components import FIDELITIES, Component
from toolrl_cli.rewards.composing.conditions import parse_conditions
from toolrl_cli.rewards.composing.linking import in_order
from toolrl_cli.rewards.designs import (
    AXES,
    DEFAULTS,
    LENGTH_NAMES,
    compose,
    names_by_composition,
    read_name,
    write_name,
)
from toolrl_cli.rewards.errors import RewardError, no_others, one_of, shown
from toolrl_cli.rewards.reward import Reward
from toolrl_cli.rewards.schedule import Schedule, as_number, as_values, number_or_schedule, parse_schedule

COMMON = ("kind", "range", "schedule", "weight", "only_if", "otherwise", "sources")
"""Keys of every component; its kind has others."""
SHARED = ("reading", "equality", "no_call")
"""Keys that may stand at the top of a composition, for all parts that take them and have none of their own."""
COMPOSITION = ("name", "components", "fidelity", "clamp", *SHARED)


def get_reward(
    spec: str | Path | Mapping[str, Any] | Reward, *, base_dir: str | Path | None = None
) -> Reward:
    """Build a reward.

    Args:
        spec: one of
            a name such as `coarse`, or names of different axes joined by `+`, such as `finegrained+dynamic`; a
            suffix `@paper` chooses the fidelity; or that of another paper's design (`field.designs`), with `@toolrl`
            reading calls in the form of ToolRL's prompts;
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
        return _named(spec, None, "reward")
    if isinstance(spec, Mapping):
        return _from_mapping(spec, Path(base_dir or "."))
    raise RewardError(f"a reward is a name, a mapping or a YAML file, not {shown(spec)}", "reward")


def _named(text: str, reading: Any, where: str) -> Reward:
    """A design by its name: of the paper, or of another one; see `field.designs`."""
    from toolrl_cli.rewards.field.designs import BY_NAME

    name, at, form = (part.strip() for part in text.partition("@"))
    if name not in BY_NAME:
        if reading is not None:
            raise RewardError(
                "ToolRL's own designs read calls in one form", f"{where}.reading", "leave it out"
            )
        axes, fidelity = read_name(text, where, tuple(BY_NAME))
        return _design(axes, fidelity)
    if at and reading is not None:
        raise RewardError(f"the name says {form!r} and reading {shown(reading)}", where, "keep one")
    reading = (form or None) if reading is None else reading
    composition = dict(BY_NAME[name].composition)
    if reading is not None and "reading" not in composition:
        takes = any(
            "reading" in COMPONENT_KINDS.get(c["kind"]).keys for c in composition["components"].values()
        )
        if not takes and reading != "toolrl":
            raise RewardError(f"{name} reads calls in ToolRL's form alone", where, f"write {name}")
        composition |= {"reading": reading} if takes else {}
    elif reading is not None:
        composition["reading"] = reading
    label = name if reading is None else f"{name}@{reading}" if isinstance(reading, str) else f"{name}@own"
    return replace(_composition(composition, "released", Path(), labelled=False), name=label)


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
        allowed = set(COMPOSITION)
    elif "name" in spec:
        allowed = {"name", "fidelity", "reading"}
    else:
        allowed = {*AXES, "fidelity"}
    no_others(spec, allowed, "reward")
    if not spec:
        raise RewardError("is empty", "reward", "give a name, axes or components")
    fidelity = spec.get("fidelity")
    if fidelity is not None:
        one_of(fidelity, FIDELITIES, "reward.fidelity")
    if "components" in spec:
        return _composition(spec, fidelity or "released", base)
    if "name" in spec:
        if not isinstance(spec["name"], str):
            raise RewardError(f"{shown(spec['name'])} is no text", "reward.name")
        if spec["name"].partition("@")[0].strip() in field_names() or "reading" in spec:
            if fidelity is not None:
                raise RewardError("is of ToolRL's own designs", "reward.fidelity", "leave it out")
            return _named(spec["name"], spec.get("reading"), "reward.name")
        axes, named = read_name(spec["name"], "reward.name", field_names())
        if fidelity and "@" in spec["name"] and fidelity != named:
            raise RewardError(f"the name says {named!r} and fidelity {fidelity!r}", "reward", "keep one")
        return _design(axes, fidelity or named)
    chosen = {axis: _axis(axis, spec[axis]) for axis in AXES if axis in spec}
    return _design(chosen, fidelity or "released")


def _axis(axis: str, value: Any) -> str:
    if axis == "length" and isinstance(value, str):
        value = LENGTH_NAMES.get(value, value)
    return one_of(value, AXES[axis], f"reward.{axis}")


def field_names() -> tuple[str, ...]:
    """Names of other papers' designs."""
    from toolrl_cli.rewards.field.designs import BY_NAME

    return tuple(BY_NAME)


@lru_cache(maxsize=1)
def _names_of_field() -> dict[tuple[tuple[Component, ...], str], str]:
    rewards = [_named(name + form, None, "reward") for name in field_names() for form in ("", "@toolrl")]
    return {(reward.components, reward.fidelity): reward.name for reward in reversed(rewards)}


def _composition(spec: Mapping[str, Any], fidelity: str, base: Path, *, labelled: bool = True) -> Reward:
    components, name = spec["components"], spec.get("name")
    if not isinstance(components, Mapping) or not components:
        raise RewardError("components are a mapping of part to component", "reward.components")
    if name is not None and not isinstance(name, str):
        raise RewardError(f"{shown(name)} is no text", "reward.name")
    shared = {key: spec[key] for key in SHARED if key in spec}
    parts = [_component(part, raw, base, shared) for part, raw in components.items()]
    unused = [key for key in shared if not any(key in COMPONENT_KINDS.get(part.kind).keys for part in parts)]
    if unused:
        raise RewardError("no part of this reward takes it", f"reward.{unused[0]}", "leave it out")
    resolved = in_order(parts, lambda part: (COMPONENT_KINDS.get(part.kind).position, part.kind, part.name))
    clamp = as_values(spec["clamp"], "reward.clamp", 2) if spec.get("clamp") is not None else None
    label = name
    if labelled:
        designs = {**_names_of_field(), **names_by_composition()}
        own = designs.get((resolved, fidelity)) if clamp is None else None
        label = name or own
        if label in designs.values() and label != own:
            raise RewardError(
                f"{label!r} is the name of another design", "reward.name", "choose another name"
            )
    reward = Reward(resolved, fidelity, label or "custom", (clamp[0], clamp[1]) if clamp else None)
    return reward if label or not labelled else replace(reward, name=f"custom-{_digest(reward)}")


def _digest(reward: Reward) -> str:
    import hashlib  # imported here because only a composition without a name needs it

    return hashlib.sha256(json.dumps(reward.identity(), sort_keys=True).encode()).hexdigest()[:6]


def _component(name: Any, raw: Any, base: Path, shared: Mapping[str, Any]) -> Component:
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
    no_others(raw, (*COMMON, *known.keys), where)
    raw = {**{key: value for key, value in shared.items() if key in known.keys}, **raw}
    return _with_conditions(_with_scale(known.read(name, raw, where, base), raw, where), raw, where)


def _with_conditions(part: Component, raw: Mapping[str, Any], where: str) -> Component:
    if "otherwise" in raw and "only_if" not in raw:
        raise RewardError("nothing says when", f"{where}.otherwise", "add only_if: [...]")
    sources = raw.get("sources", [])
    sources = [sources] if isinstance(sources, str) else sources
    if not isinstance(sources, (list, tuple)) or not all(isinstance(source, str) for source in sources):
        raise RewardError(f"{shown(sources)} is no list of data sources", f"{where}.sources")
    if part.range is None and (raw.get("only_if") and raw.get("otherwise") is None):
        raise RewardError("it has no low end to fall to", f"{where}.only_if", "add a range, or otherwise: 0")
    return replace(
        part,
        only_if=parse_conditions(raw["only_if"], f"{where}.only_if") if raw.get("only_if") else (),
        otherwise=None if raw.get("otherwise") is None else as_number(raw["otherwise"], f"{where}.otherwise"),
        sources=tuple(sources),
    )


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
