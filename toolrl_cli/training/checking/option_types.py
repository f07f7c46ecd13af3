"""Checks that an option's value has the type of verl's default.

verl's YAML files are untyped: Hydra accepts `save_freq=often`, and the run fails at its first save.
"""

from __future__ import annotations

from typing import Any

from toolrl_cli.training.checking.composed import Composed, Kind, split_prefix
from toolrl_cli.training.checking.option_fault import OptionFault
from toolrl_cli.wording import cut

FRACTIONS = frozenset(
    {"entropy_coeff", "top_p", "temperature", "over_sample_rate", "esi_redundant_time", "num_warmup_batches"}
)
"""Last parts of options that accept fractions although their default is a whole number."""

FILES = frozenset({"train_files", "val_files", "target_modules"})
"""Last parts of options that accept one text or a list of texts."""

WORDS: dict[tuple[Kind, str], tuple[str, ...]] = {
    ("sft", "trainer.save_freq"): ("after_each_epoch",),
    ("sft", "trainer.test_freq"): ("after_each_epoch",),
}
"""Words that are accepted for a number (trainer/sft_trainer.py `_init_engine`)."""

EXPECTED = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list"}


def check_type(kind: Kind, option: str, value: Any, base: Composed) -> None:
    """Compare a value's type with the default's; null, and options whose default is null, accept any type.

    Raises:
        OptionFault: the types differ, such as text for a number.
    """
    prefix, name = split_prefix(option)
    default = base.default(name)
    if prefix == "~" or value is None or default is None or default == "???" or isinstance(default, dict):
        return
    if isinstance(value, str) and ("${" in value or value in WORDS.get((kind, name), ())):
        return
    expected: type = type(default)
    if not _fits(value, default, name.rsplit(".", 1)[-1]):
        raise OptionFault(
            f"{_shown(value)} is not {EXPECTED.get(expected, expected.__name__)}",
            option,
            f"verl's default is {_shown(default)}",
        )


def _fits(value: Any, default: Any, last: str) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, int):
        return isinstance(value, (int, float) if last in FRACTIONS else int)
    if isinstance(default, float):
        return isinstance(value, (int, float)) or (last == "rollout_is_threshold" and isinstance(value, str))
    if isinstance(default, str):
        return isinstance(value, str) or (last in FILES and isinstance(value, (list, tuple)))
    if isinstance(default, list):
        return isinstance(value, (list, tuple)) or (last in ("logger", *FILES) and isinstance(value, str))
    return True


def _shown(value: Any) -> str:
    """The value as YAML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return cut(repr(value), 60)
