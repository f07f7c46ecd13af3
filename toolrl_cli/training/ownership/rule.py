"""What a rule about options of verl is, and how it is matched."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from toolrl_cli.training.checking.composed import Kind
from toolrl_cli.training.device import Device

REMOVED = object()
"""Stands for the value of an option that `~` removes; equal to no value."""


@dataclass(frozen=True)
class Situation:
    """What a rule may depend on beside the option.

    Attributes:
        kind: of the stage.
        device: where it runs.
        rollout: who generates: `transformers` or `vllm`; empty for SFT.
        algorithm: of RL; empty for SFT.
        given: all options that the user gives, bare name → value.
    """

    kind: Kind
    device: Device
    rollout: str
    algorithm: str
    given: Mapping[str, Any]


Holds = Callable[[Any, Situation], bool]
"""Called with an option's value and the situation."""


def always(value: Any, situation: Situation) -> bool:
    """Of what holds in every situation."""
    return True


def never(value: Any, situation: Situation) -> bool:
    """Of what holds in no situation."""
    return False


def one_of(*values: Any) -> Holds:
    """Whether a value is one of these."""
    return lambda value, situation: any(value == one and type(value) is type(one) for one in values)


def has_all(*words: str) -> Holds:
    """Whether a list has all of these words."""
    return lambda value, situation: isinstance(value, (list, tuple)) and set(words) <= set(map(str, value))


def with_vllm(value: Any, situation: Situation) -> bool:
    """Whether vLLM generates."""
    return situation.rollout == "vllm"


def on_cuda(value: Any, situation: Situation) -> bool:
    """Whether the stage runs on GPUs."""
    return situation.device == "cuda"


def either(*conditions: Holds) -> Holds:
    """Whether one of these holds."""
    return lambda value, situation: any(holds(value, situation) for holds in conditions)


def both(*conditions: Holds) -> Holds:
    """Whether all of these hold."""
    return lambda value, situation: all(holds(value, situation) for holds in conditions)


@dataclass(frozen=True)
class Rule:
    """Options that a user may not set, and why.

    Attributes:
        options: pattern of bare names: `*` is a part of a name, `.**` all that is below, `**.` any section or none,
            `{a,b}` one of these.
        why: one clause that goes on from the option's name; empty where a setting says enough.
        instead: what to do.
        setting: the setting that the option comes from, if that is the reason.
        same: whether that setting has the option's values.
        kinds: of stages that it is about.
        applies: when it is about an option at all.
        passes: when the option is the user's all the same.
    """

    options: str
    why: str = ""
    instead: str = ""
    setting: str = ""
    same: bool = False
    kinds: tuple[Kind, ...] = ("rl", "sft")
    applies: Holds = always
    passes: Holds = never

    def matches(self, name: str, kind: Kind) -> bool:
        """Whether it is about an option of a kind of stage."""
        return kind in self.kinds and compiled(self.options).fullmatch(name) is not None


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of names as a regular expression."""
    text = re.escape(pattern)
    text = re.sub(r"\\\.\\\*\\\*(?!\\\.)", r"(?:\\..*)?", text)  # `.**`
    text = text.replace(r"\*\*\.", r"(?:.*\.)?").replace(r"\*", "[^.]*")
    return re.compile(text.replace(r"\{", "(?:").replace(r"\}", ")").replace(",", "|"))
