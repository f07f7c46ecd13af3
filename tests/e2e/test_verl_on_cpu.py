"""verl's own trainers on the CPU: GRPO on two ranks, resuming, a scorer that fails, PPO, and SFT.

Each test is a whole run of a real verl process tree on a tiny Qwen2 model that the test makes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from toolrl_cli.processes.tree import descendants
from toolrl_cli.training.checkpointing.merging import merge_checkpoint
from toolrl_cli.training.cpu.cpu_options import (
    cpu_command,
    cpu_environment,
    cpu_rl_overrides,
    cpu_sft_overrides,
    hydra_arguments,
)

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.e2e

GOLD = '<think> t </think>\n<tool_call>\n{"name": "f", "parameters": {"a": 1}}\n</tool_call>'
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Material:
    """A model and rows of it."""

    model: Path
    rl: Path
    sft: Path
    reward: Path


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("material")
    alphabet = {
        character: index for index, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))
    }
    bare = Tokenizer(models.BPE(alphabet, []))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    bare.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bare, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=TEMPLATE
    )
    tokenizer.save_pretrained(folder / "model")
    torch.manual_seed(0)
    Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=288,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    ).save_pretrained(folder / "model")
    prompts = [[{"role": "user", "content": f"call f {index}"}] for index in range(16)]
    rows = [
        {
            "data_source": "tiny",
            "prompt": prompt,
            "ability": "tool_use",
            "reward_model": {"style": "rule", "ground_truth": GOLD},
            "extra_info": {"index": index},
        }
        for index, prompt in enumerate(prompts)
    ]
    pd.DataFrame(rows).to_parquet(folder / "rl.parquet")
    answered = [{"messages": [*prompt, {"role": "assistant", "content": GOLD}]} for prompt in prompts]
    pd.DataFrame(answered).to_parquet(folder / "sft.parquet")
    # a reward with something to gain for a model that knows nothing: short responses
    (folder / "short.py").write_text("def short(completion):\n    return -len(completion) / 100\n")
    reward = {
        "components": {
            "format": {"kind": "format"},
            "short": {"kind": "python", "path": str(folder / "short.py"), "function": "short"},
        }
    }
    (folder / "reward.json").write_text(json.dumps(reward))
    return Material(folder / "model", folder / "rl.parquet", folder / "sft.parquet", folder / "reward.json")


@pytest.fixture
def ray_folder() -> Iterator[str]:
    """A folder for Ray whose path is short enough for the sockets that Ray puts in it."""
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    code: int
    log: str
    steps: dict[int, dict[str, Any]]


def run(module: str, options: dict[str, Any], folder: Path, ranks: int | None = None) -> Outcome:
    folder.mkdir(exist_ok=True)
    metrics = folder / "metrics.jsonl"
    environment = os.environ | cpu_environment(threads=1)
    environment |= {"PYTHONPATH": str(ROOT), "VERL_FILE_LOGGER_PATH": str(metrics), "HYDRA_FULL_ERROR": "1"}
    with (folder / "log.txt").open("w") as log:
        code = subprocess.run(
            cpu_command(module, hydra_arguments(options), ranks=ranks),
            env=environment,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            timeout=900,
        ).returncode
    lines = metrics.read_text().splitlines() if metrics.exists() else []
    steps = {line["step"]: line["data"] for line in map(json.loads, lines)}
    return Outcome(code, (folder / "log.txt").read_text(errors="replace"), steps)


def rl(
    material: Material,
    folder: Path,
    ray_folder: str,
    *,
    ppo: bool = False,
    ranks: int = 1,
    module: str = "verl.trainer.main_ppo",
    **changes: Any,
) -> Outcome:
    samples = 1 if ppo else 4
    failure = str(folder / "reward_failure.json")
    options = cpu_rl_overrides(critic=ppo, ranks=ranks) | {
        "algorithm.adv_estimator": "gae" if ppo else "grpo",
        "data.train_files": str(material.rl),
        "data.val_files": str(material.rl),
        "data.train_batch_size": 16 // samples,
        "data.max_prompt_length": 64,
        "data.max_response_length": 12,
        "actor_rollout_ref.model.path": str(material.model),
        "actor_rollout_ref.actor.ppo_mini_batch_size": 16 // samples,
        "actor_rollout_ref.actor.use_dynamic_bsz": True,
        "actor_rollout_ref.actor.optim.lr": 1e-3,
        "actor_rollout_ref.rollout.log_prob_use_dynamic_bsz": True,
        "actor_rollout_ref.ref.log_prob_use_dynamic_bsz": True,
        "actor_rollout_ref.rollout.n": samples,
        "actor_rollout_ref.rollout.temperature": 0.8,
        "reward.reward_manager.source": "importlib",
        "reward.reward_manager.module.path": "pkg://toolrl_cli.training.reward_manager",
        "reward.reward_manager.name": "ToolrlRewardManager",
        "+reward.toolrl.spec": str(material.reward),
        "+reward.toolrl.failure_file": failure,
        "trainer.v1.sampler.custom_sampler.path": "pkg://toolrl_cli.training.replay_buffer",
        "trainer.v1.sampler.custom_sampler.name": "TrainingReplayBuffer",
        "+trainer.v1.sampler.sampler_kwargs.failure_file": failure,
        "trainer.logger": ["console", "file"],
        "trainer.total_training_steps": 2,
        "trainer.total_epochs": 100,
        "trainer.val_before_train": False,
        "trainer.save_freq": -1,
        "trainer.default_local_dir": str(folder / "checkpoints"),
        "+ray_kwargs.ray_init._temp_dir": ray_folder,
    }
    if ppo:
        options |= {"critic.model.path": str(material.model), "critic.optim.lr": 1e-3}
    return run(module, options | changes, folder)


def assert_steps(outcome: Outcome, steps: list[int]) -> None:
    assert sorted(outcome.steps) == steps, outcome.log[-3000:]
    for step, data in outcome.steps.items():
        assert data["training/global_step"] == step
        assert data["training/rollout_actor_probs_pearson_corr"] > 0.999
        assert data["training/rollout_probs_diff_max"] < 1e-4
        # the weights that generated are those after the step before
        assert data["training/off_policy/trajectory_staleness/max"] == 0
        assert data["reward/total/mean"] == pytest.approx(data["critic/score/mean"], abs=1e-4)
        parts = data["reward/format/weighted/mean"] + data["reward/short/weighted/mean"]
        assert data["reward/total/mean"] == pytest.approx(parts, abs=1e-4)
        assert data["reward/total/std"] > 0
        assert data["actor/grad_norm"] > 0


def test_a_trainer_of_ours_trains_on_the_groups_that_differ(
    material: Material, tmp_path: Path, ray_folder: str
) -> None:
    sampler = {"filter_groups_metric": "short", "max_refills": 20, "train_batch_size": 4}
    options: dict[str, Any] = {
        "+trainer.toolrl.algorithm": "gdpo",
        "+trainer.toolrl.parts": ["short"],
        "+trainer.toolrl.weights": [2.0],
        "algorithm.filter_groups.enable": True,
        **{f"+trainer.v1.sampler.sampler_kwargs.{key}": value for key, value in sampler.items()},
    }
    outcome = rl(material, tmp_path, ray_folder, module="toolrl_cli.training.trainers.program", **options)
    assert outcome.code == 0, outcome.log[-3000:]
    assert_steps(outcome, [1, 2])
    for data in outcome.steps.values():
        assert data["critic/advantages/max"] > 0 > data["critic/advantages/min"]
        left_out = data["training/filter_groups/evicted_samples"]
        assert data["training/filter_groups/refilled_prompts"] >= left_out
        assert (data["training/filter_groups/reward_of_all/mean"] == data["reward/total/mean"]) == (
            left_out == 0
        )


def test_grpo_on_two_ranks_validates_and_goes_on_from_its_checkpoint_until_a_scorer_fails(
    material: Material, tmp_path: Path, ray_folder: str
) -> None:
    options = {"trainer.save_freq": 1, "trainer.test_freq": 2, "trainer.val_before_train": True}
    first = rl(material, tmp_path, ray_folder, ranks=2, **options)
    assert {step for step in first.steps if "val-core/tiny/reward/mean@1" in first.steps[step]} == {0, 2}
    assert first.steps[2]["val-aux/tiny/short/raw/mean@1"] < 0
    before = first.steps.pop(0)
    assert "val-aux/tiny/format/weight/mean@1" in before
    assert first.code == 0, first.log[-3000:]
    assert_steps(first, [1, 2])
    assert (tmp_path / "checkpoints" / "latest_checkpointed_iteration.txt").read_text() == "2"

    (tmp_path / "late.py").write_text("def late(step):\n    return 1.0 if step < 4 else 1 / 0\n")
    reward = json.loads(material.reward.read_text())
    late = {"kind": "python", "path": str(tmp_path / "late.py"), "function": "late", "weight": 0}
    reward["components"]["late"] = late
    (tmp_path / "reward.json").write_text(json.dumps(reward))
    options |= {"+reward.toolrl.spec": str(tmp_path / "reward.json"), "trainer.total_training_steps": 5}
    second = rl(material, tmp_path, ray_folder, ranks=2, **options)
    again = second.steps.pop(2)  # the validation that every start makes, now of the loaded weights
    assert again["val-core/tiny/reward/mean@1"] == first.steps[2]["val-core/tiny/reward/mean@1"]
    assert_steps(second, [3])
    assert second.code != 0
    assert "scoring a completion failed at step 4" in second.log and "ZeroDivisionError" in second.log
    failure = json.loads((tmp_path / "reward_failure.json").read_text())
    assert (failure["step"], failure["ground_truth"]) == (4, GOLD)
    assert descendants(os.getpid()) == []


def test_ppo_trains_policy_and_critic_with_a_reference_model(
    material: Material, tmp_path: Path, ray_folder: str
) -> None:
    outcome = rl(
        material,
        tmp_path,
        ray_folder,
        ppo=True,
        **{"algorithm.use_kl_in_reward": True, "trainer.save_freq": 2},
    )
    assert outcome.code == 0, outcome.log[-3000:]
    assert_steps(outcome, [1, 2])
    for data in outcome.steps.values():
        assert data["critic/grad_norm"] > 0
        assert "actor/reward_kl_penalty" in data
    assert outcome.steps[1]["actor/reward_kl_penalty"] == pytest.approx(0, abs=1e-6)
    assert (tmp_path / "checkpoints" / "global_step_2" / "critic").is_dir()


def test_sft_learns_on_two_ranks(material: Material, tmp_path: Path) -> None:
    """On one it is in every sweep of these tests."""
    ranks = 2
    options = cpu_sft_overrides(ranks=ranks) | {
        "data.train_files": str(material.sft),
        "data.train_batch_size": 8,
        "data.max_length": 256,
        "data.ignore_input_ids_mismatch": True,
        "model.path": str(material.model),
        "optim.lr": 1e-2,
        "trainer.logger": ["console", "file"],
        "trainer.total_training_steps": 6,
        "trainer.total_epochs": 6,
        "trainer.save_freq": 6,
        "trainer.default_local_dir": str(tmp_path / "checkpoints"),
    }
    outcome = run("verl.trainer.sft_trainer", options, tmp_path, ranks=ranks)
    assert outcome.code == 0, outcome.log[-3000:]
    losses = [data["train/loss"] for _, data in sorted(outcome.steps.items())]
    assert len(losses) == 6
    assert losses[-1] < 0.8 * losses[0]
    target = tmp_path / "merged"
    merge_checkpoint(tmp_path / "checkpoints" / "global_step_6", target, "fp32")
    found, start = (Qwen2ForCausalLM.from_pretrained(folder) for folder in (target, material.model))
    assert found.state_dict().keys() == start.state_dict().keys()
    assert not torch.equal(found.lm_head.weight, start.lm_head.weight)
