"""Algorithms as verl runs them: options, contradictions, and what is computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from verl.trainer.ppo.core_algos import get_adv_estimator_fn, get_policy_loss_fn

from tests.spec.conftest import FixedFacts
from toolrl_cli.spec.algorithms.algorithm import ESTIMATOR, LOSS
from toolrl_cli.spec.algorithms.catalogue import ALGORITHMS
from toolrl_cli.spec.kind_configs import RlConfig
from toolrl_cli.spec.stages import run_stages
from toolrl_cli.spec.sweeps.resolve import resolve_runs
from toolrl_cli.spec.sweeps.sweep import read_sweep
from toolrl_cli.training.checking.algorithm_check import algorithm_faults
from toolrl_cli.training.checking.batches import at
from toolrl_cli.training.checking.composed import merge
from toolrl_cli.training.checking.config_check import planned_options, quick_fault
from toolrl_cli.training.checking.verl_verdict import build, verdict
from toolrl_cli.training.trainers.gdpo import decoupled

ACTOR = "actor_rollout_ref.actor"
SAMPLER = "trainer.v1.sampler"
TINY = "name: s\nbase: {preset: tiny_grpo, rl.micro_batch: 64}\n"

Config = Callable[..., RlConfig]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """`--set` values → the settings of the RL stage."""

    def make(*sets: str) -> RlConfig:
        (tmp_path / "s.yaml").write_text(TINY, encoding="utf-8")
        (run,) = resolve_runs(read_sweep(tmp_path / "s.yaml", sets))
        stage = next(stage for stage in run_stages(run.spec, FixedFacts()) if stage.kind == "rl")
        return stage.settings(RlConfig)

    return make


def tree_of(config: RlConfig) -> Mapping[str, Any]:
    return merge("rl", planned_options(config, "cpu"))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_verl_takes_the_options_of_every_algorithm(config: Config, name: str) -> None:
    chosen = config(f"algorithm={name}")
    assert not algorithm_faults(chosen)
    for device in ("cpu", "cuda"):
        options = planned_options(chosen, device)  # type: ignore[arg-type]
        assert quick_fault("rl", options) is None
        assert verdict("rl", options) is None


ESTIMATORS = {
    "ppo": "gae",
    "rloo": "rloo",
    "reinforce++": "reinforce_plus_plus",
    "reinforce++_baseline": "reinforce_plus_plus_baseline",
    "opo": "opo",
    "gpg": "gpg",
    "grpo_passk": "grpo_passk",
}
LOSSES = {
    **{
        name: name
        for name in ("gpg", "gspo", "cispo", "sapo", "clip_cov", "kl_cov", "dppo_tv", "dppo_kl", "dro")
    },
    "gmpo": "geo_mean",
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_algorithm_has_the_estimator_and_the_loss_of_its_name(config: Config, name: str) -> None:
    tree = tree_of(config(f"algorithm={name}"))
    assert at(tree, ESTIMATOR) == ESTIMATORS.get(name, "grpo")
    assert at(tree, LOSS) == LOSSES.get(name, "vanilla")


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("dr_grpo", f"{ACTOR}.loss_scale_factor", 64),
        ("dr_grpo", f"{ACTOR}.loss_agg_mode", "seq-mean-token-sum-norm"),
        ("dr_grpo", "algorithm.norm_adv_by_std_in_grpo", False),
        ("dapo", "algorithm.filter_groups.enable", True),
        ("dapo", f"{SAMPLER}.sampler_kwargs.filter_groups_metric", "reward"),
        ("dapo", f"{SAMPLER}.sampler_kwargs.max_refills", 10),
        ("dapo", f"{SAMPLER}.sampler_kwargs.train_batch_size", 8),
        ("gspo", f"{ACTOR}.clip_ratio_low", 3e-4),
        ("dppo_tv", f"{ACTOR}.clip_ratio_c", 10000.0),
        ("dro", f"{ACTOR}.policy_loss.dro_beta", 1.0),
        ("remax", f"{SAMPLER}.custom_sampler.name", "BaselineBuffer"),
        ("gdpo", "trainer.toolrl.algorithm", "gdpo"),
        ("grpo", f"{ACTOR}.clip_ratio_low", 0.2),
    ],
)
def test_an_algorithm_sets(config: Config, name: str, option: str, value: object) -> None:
    assert at(tree_of(config(f"algorithm={name}")), option) == value


def test_weights_of_parts_reach_the_trainer_by_name(config: Config) -> None:
    tree = tree_of(config("algorithm=gdpo", "rl.gdpo_weights.format=2.0"))
    assert (at(tree, "trainer.toolrl.parts"), at(tree, "trainer.toolrl.weights")) == (["format"], [2.0])


@pytest.mark.parametrize(
    ("name", "option", "value", "says"),
    [
        ("grpo", ESTIMATOR, "rloo", "is 'rloo', and this is planned as grpo (set `algorithm: rloo`)"),
        ("grpo", f"++{ESTIMATOR}", "rloo_vectorized", "(set `algorithm: rloo`)"),
        ("grpo", ESTIMATOR, "reinforce_plus_plus", "(set `algorithm: reinforce++`)"),
        ("grpo", ESTIMATOR, "gdpo", "(set `algorithm: gdpo`)"),
        ("gdpo", ESTIMATOR, "gdpo", "which `algorithm: gdpo` sets by itself (remove it)"),
        ("grpo", ESTIMATOR, "optimal_token_baseline", "verl 0.9.1's trainer cannot run"),
        ("ppo", ESTIMATOR, "grpo", "(set `algorithm: grpo`)"),
        ("grpo", LOSS, "cispo", "(set `algorithm: cispo`)"),
        ("grpo", LOSS, "geo_mean", "(set `algorithm: gmpo`)"),
        ("gspo", LOSS, "vanilla", "(set `algorithm: grpo`)"),
        ("grpo", f"{ACTOR}.tau_pos", 2.0, "is not read by grpo (it is of sapo; remove it)"),
        ("clip_cov", f"{ACTOR}.policy_loss.kl_cov_ratio", 0.1, "is not read by clip_cov (it is of kl_cov"),
        ("grpo", "critic.grad_clip", 0.5, "is not read by grpo (it is of ppo; remove it)"),
        ("gdpo", "+algorithm.gdpo_reward_keys", ["format"], "(set rl.gdpo_weights: {PART: WEIGHT})"),
    ],
)
def test_an_option_that_makes_it_another_algorithm_is_refused_with_its_name(
    config: Config, name: str, option: str, value: object, says: str
) -> None:
    given = config(f"algorithm={name}").model_copy(update={"verl_options": {option: value}})
    (fault,) = algorithm_faults(given).values()
    assert fault.option == option and says in f"{fault.what} ({fault.hint})"


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("rloo", ESTIMATOR, "rloo"),
        ("grpo", LOSS, "bypass_mode"),
        ("grpo", ESTIMATOR, "grop"),  # verl itself says that it knows none such
        ("kl_cov", f"{ACTOR}.policy_loss.kl_cov_ratio", 0.01),
        ("grpo", f"{ACTOR}.clip_ratio_c", 10.0),
    ],
)
def test_an_option_that_leaves_the_algorithm_what_it_is_passes(
    config: Config, name: str, option: str, value: object
) -> None:
    given = config(f"algorithm={name}").model_copy(update={"verl_options": {option: value}})
    assert not algorithm_faults(given)


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if not ALGORITHMS[name].own_trainer])
def test_verl_computes_a_loss_with_a_gradient_from_the_options(config: Config, name: str) -> None:
    tree = tree_of(config(f"algorithm={name}"))
    actor = build(ACTOR, at(tree, ACTOR))
    torch.manual_seed(0)
    rows, length = 8, 5
    mask = torch.ones(rows, length)
    mask[0, 3:] = 0
    rewards = torch.zeros(rows, length)
    rewards[:, 2] = torch.tensor([1.0, 0, 2, 1, 0, 1, 1, 3])
    given = {"token_level_rewards": rewards.clone(), "response_mask": mask}
    if name == "ppo":
        given |= {"values": torch.zeros(rows, length), "gamma": 1.0, "lam": 1.0}
    elif name == "reinforce++":
        given |= {"config": _Config(gamma=1.0)}
    else:
        given |= {"index": np.array(list("aaaabbbb"), dtype=object), "config": _Config()}
    advantages = get_adv_estimator_fn(at(tree, ESTIMATOR))(**given)[0]
    old = torch.randn(rows, length).sub(2).clamp(max=-0.1)
    new = (old + 0.01 * torch.randn(rows, length)).requires_grad_()
    actor.global_batch_info.update(dp_size=1, batch_num_tokens=mask.sum(), global_batch_size=rows)
    actor.global_batch_info["loss_scale_factor"] = actor.loss_scale_factor
    loss, _ = get_policy_loss_fn(at(tree, LOSS))(
        old, new, advantages, mask.bool(), loss_agg_mode=actor.loss_agg_mode, config=actor
    )
    loss.backward()
    assert torch.isfinite(loss) and new.grad is not None and new.grad.abs().sum() > 0
    assert new.grad[0, 3:].abs().sum() == 0  # nothing is learned behind a response's end


class _Config(dict[str, Any]):
    """What an estimator reads of `algorithm`."""

    __getattr__ = dict.__getitem__


def part(raw: float, weight: float = 1.0) -> tuple[float, float]:
    return raw, weight


def numbers(**parts: tuple[float, float]) -> dict[str, float]:
    found = {"total": sum(raw * weight for raw, weight in parts.values())}
    for name, (raw, weight) in parts.items():
        found |= {f"{name}/raw": raw, f"{name}/weight": weight, f"{name}/weighted": raw * weight}
    return found


GROUPS = ["a", "a", "b", "b"]
ROWS = [
    numbers(format=part(0.0), correctness=part(3.0)),
    numbers(format=part(1.0), correctness=part(-3.0)),
    numbers(format=part(1.0), correctness=part(1.0)),
    numbers(format=part(1.0), correctness=part(2.0)),
]


def test_parts_of_different_size_count_the_same_in_gdpo() -> None:
    # in group a the parts take each other's advantage away; GRPO would see correctness alone
    found = decoupled(GROUPS, ROWS, {})
    assert found[:2].tolist() == pytest.approx([0.0, 0.0], abs=1e-5)
    assert found[3] == -found[2] > 0


def test_the_sum_is_normalised_over_the_step() -> None:
    found = decoupled(GROUPS, ROWS, {"format": 0.0})
    assert found.mean() == pytest.approx(0.0, abs=1e-6) and found.std() == pytest.approx(1.0, abs=1e-4)


def test_a_part_has_the_weight_of_the_reward_unless_another_is_given() -> None:
    negative = [numbers(length=part(raw, -1.0)) for raw in (1.0, 2.0)]
    assert decoupled(["a", "a"], negative, {})[0] > 0
    assert decoupled(["a", "a"], negative, {"length": 1.0})[0] < 0


def test_a_part_that_is_the_same_in_a_group_says_nothing_however_its_mean_rounds() -> None:
    rows = [numbers(format=part(raw)) for raw in (0.7, 0.7, 0.7, 0.1, 0.1, 0.1)]
    assert decoupled(["a"] * 3 + ["b"] * 3, rows, {}).tolist() == [0.0] * 6


def test_without_the_standard_deviation_a_part_keeps_its_size() -> None:
    by_size = decoupled(GROUPS, ROWS, {}, by_std=False)
    assert by_size[0] > 0 > by_size[1]


def test_groups_may_lie_in_any_order() -> None:
    order = [2, 0, 3, 1]
    mixed = decoupled([GROUPS[i] for i in order], [ROWS[i] for i in order], {})
    assert torch.allclose(mixed, decoupled(GROUPS, ROWS, {})[order], atol=1e-6)
