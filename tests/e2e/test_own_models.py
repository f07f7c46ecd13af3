"""Folders of other shapes than the tiny model's, by relative path: trained, exported and evaluated by real verl."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from toolrl_cli.store.progress.metrics import merge_metrics
from toolrl_cli.training.models.tiny_tokenizer import PAD, TURN_END, write_tokenizer

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
POSITIONS = 1024
SWEEP = """
name: own
base:
  preset: tiny_grpo
  train: [sft, rl]
  data: {kind: toolworld, base: 16, sft: 16, train: 16, val: 2, benchmark: 4}
  sft: {steps: 1, batch_size: 8}
  rl: {steps: 1, prompts: 2, rollouts: 4, mini_batch: 2, save_every: 1, validate_every: 1,
       entropy_coeff: 0.01}  # a gradient, although random models all earn the same
arms:
  llama: {model: ./llama}
  qwen2: {model: ./qwen2, lora: {rank: 4}, sft.lr: 0.01}
evaluate: [toolworld]
"""


def make_model(folder: Path, family: str, positions: int = POSITIONS) -> None:
    """A random model with grouped heads: Llama with a head of its own, in shards; Qwen2 with a tied one."""
    ids = write_tokenizer(folder, positions)
    shape = {
        **{"vocab_size": len(ids), "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2},
        **{"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": positions},
        "initializer_range": 0.2,  # far from uniform, so that a wrong position or head shows
        **{"bos_token_id": None, "eos_token_id": ids[TURN_END], "pad_token_id": ids[PAD]},
    }
    torch.manual_seed(0)
    if family == "llama":
        model: Any = LlamaForCausalLM(LlamaConfig(tie_word_embeddings=False, **shape))
    else:
        model = Qwen2ForCausalLM(Qwen2Config(tie_word_embeddings=True, **shape))
    model.save_pretrained(folder, max_shard_size="150KB" if family == "llama" else "50GB")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """After the sweep, which was started in its own folder."""
    folder = tmp_path_factory.mktemp("own")
    for family in ("llama", "qwen2"):
        (folder / family).mkdir()
        make_model(folder / family, family)
    (folder / "own.yaml").write_text(SWEEP, encoding="utf-8")
    answer = subprocess.run(
        [sys.executable, "-m", "toolrl_cli", "sweep", "own.yaml", "--results", "results"],
        cwd=folder,
        env={**os.environ, "WANDB_MODE": "disabled", "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=900,  # a hang; never a measure of speed
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    return folder


def stages(folder: Path, kind: str, family: str) -> list[Path]:
    return [p for p in (folder / "results" / "stages" / kind).iterdir() if family in p.name]


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_every_stage_takes_up_what_the_one_before_made_and_the_shape_stays(folder: Path, family: str) -> None:
    started = folder / family
    exported = sorted(
        (p / "output" / "model" for p in stages(folder, "export", family)), key=os.path.getmtime
    )
    assert len(exported) == 2
    seen = [AutoModelForCausalLM.from_pretrained(path) for path in (started, *exported)]
    for model in seen:
        assert model.config.num_key_value_heads == 2 and model.dtype == torch.float32
        assert model.config.tie_word_embeddings is (family == "qwen2")
        assert (model.lm_head.weight is model.model.embed_tokens.weight) is (family == "qwen2")
    for before, after in itertools.pairwise(model.state_dict() for model in seen):
        assert after.keys() == before.keys()
        name = "model.layers.0.self_attn.k_proj.weight"
        assert not torch.equal(after[name], before[name])


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_what_is_sampled_is_what_is_trained_and_evaluated(folder: Path, family: str) -> None:
    (rl,) = stages(folder, "rl", family)
    first, last = merge_metrics(rl)
    assert (first["step"], last["step"]) == (0, 1)
    assert last["data"]["training/rollout_probs_diff_max"] < 1e-4
    assert last["data"]["training/rollout_actor_probs_pearson_corr"] > 0.999
    (evaluation,) = stages(folder, "evaluate", family)
    scores = json.loads((evaluation / "output" / "scores.json").read_text())
    assert sum(1 for _ in (evaluation / "output" / "items.jsonl").open()) == 4
    assert scores["metrics"]
