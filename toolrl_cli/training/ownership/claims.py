"""The options of a `verl:` section that are not the user's: each becomes one fault that says whose it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from toolrl_cli.spec.kind_configs import RlConfig
from toolrl_cli.spec.stage_config import TrainingConfig
from toolrl_cli.training.checking.composed import Kind, composed, split_prefix
from toolrl_cli.training.checking.option_fault import OptionFault
from toolrl_cli.training.device import Device
from toolrl_cli.training.ownership.derivation import FOLDER, Owner, owners
from toolrl_cli.training.ownership.meanings import OWN_CODE, is_read, meant
from toolrl_cli.training.ownership.owning import owner_of
from toolrl_cli.training.ownership.rule import REMOVED, Situation
from toolrl_cli.training.ownership.rules import RULES
from toolrl_cli.training.verl_options import rollout_name


def claims(kind: Kind, config: TrainingConfig, device: Device) -> list[OptionFault]:
    """What a stage's own options of verl set although it is a setting's, toolrl's, or nobody's.

    Args:
        kind: of the stage.
        config: of the stage.
        device: where it runs.

    Returns:
        One fault for each option as it is given, in their order.
    """
    leaves = [(key, *leaf) for key, value in config.verl_options.items() for leaf in _leaves(key, value)]
    if not leaves:
        return []
    rl = config if isinstance(config, RlConfig) else None
    situation = Situation(
        kind=kind,
        device=device,
        rollout=rollout_name(config.resources.rollout, device) if rl and device == "cuda" else "transformers",
        algorithm=rl.algorithm if rl else "",
        given={name: value for _, name, value in leaves},
    )
    found: dict[str, OptionFault] = {}
    for key, name, value in leaves:
        fault = _claim(key, name, value, situation)
        if fault is not None:
            found.setdefault(key, fault)
    return list(found.values())


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Bare names and values of an option; of a mapping those inside."""
    prefix, name = split_prefix(key)
    if isinstance(value, Mapping) and value:
        for inner, item in value.items():
            yield from _leaves(f"{prefix}{name}.{split_prefix(str(inner))[1]}", item)
    else:
        yield name, REMOVED if prefix.startswith("~") else value


def _claim(key: str, name: str, value: Any, situation: Situation) -> OptionFault | None:
    kind = situation.kind
    if name != "model_engine" and (name in composed(kind).groups or "@" in name):
        return OptionFault("chooses another file of verl's configuration", key, "name its options one by one")
    if name == "model_engine":
        name, value = "engine.strategy", {"dp": "fsdp2", "fsdp": "fsdp2"}.get(str(value), value)
    for rule in RULES:
        if rule.matches(name, kind) and rule.applies(value, situation):
            if rule.passes(value, situation):
                return None
            if rule.setting:
                return _of_setting(key, rule.setting, Owner(rule.setting, rule.same), value)
            return OptionFault(rule.why, key, rule.instead)
    owner = owner_of(kind, name, situation.device, situation.algorithm)
    if owner is not None:
        if owner.setting == FOLDER:
            return OptionFault("is toolrl's: it lies in the stage's folder", key, "leave it out")
        if not owner.setting:
            return OptionFault("is toolrl's own: it sets the same whatever the settings", key, "leave it out")
        return _of_setting(key, owner.setting, owner, value)
    if value is None or value is REMOVED:  # of a section, all that is in it
        below = (n for n in owners(kind, situation.device) if n.startswith(f"{name}."))
        inside = next((n for n in below if owner_of(kind, n, situation.device)), None)
        if inside is not None:
            return OptionFault(f"holds {inside}, which toolrl sets", key, "name single options of it")
    return _unread(key, name, situation)


def _unread(key: str, name: str, situation: Situation) -> OptionFault | None:
    """Of an option that is added to verl's and that nothing in verl asks for."""
    if (
        name in composed(situation.kind).names
        or is_read(situation.kind, name)
        or situation.given.keys() & OWN_CODE
    ):
        return None
    if not split_prefix(key)[0].startswith("+"):
        return None  # unknown to Hydra, which is told elsewhere
    return OptionFault("is read by nothing in verl", key, meant(situation.kind, name))


def _of_setting(key: str, setting: str, owner: Owner, value: Any) -> OptionFault:
    try:
        if value is REMOVED:
            raise LookupError(setting)
        write = f"set `{setting}: {_as_yaml(owner.value_for(value))}`"
    except LookupError:
        write = f"set `{setting}`"
    return OptionFault(f"is given by the setting {setting}", key, write)


def _as_yaml(value: Any) -> str:
    """As it can be pasted: JSON is YAML, and plain words need no quotes."""
    return (
        value
        if isinstance(value, str) and value.replace("_", "").replace("+", "").isalnum()
        else json.dumps(value)
    )
