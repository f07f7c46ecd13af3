"""GPU memory by arithmetic, and where weights rest so that a stage fits."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.configs import rl_config, sft_config
from toolrl_cli.spec.kind_configs import RlConfig, SftConfig
from toolrl_cli.training.models.gpu_memory import FRAMEWORK, GIB, chosen_offload, serving_need, training_need
from toolrl_cli.training.models.model_size import PUBLISHED

SMALL, LARGE = PUBLISHED["Qwen/Qwen2.5-3B-Instruct"], PUBLISHED["Qwen/Qwen2.5-7B-Instruct"]
GRPO = {
    **{"max_prompt_length": 2048, "max_response_length": 1024, "micro_batch": None},
    **{"micro_batch_tokens": 16384, "entropy_coeff": 0.001},
}
SFT = {"batch_size": 32, "micro_batch_size": 1, "max_length": 4096}


def resources(offload: str, room: float | None, gpus: int) -> dict[str, Any]:
    return {"gpus": gpus, "gpu_memory": room, "offload": offload, "rollout": "vllm"}


def rl(offload: str = "auto", room: float | None = 80, gpus: int = 2, **more: Any) -> RlConfig:
    return rl_config(**{"resources": resources(offload, room, gpus), "rl": GRPO, **more})


def sft(room: float | None = 80, **more: Any) -> SftConfig:
    return sft_config(**{"resources": resources("auto", room, 2), "sft": SFT, **more})


def test_auto_offloads_always_where_it_would_not_fit_otherwise() -> None:
    assert chosen_offload(rl(), SMALL) == "idle"
    assert chosen_offload(rl(), LARGE) == "always"
    assert chosen_offload(rl(gpus=4), LARGE) == "idle"
    assert chosen_offload(rl(room=40), SMALL) == "always"
    assert chosen_offload(sft(), LARGE) == "never"
    assert chosen_offload(sft(room=40), LARGE) == "always"


def test_auto_keeps_a_tenth_of_the_gpu_free() -> None:
    expected = training_need(rl(), SMALL, "idle").training[1] / GIB
    assert chosen_offload(rl(room=expected / 0.89), SMALL) == "idle"
    assert chosen_offload(rl(room=expected / 0.91), SMALL) == "always"


def test_auto_is_modest_where_nothing_is_known() -> None:
    assert chosen_offload(rl(room=None), LARGE) == "idle"
    assert chosen_offload(rl(model={"kind": "huggingface", "path": "someone/x"})) == "idle"
    assert chosen_offload(rl_config(resources={}), LARGE) == "never"  # planned before there was a choice


def test_the_models_own_size_is_looked_up() -> None:
    model = {"kind": "huggingface", "path": "Qwen/Qwen2.5-7B-Instruct"}
    assert chosen_offload(rl(model=model)) == "always"


def test_options_that_are_passed_to_verl_count() -> None:
    def need(**options: Any) -> float:
        given = {f"actor_rollout_ref.{key.replace('__', '.')}": value for key, value in options.items()}
        return training_need(rl(verl_options=given), LARGE, "idle").training[0]

    assert need() - need(actor__fsdp_config__model_dtype="bf16") == pytest.approx(8 * LARGE.parameters / 2)
    assert need(model__enable_gradient_checkpointing=False) > 1.1 * need()


def test_all_states_of_the_network_that_learns_are_on_its_gpus_at_once() -> None:
    def low(offload: Any) -> float:
        return training_need(rl(algorithm="ppo"), LARGE, offload).training[0]

    one = 16 * LARGE.parameters / 2
    assert low("idle") - low("always") == pytest.approx(one)
    assert low("never") - low("idle") == pytest.approx(one)  # actor and critic side by side
    assert low("idle") > 70 * GIB


def test_logits_grow_with_the_tokens_at_once_and_with_the_entropy_in_the_loss() -> None:
    def expected(**settings: Any) -> float:
        return training_need(rl(rl={**GRPO, **settings}), LARGE, "always").training[1]

    tokens = 16384 - 8192
    per_token = LARGE.hidden * (2 * LARGE.layers + 64) + 6 * LARGE.vocabulary
    assert expected() - expected(micro_batch_tokens=8192) == pytest.approx(tokens * per_token)
    assert expected() - expected(entropy_coeff=0.0) == pytest.approx(16384 * 2 * LARGE.vocabulary)


def test_generating_with_transformers_takes_whole_weights_and_a_share_of_what_is_left() -> None:
    low, expected, high = serving_need(SMALL, "bf16", 0.5, 80 * GIB)
    assert low == pytest.approx(FRAMEWORK + 2 * SMALL.parameters)
    assert high == pytest.approx(low + 0.5 * (80 * GIB - low)) and low < expected < high
    assert serving_need(SMALL, "fp32", 0.5, None, rests=GIB)[2] == pytest.approx(
        FRAMEWORK + 4 * SMALL.parameters + GIB
    )
    beside_training = {**resources("never", None, 1), "rollout": "transformers"}
    alone, beside = (training_need(c, SMALL, "never") for c in (rl(resources=beside_training), rl(gpus=1)))
    assert alone.training[0] < beside.training[0]  # a sleeping vLLM keeps more


def test_a_device_is_given_no_more_than_its_share() -> None:
    few = {"batch_size": 4, "micro_batch_size": 16, "max_length": 100}
    assert sft(sft=few).tokens_at_once == 2 * 100
    assert rl(rl={**GRPO, "micro_batch": 8}).tokens_at_once == 8 * 3072
