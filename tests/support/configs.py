"""Whole configs of stages from the few settings that a test is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from toolrl_cli.spec.kind_configs import RlConfig, SftConfig
from toolrl_cli.spec.stage_config import StageConfig
from toolrl_cli.spec.stage_kind import STAGE_KINDS

C = TypeVar("C", bound=StageConfig)

_MODEL = {"model": {"kind": "tiny"}, "precision": "fp32"}
_TRAINING = {**_MODEL, "data": {"kind": "toolworld"}}
_LEAST: Mapping[str, Mapping[str, Any]] = {
    "sft": {**_TRAINING, "sft": {}},
    "rl": {**_TRAINING, "algorithm": "grpo", "reward": {"name": "original"}, "rl": {}},
    "export": {},
    "evaluate": {**_MODEL, "benchmark": "toolworld", "evaluation": {}},
}


def whole_config(kind: str, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A config that the kind takes. What it does not know is for a double, and goes where anything may go."""
    known = STAGE_KINDS.get(kind).settings_type.model_fields
    given = dict(config or {})
    extra = {key: given.pop(key) for key in list(given) if key not in known}
    found = {**_LEAST[kind], **given}
    if isinstance(model := found.get("model"), Mapping) and model["kind"] == "huggingface":
        found["model"] = {"name": "model", **model}
    if "prompts" in (rl := found.get("rl", {})):
        found["rl"] = {"mini_batch": rl["prompts"], **rl}
    if extra and "verl_options" in known:
        found["verl_options"] = {**found.get("verl_options", {}), **extra}
        return found
    return {**found, **extra}


def for_double(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a test has told the double of a stage's function."""
    return {**config, **config.get("verl_options", {})}


def typed(kind: str, config: Mapping[str, Any] | None = None) -> StageConfig:
    return STAGE_KINDS.get(kind).settings_type.model_validate(whole_config(kind, config))


def rl_config(**config: Any) -> RlConfig:
    return RlConfig.model_validate(whole_config("rl", config))


def sft_config(**config: Any) -> SftConfig:
    return SftConfig.model_validate(whole_config("sft", config))
