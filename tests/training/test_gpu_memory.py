"""GPU memory by arithmetic, and where weights rest so that a stage fits."""

from __future__ import annotations

from typing import Any

import pytest

from toolrl_cli.training.gpu_memory import GIB, chosen_offload, tokens_at_once, training_need
from toolrl_cli.training.model_size import PUBLISHED

SMALL, LARGE = PUBLISHED["Qwen/Qwen2.5-3B-Instruct"], PUBLISHED["Qwen/Qwen2.5-7B-Instruct"]
GRPO = {
    **{"max_prompt_length": 2048, "max_response_length": 1024, "micro_batch": None},
    **{"micro_batch_tokens": 16384, "entropy_coeff": 0.001},
}
SFT = {"batch_size": 32, "micro_batch_size": 1, "max_length": 4096}


def config(offload: str = "auto", room: float | None = 80, gpus: int = 2, **more: Any) -> dict[str, Any]:
    resources = {"gpus": gpus, "gpu_memory": room, "offload": offload, "rollout": "vllm"}
    return {"algorithm": "grpo", "resources": resources, "rl": GRPO, "sft": SFT, **more}


def test_auto_offloads_always_where_it_would_not_fit_otherwise() -> None:
    assert chosen_offload("rl", config(), SMALL) == "idle"
    assert chosen_offload("rl", config(), LARGE) == "always"
    assert chosen_offload("rl", config(gpus=4), LARGE) == "idle"
    assert chosen_offload("rl", config(room=40), SMALL) == "always"
    assert chosen_offload("sft", config(), LARGE) == "never"
    assert chosen_offload("sft", config(room=40), LARGE) == "always"


def test_auto_is_modest_where_nothing_is_known() -> None:
    assert chosen_offload("rl", config(room=None), LARGE) == "idle"
    assert chosen_offload("rl", config(model={"kind": "huggingface", "path": "someone/x"})) == "idle"
    assert chosen_offload("rl", {"resources": {}}, LARGE) == "never"  # planned before there was a choice


def test_the_models_own_size_is_looked_up() -> None:
    model = {"kind": "huggingface", "path": "Qwen/Qwen2.5-7B-Instruct"}
    assert chosen_offload("rl", config(model=model)) == "always"


@pytest.mark.parametrize(("option", "chosen"), [("offload_policy", "always"), ("param_offload", "idle")])
def test_options_passed_through_to_verl_count(option: str, chosen: str) -> None:
    options = {f"actor_rollout_ref.actor.fsdp_config.{option}": True}
    assert chosen_offload("rl", config("never", verl_options=options), SMALL) == chosen


def test_all_states_of_the_network_that_learns_are_on_its_gpus_at_once() -> None:
    def low(offload: Any) -> float:
        return training_need("rl", config(algorithm="ppo"), LARGE, offload).training[0]

    one = 16 * LARGE.parameters / 2
    assert low("idle") - low("always") == pytest.approx(one)
    assert low("never") - low("idle") == pytest.approx(one)  # actor and critic side by side
    assert low("idle") > 70 * GIB


def test_logits_grow_with_the_tokens_at_once_and_with_the_entropy_in_the_loss() -> None:
    def expected(**settings: Any) -> float:
        return training_need("rl", config(rl={**GRPO, **settings}), LARGE, "always").training[1]

    tokens = 16384 - 8192
    per_token = LARGE.hidden * (2 * LARGE.layers + 64) + 6 * LARGE.vocabulary
    assert expected() - expected(micro_batch_tokens=8192) == pytest.approx(tokens * per_token)
    assert expected() - expected(entropy_coeff=0.0) == pytest.approx(16384 * 2 * LARGE.vocabulary)


def test_a_device_is_given_no_more_than_its_share() -> None:
    few = {"batch_size": 4, "micro_batch_size": 16, "max_length": 100}
    assert tokens_at_once("sft", config(sft=few)) == 2 * 100
    assert tokens_at_once("rl", config(rl={**GRPO, "micro_batch": 8})) == 8 * 3072
