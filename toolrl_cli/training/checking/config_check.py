"""Checks that verl will accept a stage's options, before anything is started.

Options that are not the sweep's to set are found first (`ownership`). For the rest there are two tiers, so that
`toolrl plan` stays fast:

1. In this process: the options are merged into verl's own composed configuration (unknown, missing and
   doubled keys), their types are compared with its defaults, and batch sizes are checked (`composed`,
   `option_types`, `batches`). Composing takes a quarter of a second, once; then a set takes about a millisecond.
2. In a child process: verl's dataclasses are built and its `validate_config` is called (`verl_verdict`).
   Importing verl takes seconds and half a gigabyte, too much for a harness on a login node. So one child checks
   all new sets, and accepted sets are remembered (`verdicts`): planning the same sweep again runs neither tier.

Cells that differ only in seed, data or reward share one option set. The folders of model, data and attempt need
not exist: placeholders are used for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from toolrl_cli.spec.kind_configs import RlConfig, SftConfig
from toolrl_cli.spec.run.model_settings import TinyModel
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_config import TrainingConfig
from toolrl_cli.spec.stage_kind import settings_of, training_settings
from toolrl_cli.training.checking import verdicts
from toolrl_cli.training.checking.algorithm_check import algorithm_faults
from toolrl_cli.training.checking.batches import check_batches
from toolrl_cli.training.checking.composed import Kind, composed, merge, split_prefix
from toolrl_cli.training.checking.option_fault import OptionFault, UnknownOption
from toolrl_cli.training.checking.option_ranges import check_ranges
from toolrl_cli.training.checking.option_types import check_type
from toolrl_cli.training.checking.option_words import check_words
from toolrl_cli.training.checking.question import Question, ask_verl, given_key
from toolrl_cli.training.device import Device, planned_device
from toolrl_cli.training.ownership.claims import claims
from toolrl_cli.training.ownership.meanings import is_read, meant
from toolrl_cli.training.ownership.owning import setting_for
from toolrl_cli.training.verl_options import Options, Paths, rl_options, sft_options

PLACEHOLDER = Paths(
    model=Path("/placeholder/model"),
    train=Path("/placeholder/train.parquet"),
    val=Path("/placeholder/val.parquet"),
    checkpoints=Path("/placeholder/stage/checkpoints"),
    attempt=Path("/placeholder/stage/attempts/1"),
)

_seen: set[str] = set()
"""Digests accepted in this process."""


@dataclass(frozen=True)
class Finding:
    """A stage whose options verl would refuse.

    Attributes:
        stages: the stages with these options.
        setting: the sweep's setting at fault, as `rl.micro_batch` or `verl.rl.trainer.save_freq`.
        fault: why verl would refuse it.
    """

    stages: tuple[StageSpec, ...]
    setting: str
    fault: OptionFault


def check_stages(
    stages: Iterable[StageSpec], announce: Callable[[int], None] = lambda sets: None
) -> list[Finding]:
    """Check the options of all stages that verl trains; equal sets of options are checked once.

    An option at fault is left out and the rest is checked on, so that all faults are found at once.

    Args:
        stages: of any kind; those that do not train are ignored.
        announce: called with the number of sets for the second tier, before the seconds that it takes.

    Returns:
        What would be refused, in the order of the stages; empty where all is well.

    Raises:
        SpecError: verl is not installed, or cannot be imported.
    """
    alike = _alike(stages)
    known = (verdicts.accepted() | _seen) if alike else set()
    told: dict[str, list[OptionFault]] = {}
    asked: dict[str, Question] = {}
    askers: dict[str, list[str]] = {}
    for key, (stage, *_) in alike.items():
        told[key] = _claims(stage)
        question = _first_tier(stage, told[key], known)
        if question is not None:
            digest = verdicts.digest(question.kind, question.options)
            asked.setdefault(digest, question)
            askers.setdefault(digest, []).append(key)
    if asked:
        announce(len(asked))
        answers = dict(zip(asked, ask_verl(list(asked.values())), strict=True))
        good = {digest for digest, faults in answers.items() if not faults}
        _seen.update(good)
        verdicts.remember(good)
        for digest, faults in answers.items():
            for key in askers[digest]:
                told[key] += faults
    return [
        Finding(tuple(alike[key]), setting_of(alike[key][0], fault), fault)
        for key, faults in told.items()
        for fault in faults
    ]


def claimed(stages: Iterable[StageSpec]) -> list[Finding]:
    """What of the stages' own options is not theirs to set, without anything that takes time."""
    return [
        Finding(tuple(group), setting_of(group[0], fault), fault)
        for group in _alike(stages).values()
        for fault in _claims(group[0])
    ]


