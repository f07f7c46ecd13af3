"""The shipped presets: they resolve, say what the paper says, and layer as documented."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.spec.conftest import FixedFacts
from toolrl_cli.spec.run.run_spec import RunSpec
from toolrl_cli.spec.stages import run_stages
from toolrl_cli.spec.sweeps import presets
from toolrl_cli.spec.sweeps.resolve import Run, resolve_runs
from toolrl_cli.spec.sweeps.sweep import read_sweep

Resolve = Callable[..., list[Run]]
SWEEPS = Path(__file__).parents[2] / "sweeps"
CHOICES = {"without_kl", "whole_prompts", "last_saved"}
RLLA_TRAIN_ROWS = 3920


def preset(resolve: Resolve, name: str, more: str = "") -> RunSpec:
    (run,) = resolve(
        f"name: s\nbase: {{preset: {name}, model: qwen2.5-3b-instruct{more}}}\nevaluate: [bfcl]\n"
    )
    return run.spec


@pytest.mark.parametrize("name", sorted(set(presets.names()) - CHOICES))
def test_every_preset_makes_a_run(resolve: Resolve, facts: FixedFacts, name: str) -> None:
    assert run_stages(preset(resolve, name), facts)


@pytest.mark.parametrize("name", presets.model_names())
def test_every_model_makes_a_run(resolve: Resolve, facts: FixedFacts, name: str) -> None:
    (run,) = resolve(f"name: s\nbase: {{preset: paper_grpo, model: {name}}}\n")
    assert run_stages(run.spec, facts)[0].config["model"]["name"] == name.removesuffix("_base")


def test_models_of_the_paper_are_pinned_to_a_commit(resolve: Resolve) -> None:
    for name in set(presets.model_names()) - {"tiny", "tiny_base"}:
        (run,) = resolve(f"name: s\nbase: {{preset: paper_grpo, model: {name}}}\n")
        revision = run.spec.model.revision
        assert revision is not None and re.fullmatch("[0-9a-f]{40}", revision)


def test_paper_grpo_has_the_numbers_of_table_8(resolve: Resolve) -> None:
    run = preset(resolve, "paper_grpo")
    rl = run.rl
    assert run.algorithm == "grpo" and run.train == ("rl",) and run.checkpoint == "best"
    assert (rl.prompts, run.verl.rl["data.val_batch_size"]) == (512, 128)
    assert (rl.max_prompt_length, rl.max_response_length) == (2048, 1024)
    assert rl.lr == 1e-6
    assert (rl.mini_batch, rl.micro_batch, rl.micro_batch_tokens) == (128, None, 16384)
    assert run.resources.rollout == "vllm" and run.resources.gpu_memory_utilization == 0.6
    assert rl.rollouts == 4
    assert (rl.save_every, rl.validate_every) == (15, 5)
    assert rl.steps == 15 * (RLLA_TRAIN_ROWS // rl.prompts) == 105


@pytest.mark.parametrize("name", ["paper_sft", "paper_grpo", "paper_ppo"])
def test_the_paper_s_presets_are_for_two_gpus_wherever_they_are_planned(resolve: Resolve, name: str) -> None:
    resources = preset(resolve, name).resources
    assert (resources.device, resources.gpus) == ("cuda", 2)


def test_paper_ppo_has_the_numbers_of_table_9(resolve: Resolve) -> None:
    run = preset(resolve, "paper_ppo")
    rl = run.rl
    assert run.algorithm == "ppo"
    assert (rl.prompts, run.verl.rl["data.val_batch_size"]) == (512, 128)
    assert (rl.max_prompt_length, rl.max_response_length, rl.truncation) == (1024, 512, "left")
    assert (rl.lr, rl.critic_lr, rl.critic_warmup) == (1e-6, 1e-5, 0)
    assert rl.mini_batch == 128
    assert run.resources.gpus * (rl.micro_batch or 0) == 8
    assert (rl.kl, rl.kl_coef) == ("in_reward", 0.001)
    assert run.resources.rollout == "vllm" and run.resources.gpu_memory_utilization == 0.3
    assert rl.rollouts == 1
    assert (rl.save_every, rl.validate_every, rl.steps) == (15, 5, 105)


def test_paper_sft_has_the_settings_the_authors_gave(resolve: Resolve) -> None:
    run = preset(resolve, "paper_sft")
    sft = run.sft
    assert run.train == ("sft",) and run.precision == "bf16" and run.resources.gpus == 2
    assert (sft.micro_batch_size, sft.batch_size) == (1, 1 * 16 * run.resources.gpus)
    assert (sft.max_length, sft.lr, sft.epochs) == (4096, 1e-5, 3)
    assert (sft.lr_schedule, sft.warmup, sft.val_share) == ("cosine", 0.1, 0.05)


def test_the_rl_presets_carry_the_sft_settings(resolve: Resolve) -> None:
    sft = preset(resolve, "paper_sft").sft
    assert preset(resolve, "paper_grpo").sft == preset(resolve, "paper_ppo").sft == sft


def test_what_the_released_code_did_is_the_default_and_the_text_a_choice_by_name(resolve: Resolve) -> None:
    assert preset(resolve, "paper_grpo").rl.kl == "in_reward"
    assert preset(resolve, "[paper_grpo, without_kl]").rl.kl == "none"
    assert preset(resolve, "[paper_ppo, whole_prompts]").rl.max_prompt_length == 2048
    assert preset(resolve, "[paper_grpo, last_saved]").rl.steps == 90
    assert preset(resolve, "[paper_grpo, without_kl]", ", rl.kl: in_loss").rl.kl == "in_loss"


@pytest.mark.parametrize("name", ["paper_grpo", "paper_ppo"])
def test_where_verl_and_the_released_code_differ_the_code_s_way_is_set(resolve: Resolve, name: str) -> None:
    run = preset(resolve, name)
    assert run.verl.rl["actor_rollout_ref.actor.clip_ratio_c"] > math.exp(20)  # no dual clip
    assert run.rl.warmup_steps == 1  # the first step at a learning rate of 0


def test_the_stages_of_the_quickstart_keep_their_ids(facts: FixedFacts) -> None:
    for model, known in ("base.model=tiny", QUICKSTART), ("name=quickstart", QUICKSTART_PACKAGED):
        runs = resolve_runs(read_sweep(SWEEPS / "quickstart.yaml", [model]))
        ids = {stage.id for run in runs for stage in run_stages(run.spec, facts)}
        assert ids == set(known)


def test_a_field_at_its_neutral_value_changes_no_id_and_at_another_does(
    resolve: Resolve, facts: FixedFacts
) -> None:
    text = "name: s\nbase: {preset: tiny_grpo, train: [sft]}\n"
    ids = [[s.id for s in run_stages(r.spec, facts)] for r in resolve(text)]
    neutral = resolve(text, "sft.val_share=0.0")
    assert [[s.id for s in run_stages(r.spec, facts)] for r in neutral] == ids
    other = resolve(text, "sft.val_share=0.1")
    assert [[s.id for s in run_stages(r.spec, facts)] for r in other] != ids


QUICKSTART = [
    "tiny-base-s0-6998a24327",
    "tiny-base-s0-12acea9dd4",
    "toolworld-tiny-base-s0-c424105249",
    "tiny-sft-s1-9bdadf7af1",
    "tiny-sft-s1-aea9fce5d6",
    "toolworld-tiny-sft-s1-67dd720a42",
    "grpo-tiny-original-s1-2f75f6d51c",
    "grpo-tiny-original-s1-b32251ac3f",
    "toolworld-grpo-tiny-original-s1-548dc7ba3b",
    "grpo-tiny-coarse-s1-a5b8831c47",
    "grpo-tiny-coarse-s1-2c60d974f7",
    "toolworld-grpo-tiny-coarse-s1-85565dd9ad",
    "ppo-tiny-original-s1-09e4e22e9c",
    "ppo-tiny-original-s1-18fa9ce0f5",
    "toolworld-ppo-tiny-original-s1-401041656a",
]
QUICKSTART_PACKAGED = [
    "toolworld-tiny-d86940ea82",
    "tiny-sft-s1-9ef89a3f57",
    "tiny-sft-s1-56e0b7a940",
    "toolworld-tiny-sft-s1-25f67e65dd",
    "grpo-tiny-original-s1-05de27e289",
    "grpo-tiny-original-s1-fe2057bb59",
    "toolworld-grpo-tiny-original-s1-581479b1ef",
    "grpo-tiny-coarse-s1-a1b6db7888",
    "grpo-tiny-coarse-s1-9df5142a2b",
    "toolworld-grpo-tiny-coarse-s1-a04958498b",
    "ppo-tiny-original-s1-33a0c82ddc",
    "ppo-tiny-original-s1-ec270854a8",
    "toolworld-ppo-tiny-original-s1-a8d7da48be",
]
"""With the tiny model that comes with the package, by its path."""
