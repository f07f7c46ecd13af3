"""Tries rewards on gold rows when a sweep is planned, so that a fault costs no training.

That is users' functions, parts that need what a row may not have, such as the tools that it offers, and whatever may
fall short on gold answers: parts that are not ToolRL's own, punished ones, and any reward on rows in files, which a
user may have written.

They run in the process for users' functions, within their time limits. What passed is remembered by the functions'
files, the data and the length of the run (`verdicts`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from toolrl_cli.datasets.prepare import first_rows
from toolrl_cli.datasets.verl_rows import Row
from toolrl_cli.rewards import Reward, RewardError, get_reward
from toolrl_cli.rewards.components import Component
from toolrl_cli.rewards.gold import check_gold, estimated_tokens
from toolrl_cli.rewards.reading import row_facts
from toolrl_cli.rewards.stretch import turning_steps
from toolrl_cli.rewards.user_code.python_component import PythonComponent
from toolrl_cli.rewards.user_code.runner import close
from toolrl_cli.spec.kind_configs import RlConfig
from toolrl_cli.spec.run.data_settings import OwnData, RllaData
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_kind import settings_of
from toolrl_cli.training.checking import verdicts
from toolrl_cli.training.checking.config_check import Finding
from toolrl_cli.training.checking.option_fault import OptionFault
from toolrl_cli.training.inputs import dataset_params

ROWS = 4
GOLD_ROWS = 64
OWN_ROWS = 10_000
"""Gold answers of the user's own rows that are looked at, most: a second, once. The stage itself looks at all."""


def try_rewards(stages: Iterable[StageSpec]) -> list[Finding]:
    """Score gold answers of the stages' data with each reward's own functions; equal stages are tried once.

    The first row is scored at step 0 (the validation before training), at step 1 and at the last; the others at step 1.
    A function that takes groups is given the gold answer alone, and as often as a group has responses.

    Args:
        stages: of any kind; those whose reward has no part that is to be tried are ignored.

    Returns:
        What failed, with the component's key; empty where all is well.

    Raises:
        SpecError: the data cannot be read.
    """
    alike: dict[str, list[StageSpec]] = {}
    known: dict[tuple[str, int], bool] = {}  # the cells of a grid share few rewards
    for stage in stages:
        config = settings_of(stage)
        if isinstance(config, RlConfig) and _is_to_try(config, known):
            alike.setdefault(_digest(stage), []).append(stage)
    passed = verdicts.accepted() if alike else set()
    findings, good = [], []
    try:
        for digest, group in alike.items():
            if digest in passed:
                continue
            faults = [Finding(tuple(group), *fault) for fault in _tried(group[0])]
            findings += faults
            good += [] if faults else [digest]
    finally:
        close()
    verdicts.remember(good)
    return findings


def _is_tried(part: Component) -> bool:
    return isinstance(part, PythonComponent) or not part.needs <= {"tokens"}


def _is_composed(part: Component) -> bool:
    """Whether a part may fall short on gold answers that ToolRL's own parts take."""
    return bool(part.sources) or part.kind not in ("format", "correctness", "length", "overlong", "python")


def _is_to_try(config: RlConfig, known: dict[tuple[str, int], bool]) -> bool:
    key = repr(config.reward), config.rl.steps  # a third of the time of its JSON, for every stage of a grid
    if key not in known:
        reward = get_reward(config.reward)
        known[key] = _may_fall_short(reward, config.rl.steps) or any(map(_is_tried, reward.components))
    return known[key] or _may_be_edited(config)


def _may_fall_short(reward: Reward, steps: int) -> bool:
    """Whether gold answers that nobody has edited may earn less than the most."""
    return any(map(_is_composed, reward.components)) or any(
        part.weight_at(n, steps) < 0 for n in turning_steps(reward, steps) for part in reward.components
    )


def _may_be_edited(config: RlConfig) -> bool:
    """Whether the rows are files that a user may have written."""
    data = config.data
    return isinstance(data, OwnData) or (
        isinstance(data, RllaData) and data.path is not None and Path(data.path).is_dir()
    )


def _digest(stage: StageSpec) -> str:
    config = settings_of(stage)
    assert isinstance(config, RlConfig)
    tried = {"reward": get_reward(config.reward).identity(), "data": stage.identity.get("data")}
    more = {"steps": config.rl.steps, "gold": not config.rl.allow_imperfect_gold}
    if get_reward(config.reward).takes_groups:
        more |= {"group": config.rl.rollouts}
    return verdicts.digest("reward", {**tried, **more})


def _tried(stage: StageSpec) -> list[tuple[str, OptionFault]]:
    config = settings_of(stage)
    assert isinstance(config, RlConfig)
    reward, steps, faults = get_reward(config.reward), config.rl.steps, []
    rows = first_rows(config.data.kind, dataset_params(config.data), "train", ROWS)
    for part in filter(_is_tried, reward.components):
        alone = replace(reward, components=(replace(part, only_if=()),))  # whether it counts is no matter
        try:
            for number, row in enumerate(rows):
                for step in (0, 1, steps) if number == 0 else (1,):
                    for group in sorted({1, config.rl.rollouts}) if part.takes_groups else (1,):
                        _score(alone, row, number, step, steps, group)
        except RewardError as fault:
            hint = f"{fault.hint}; tried on {fault.where}"
            faults.append((f"reward.components.{part.name}", OptionFault(fault.what, "", hint)))
    if not faults and (_may_be_edited(config) or _may_fall_short(reward, steps)):
        faults += _gold_faults(reward, config, steps)
    return faults


def _gold_faults(reward: Reward, config: RlConfig, steps: int) -> list[tuple[str, OptionFault]]:
    """What the stage's own look at all gold answers would end with, as far as its first rows tell."""
    most = OWN_ROWS if _may_be_edited(config) else GOLD_ROWS
    if any(isinstance(part, PythonComponent) for part in reward.components):  # which may take seconds a row
        most = GOLD_ROWS if any(map(_is_composed, reward.components)) else ROWS
    rows = first_rows(config.data.kind, dataset_params(config.data), "train", most)
    golds = [(n, row["reward_model"]["ground_truth"], row_facts(row)) for n, row in enumerate(rows)]
    whole = not isinstance(config.data, OwnData) or len(rows) < most
    try:
        report = check_gold(reward, golds, steps, whole_data=whole)
    except RewardError as fault:
        return [(f"reward.{fault.where}", OptionFault(fault.what, "", fault.hint))]
    if report.ok or config.rl.allow_imperfect_gold:
        return []
    count = f"{len(report.shortfalls)} of the first {report.rows} gold answers earn less than the most"
    hint = "correct the rows or the reward, or set rl.allow_imperfect_gold: true"
    return [("reward", OptionFault(f"{count} ({report.shortfalls[0]})", "", hint))]


def _score(reward: Reward, row: Row, number: int, step: int, steps: int, group: int) -> None:
    gold = row["reward_model"]["ground_truth"]
    place = f"the gold answer of train row {number} at step {step} of {steps}"
    place += f", {group} times" if group > 1 else ""
    try:
        lengths = [estimated_tokens(gold)] * group
        scores = reward.score_group([gold] * group, gold, step, steps, lengths, row_facts(row))
    except RewardError as fault:
        fault.where = place
        raise
    for total in (score.total for score in scores if not math.isfinite(score.total)):
        raise RewardError(f"its weighted value is {total}", place, "lower its weight")