def _claims(stage: StageSpec) -> list[OptionFault]:
    config = training_settings(stage)
    other = algorithm_faults(config) if isinstance(config, RlConfig) else {}
    owned = claims(cast(Kind, stage.kind), config, planned_device(config.resources.device))
    return [*other.values(), *(fault for fault in owned if fault.option not in other)]


def _alike(stages: Iterable[StageSpec]) -> dict[str, list[StageSpec]]:
    """The stages that verl trains, those of equal options together."""
    alike: dict[str, list[StageSpec]] = {}
    for stage in stages:
        key = _distinguishing(stage)
        if key is not None:
            alike.setdefault(key, []).append(stage)
    return alike


def _first_tier(stage: StageSpec, faults: list[OptionFault], known: set[str]) -> Question | None:
    """Add the faults that need no verl; what to ask it, or None where that is known or a setting is at fault."""
    kind, config = cast(Kind, stage.kind), training_settings(stage)
    refused = {fault.option for fault in faults}
    own = {key: value for key, value in config.verl_options.items() if key not in refused}
    ours = planned_options(config.model_copy(update={"verl_options": {}}))
    while True:
        question = Question(kind, ours, own)
        if verdicts.digest(kind, question.options) in known:
            return None
        fault = quick_fault(kind, question.options)
        if fault is None:
            return question
        faults.append(fault)
        blamed = given_key(fault.option, own, fault.what)
        if blamed is None:
            return None
        own = {key: value for key, value in own.items() if key != blamed}


def planned_options(config: TrainingConfig, device: Device | None = None) -> Options:
    """The options that a stage would be started with, with placeholders for folders and seed.

    Args:
        config: of a stage that verl trains.
        device: `cpu` or `cuda`; None for the one that this machine would use.
    """
    device = device or planned_device(config.resources.device)
    config = config.model_copy(update={"seed": 0})
    if isinstance(config, RlConfig):
        return rl_options(config, PLACEHOLDER, device)
    assert isinstance(config, SftConfig), type(config)
    return sft_options(config, PLACEHOLDER, device)


def quick_fault(kind: Kind, options: Options) -> OptionFault | None:
    """The first fault of the first tier: keys, types, words, ranges, batch sizes. Imports neither torch nor verl."""
    try:
        base = composed(kind)
        tree = merge(kind, options)
        for option, value in options.items():
            check_type(kind, option, value, base)
        check_words(kind, tree)
        check_ranges(kind, tree)
        check_batches(kind, tree)
    except UnknownOption as fault:
        name = split_prefix(fault.option)[1]
        hint = meant(kind, name)
        if is_read(kind, name):
            hint += f"{'; ' if hint and not hint.endswith('?') else ' '}+{name} adds one on purpose"
        return OptionFault(fault.what, fault.option, hint.strip())
    except OptionFault as fault:
        return fault
    return None


def setting_of(stage: StageSpec, fault: OptionFault) -> str:
    """The setting of the sweep that an option at fault comes from."""
    kind = cast(Kind, stage.kind)
    config = training_settings(stage)
    name = split_prefix(fault.option)[1]
    given = given_key(fault.option, config.verl_options, fault.what)
    if given is not None:
        return f"verl.{kind}.{given}"
    setting = setting_for(kind, name, planned_device(config.resources.device))
    if setting is None:
        return f"verl.{kind}.{name}" if name else f"verl.{kind}"
    pretrained = kind == "sft" and not stage.inputs and isinstance(config.model, TinyModel)
    return setting.replace("sft.", "model.pretrain.", 1) if pretrained else setting


_OF_ONE_STAGE = ("seed", "data", "reward", "model")


def _distinguishing(stage: StageSpec) -> str | None:
    """Equal for stages whose options differ in seed and folders only; None for stages that verl does not train."""
    config = settings_of(stage)
    if not isinstance(config, (RlConfig, SftConfig)):
        return None
    parts = {key: value for key, value in stage.config.items() if key not in _OF_ONE_STAGE}
    return repr((stage.kind, parts, config.model_path))  # its size decides what `resources.offload: auto` is
