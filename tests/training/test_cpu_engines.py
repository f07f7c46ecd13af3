"""toolrl's engines give what verl's give."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from verl.utils import tensordict_utils as tu

from tests.training.rollout_models import tiny_model
from toolrl_cli.training.cpu.engines import pack_micro_batch, packable

ROOT = Path(__file__).parents[2]


def nested(rows: list[list[int]]) -> torch.Tensor:
    return torch.nested.as_nested_tensor([torch.tensor(row) for row in rows], layout=torch.jagged)


@pytest.mark.e2e
def test_log_probabilities_entropies_values_and_gradients_are_those_of_verls_engines(tmp_path: Path) -> None:
    """On whole micro-batches, through FSDP2, with shared prompts, at several temperatures."""
    tiny_model().save_pretrained(tmp_path)
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            str(Path(__file__).with_name("engine_comparison.py")),
            str(tmp_path),
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == 11
    assert max(found.values()) < 2e-5, found


def test_in_rl_the_response_is_scored_from_the_token_before_it() -> None:
    packed = pack_micro_batch(
        tu.get_tensordict(
            {
                "input_ids": nested([[1, 2, 3, 4], [1, 2, 5]]),
                "prompts": nested([[1, 2], [1, 2]]),
                "responses": nested([[3, 4], [5]]),
            },
            non_tensor_dict={},
        )
    )
    assert packed.labels.tolist() == [3, 4, 5]
    assert packed.places.tolist() == [1, 2, 5]
    assert packed.tokens.tolist() == [1, 2, 3, 4, 5]


def test_in_sft_the_learned_tokens_are_scored() -> None:
    packed = pack_micro_batch(
        tu.get_tensordict(
            {"input_ids": nested([[1, 2, 3, 4], [5, 6]]), "loss_mask": nested([[0, 0, 1, 1], [0, 1]])},
            non_tensor_dict={},
        )
    )
    assert packed.labels.tolist() == [3, 4, 6]
    assert packed.places.tolist() == [1, 2, 4]


def test_a_model_with_sliding_windows_is_left_to_verls_own_pass() -> None:
    assert packable(tiny_model("qwen2"))
    assert packable(tiny_model("llama"))
    assert not packable(tiny_model("mistral"))
