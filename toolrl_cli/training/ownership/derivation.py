"""Which setting gives which option of verl, found by running the option builder and not kept by hand.

The builder is run on a default configuration and on copies of it with one setting changed. An option that changes
comes from that setting; one that is set whatever the settings is toolrl's own. Options that verl derives from others
(`${data.max_prompt_length}`) come from what those come from. Imports neither torch nor verl.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import lru_cache
from pathlib import Path
from typing import Any

from toolrl_cli.spec.kind_configs import RlConfig, SftConfig
from toolrl_cli.spec.run.data_settings import ToolWorldData
from toolrl_cli.spec.run.model_settings import HuggingFaceModel
from toolrl_cli.spec.run.run_spec import Resources
from toolrl_cli.spec.run.training_settings import RlSpec, SftSpec
from toolrl_cli.spec.stage_config import TrainingConfig
from toolrl_cli.training.checking.batches import at
from toolrl_cli.training.checking.composed import Kind, composed, split_prefix
from toolrl_cli.training.device import Device
from toolrl_cli.training.ownership.variations import variations
from toolrl_cli.training.verl_options import Options, Paths, rl_options, sft_options

FOLDER = "the stage's folder"
"""Stands for a setting where the option is a path in the stage's folder, which nothing sets."""

_MODEL = HuggingFaceModel(kind="huggingface", name="m", path="m")
_DATA = ToolWorldData(kind="toolworld")
_PATHS = Paths(Path("model"), Path("train"), Path("val"), Path("stage/checkpoints"), Path("stage/attempt"))
_OTHER_PATHS = {"model": "model", "train": "data", "val": "data", "checkpoints": FOLDER, "attempt": FOLDER}
"""Path → what gives it."""

_NOT_VARIED = frozenset({"model", "data", "reward", "verl_options"})
_REFERENCE = re.compile(r"\$\{(?:oc\.select:)?\s*(\.*)([\w.]+)\s*(?:,[^{}]*)?\}")


Observed = dict[str, dict[str, list[tuple[Any, Any]]]]
"""Option → setting that changes it → values of the option and of the setting."""


@dataclass(frozen=True)
class Owner:
    """What an option of verl comes from.

    Attributes:
        setting: as `rl.rollouts`; `FOLDER`; empty where toolrl sets the option whatever the settings.
        direct: whether the option's value is the setting's.
        seen: values of the option and of the setting that it had them for, where it is not.
    """

    setting: str
    direct: bool = False
    seen: tuple[tuple[Any, Any], ...] = ()

    def value_for(self, value: Any) -> Any:
        """The setting's value for a value of the option.

        Raises:
            LookupError: it cannot be told.
        """
        pairs = [pair for pair in self.seen if pair[0] == value and not (self.direct and pair[1] == value)]
        found = {repr(setting): setting for _, setting in pairs}
        found.pop("'auto'", None)  # chooses among the others
        if len(found) == 1:
            return next(iter(found.values()))
        own = [setting for _, setting in self.seen if setting is not None]
        kinds = {type(setting) for setting in own}
        fits = type(value) in kinds or (type(value) is int and float in kinds)
        if self.direct and (not own or (fits and (value in own or not isinstance(value, str)))):
            return value
        raise LookupError(value)


@lru_cache
def owners(kind: Kind, device: Device, algorithm: str = "grpo") -> Mapping[str, Owner]:
    """The owner of every option that toolrl sets on a device, or that a setting changes on the other.

    Args:
        kind: `rl` or `sft`.
        device: where the stage runs.
        algorithm: of an `rl` stage: an algorithm may set options that the others leave alone.

    Returns:
        Bare option (without `+`) → its owner.
    """
    names = tuple(dict.fromkeys((algorithm, "grpo", "ppo")))
    here = _of_device(kind, device, names)
    there = _of_device(kind, "cpu" if device == "cuda" else "cuda", names)
    more = {o: owner for o, owner in there.items() if _of_setting(owner) and not _of_setting(here.get(o))}
    return _with_dependents(kind, {**here, **more})


def _of_setting(owner: Owner | None) -> bool:
    return owner is not None and owner.setting not in ("", FOLDER)


