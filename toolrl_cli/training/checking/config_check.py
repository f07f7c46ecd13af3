"""Checks that verl will accept a stage's options, before anything is started.

There are two tiers, so that `toolrl plan` stays fast:

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

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import toolrl_cli
from toolrl_cli.errors import SpecError
from toolrl_cli.spec.kind_configs import RlConfig, SftConfig
from toolrl_cli.spec.models import TinyModel
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_config import TrainingConfig
from toolrl_cli.spec.stage_kind import settings_of, training_settings
from toolrl_cli.training.checking import verdicts
from toolrl_cli.training.checking.algorithm_check import algorithm_fault
from toolrl_cli.training.checking.batches import at, check_batches, has_critic
from toolrl_cli.training.checking.composed import Composed, Kind, composed, merge, split_prefix
from toolrl_cli.training.checking.option_fault import OptionFault
from toolrl_cli.training.checking.option_ranges import check_ranges
from toolrl_cli.training.checking.option_types import check_type
from toolrl_cli.training.checking.option_words import check_words
from toolrl_cli.training.checking.verl_interpolation import Tree
from toolrl_cli.training.device import Device, planned_device
from toolrl_cli.training.verl_options import Options, Paths, rl_options, sft_options

PLACEHOLDER = Paths(
    model=Path("/placeholder/model"),
    train=Path("/placeholder/train.parquet"),
    val=Path("/placeholder/val.parquet"),
    checkpoints=Path("/placeholder/stage/checkpoints"),
    attempt=Path("/placeholder/stage/attempts/1"),
)

SETTINGS: dict[Kind, dict[str, str]] = {
    "rl": {
        "data.train_batch_size": "rl.prompts",
        "data.max_prompt_length": "rl.max_prompt_length",
        "data.max_response_length": "rl.max_response_length",
        "actor_rollout_ref.rollout.n": "rl.rollouts",
        "actor_rollout_ref.rollout.name": "resources.rollout",
        "actor_rollout_ref.actor.ppo_mini_batch_size": "rl.mini_batch",
        "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu": "rl.micro_batch",
        "actor_rollout_ref.actor.ppo_max_token_len_per_gpu": "rl.micro_batch_tokens",
        "critic.ppo_mini_batch_size": "rl.mini_batch",
        "critic.ppo_micro_batch_size_per_gpu": "rl.micro_batch",
        "trainer.n_gpus_per_node": "resources.gpus",
    },
    "sft": {
        "data.train_batch_size": "sft.batch_size",
        "data.micro_batch_size_per_gpu": "sft.micro_batch_size",
        "data.max_length": "sft.max_length",
        "trainer.n_gpus_per_node": "resources.gpus",
    },
}
"""verl's option → the setting that it comes from, for messages."""

TIMEOUT = 600
"""Seconds for the child; importing verl from a cold network disk takes minutes at worst."""

ASK = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; "
    "from toolrl_cli.training.checking.verl_verdict import main; main()"
)
"""The child's program. The working folder is not on its path: it may hold another verl."""

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
) -> Finding | None:
    """Check the options of all stages that verl trains; equal sets of options are checked once.

    Args:
        stages: of any kind; those that do not train are ignored.
        announce: called with the number of sets for the second tier, before the seconds that it takes.

    Returns:
        The first options that would be refused, or None.

    Raises:
        SpecError: verl is not installed, or cannot be imported.
    """
    stages = list(stages)
    first: dict[str, tuple[StageSpec, Kind, Options]] = {}
    known: set[str] | None = None
    seen: set[str] = set()
    for stage in stages:
        key = _distinguishing(stage)
        if key is None or key in seen:
            continue
        seen.add(key)
        kind = cast(Kind, stage.kind)
        config = training_settings(stage)
        contradiction = algorithm_fault(config) if isinstance(config, RlConfig) else None
        if contradiction is not None:
            return _finding(stage, contradiction, stages)
        options = planned_options(config)
        known = (verdicts.accepted() | _seen) if known is None else known
        digest = verdicts.digest(kind, options)
        if digest in known or digest in first:
            continue
        fault = quick_fault(kind, options)
        if fault is not None:
            return _finding(stage, fault, stages)
        first[digest] = (stage, kind, options)
    if not first:
        return None
    announce(len(first))
    answers = ask_verl([(kind, options) for _, kind, options in first.values()])
    good = {d for d, fault in zip(first, answers, strict=True) if fault is None}
    _seen.update(good)
    verdicts.remember(good)
    for (stage, _, _), fault in zip(first.values(), answers, strict=True):
        if fault is not None:
            return _finding(stage, fault, stages)
    return None


def _finding(stage: StageSpec, fault: OptionFault, stages: Iterable[StageSpec]) -> Finding:
    key = _distinguishing(stage)
    alike = tuple(other for other in stages if _distinguishing(other) == key)
    return Finding(alike, setting_of(stage, fault.option), fault)


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
    """The first tier: keys, types, words, ranges, batch sizes. Imports neither torch nor verl."""
    try:
        base = composed(kind)
        tree = merge(kind, options)
        for option, value in options.items():
            check_type(kind, option, value, base)
        if kind == "rl" and has_critic(tree) and _unset("critic.model.path", tree, base):
            what = "trains a critic, and this is planned without one"
            raise OptionFault(what, "critic.enable", "set `algorithm: ppo`")
        check_words(kind, tree)
        check_ranges(kind, tree)
        check_batches(kind, tree)
    except OptionFault as fault:
        return fault
    return None


def _unset(option: str, tree: Tree, base: Composed) -> bool:
    return bool(at(tree, option) == base.default(option))


def ask_verl(questions: list[tuple[Kind, Options]]) -> list[OptionFault | None]:
    """The second tier: verl's own verdict on each set of options, from one child process.

    Raises:
        SpecError: the child failed.
    """
    text = json.dumps([{"kind": kind, "options": options} for kind, options in questions])
    package = str(Path(toolrl_cli.__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))}
    try:
        child = subprocess.run(
            [sys.executable, "-c", ASK],
            input=text,
            env=env,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SpecError(
            f"verl did not answer within {TIMEOUT} s", "checking options", "see `toolrl doctor`"
        ) from None
    if child.returncode:
        last = (child.stderr.strip().splitlines() or ["no message"])[-1]
        raise SpecError(f"verl gave no answer: {last}", "checking options", "see `toolrl doctor`")
    return [answer and OptionFault(**answer) for answer in json.loads(child.stdout)]


def setting_of(stage: StageSpec, option: str) -> str:
    """The setting of the sweep that an option comes from."""
    kind = cast(Kind, stage.kind)
    config = training_settings(stage)
    given = config.verl_options
    name = split_prefix(option)[1]
    for key in given:
        if option and (key == option or split_prefix(key)[1] == name):
            return f"verl.{kind}.{key}"
    below = [key for key in given if name and split_prefix(key)[1].startswith(f"{name}.")]
    if len(below) == 1:
        return f"verl.{kind}.{below[0]}"
    setting = SETTINGS[kind].get(name)
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
