"""Who gives one option of verl its value: the derivation, corrected by the rules."""

from __future__ import annotations

from toolrl_cli.training.checking.composed import Kind
from toolrl_cli.training.device import Device
from toolrl_cli.training.ownership.derivation import FOLDER, Owner, owners
from toolrl_cli.training.ownership.rule import compiled, never
from toolrl_cli.training.ownership.rules import FREE, RULES


def owner_of(kind: Kind, name: str, device: Device, algorithm: str = "grpo") -> Owner | None:
    """Who gives a bare option its value; None where it is the user's."""
    owner = owners(kind, device, algorithm or "grpo").get(name)
    if owner is None or any(compiled(pattern).fullmatch(name) for pattern in FREE):
        # a setting of the option's own name came later than the pattern
        same_name = owner is not None and owner.setting.rpartition(".")[2] == name.rpartition(".")[2]
        return owner if same_name else None
    return owner


def setting_for(kind: Kind, name: str, device: Device) -> str | None:
    """The setting of a sweep that gives a bare option its value, if one does."""
    for rule in RULES:
        if rule.matches(name, kind) and rule.setting:
            return rule.setting
    owner = owner_of(kind, name, device)
    return owner.setting if owner is not None and owner.setting not in ("", FOLDER) else None


def may_be_wanted(kind: Kind, name: str) -> bool:
    """Whether a bare option, or the setting that gives it, can be set to something."""
    return all(rule.setting or rule.passes is not never for rule in RULES if rule.matches(name, kind))