def _of_device(kind: Kind, device: Device, algorithms: tuple[str, ...]) -> dict[str, Owner]:
    observed: Observed = {}
    for algorithm in algorithms if kind == "rl" else algorithms[:1]:
        for option, by in _observed(kind, device, algorithm).items():
            of_option = observed.setdefault(option, {})
            for setting, pairs in by.items():
                of_option.setdefault(setting, []).extend(pairs)
    return {option: _owner(option, by) for option, by in observed.items()}


@lru_cache
def _observed(kind: Kind, device: Device, algorithm: str) -> Observed:
    """What changes with what, from one default configuration on; nothing, for an option that never changes."""
    config = _base(kind, device, algorithm)
    base = _built(config, _PATHS, device)
    raw: Observed = {option: {} for option in base}
    for setting, value, options in _changed(config, device):
        own = _at(config, setting)
        for option in base.keys() | options.keys():
            pairs = [(of[option], s) for of, s in ((base, own), (options, value)) if option in of]
            if len(pairs) == 1 or pairs[0][0] != pairs[1][0]:
                raw.setdefault(option, {}).setdefault(setting, []).extend(pairs)
    for by in raw.values():
        # what only some algorithms set, always alike, does not come from their choice
        if len({repr(value) for value, _ in by.get("algorithm", ())}) == 1:
            del by["algorithm"]
    return {split_prefix(option)[1]: by for option, by in raw.items() if by or option in base}


def _base(kind: Kind, device: Device, algorithm: str) -> TrainingConfig:
    common = {"model": _MODEL, "data": _DATA, "resources": Resources(device=device)}
    if kind == "sft":
        return SftConfig.model_validate({**common, "sft": SftSpec()})
    return RlConfig.model_validate({**common, "algorithm": algorithm, "reward": {}, "rl": RlSpec()})


def _changed(config: TrainingConfig, device: Device) -> Iterator[tuple[str, Any, Options]]:
    for setting, value, changed in variations(config, skip=_NOT_VARIED):
        yield setting, value, _built(changed, _PATHS, device)
    for name, setting in _OTHER_PATHS.items():
        yield setting, FOLDER, _built(config, replace(_PATHS, **{name: Path("other/other")}), device)


def _built(config: TrainingConfig, paths: Paths, device: Device) -> Options:
    if isinstance(config, RlConfig):
        return rl_options(config, paths, device)
    assert isinstance(config, SftConfig), type(config)
    return sft_options(config, paths, device)


def _at(config: TrainingConfig, setting: str) -> Any:
    """The setting's own value; `FOLDER` for what is no field."""
    node: Any = config
    for part in setting.split("."):
        node = getattr(node, part, FOLDER)
    return node


def _owner(option: str, by: Mapping[str, list[tuple[Any, Any]]]) -> Owner:
    """Of the settings that change an option, the one whose value it is; of several, the one most like it in name."""
    if not by:
        return Owner("")

    def rank(setting: str) -> tuple[bool, float]:
        likeness = SequenceMatcher(None, option.rpartition(".")[2], setting.rpartition(".")[2]).ratio()
        return _is_direct(by[setting]), likeness

    setting = max(by, key=rank)
    pairs = tuple(pair for pair in by[setting] if pair[1] is not FOLDER)
    return Owner(setting, _is_direct(pairs), pairs)


def _is_direct(pairs: Sequence[tuple[Any, Any]]) -> bool:
    own = [(option, setting) for option, setting in pairs if setting is not None]
    return bool(own) and all(option == setting and type(option) is type(setting) for option, setting in own)


def _is_setting_value(owner: Owner | None) -> bool:
    """Whether an option comes from a setting and not from a path: names of things follow those, and are free."""
    return _of_setting(owner) and owner is not None and owner.setting not in ("model", "data")


def _with_dependents(kind: Kind, found: dict[str, Owner]) -> dict[str, Owner]:
    """Add the options that verl takes from others, as long as nobody sets them."""
    base = composed(kind)
    refers = {}
    for name in base.names:
        text = at(base.raw, name)
        match = _REFERENCE.fullmatch(text) if isinstance(text, str) else None
        if match:
            above = name.split(".")[: -len(match[1])] if match[1] else []
            refers[name] = ".".join([*above, match[2]])
    grown = True
    while grown:
        more = {
            n: found[to] for n, to in refers.items() if n not in found and _is_setting_value(found.get(to))
        }
        found, grown = {**found, **more}, bool(more)
    return found
