"""Bundles of prompts: how they are cut, scored and stored. The rest runs in the end-to-end test."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tensordict import NonTensorData, NonTensorStack, TensorDict
from verl.experimental.agent_loop.agent_loop import AgentLoopMetrics, AgentLoopOutput

from toolrl_cli.training.rollout import agent_loop
from toolrl_cli.training.rollout.agent_loop import BundleAgentLoopWorker, _rows, _scoring_batch


def worker(n: int = 8, val_n: int = 1) -> BundleAgentLoopWorker:
    """A worker without its actor's surroundings."""
    bare = object.__new__(BundleAgentLoopWorker)
    train = {"n": n, "temperature": 0.9, "top_p": 0.95, "top_k": 20}
    validation = SimpleNamespace(n=val_n, temperature=0, top_p=1.0, top_k=-1)
    bare.rollout_config = SimpleNamespace(**train, val_kwargs=validation, response_length=3)
    return bare


def sizes(subject: BundleAgentLoopWorker, prompts: list[dict[str, Any]], validate: bool = False) -> list[int]:
    return [len(bundle) for bundle in subject._bundles(prompts, validate)]


def prompts(count: int, **fields: object) -> list[dict[str, Any]]:
    return [{"uid": str(index), **fields} for index in range(count)]


def test_bundles_hold_about_as_many_samples_whatever_a_prompt_has() -> None:
    limit = agent_loop.BUNDLE_SAMPLES
    assert sizes(worker(n=8), prompts(9)) == [4, 4, 1]
    assert sizes(worker(n=1), prompts(limit + 3)) == [limit, 3]
    assert sizes(worker(n=limit * 2), prompts(2)) == [1, 1]
    assert sizes(worker(n=8), prompts(limit * 2), validate=True) == [limit, limit]


def test_a_prompt_may_have_its_own_number_of_samples() -> None:
    (bundle,) = worker(n=8)._bundles(prompts(2, __rollout_n__=np.int64(3)), False)
    assert [prompt["__rollout_n__"] for prompt in bundle] == [3, 3]


def test_training_samples_and_validation_is_greedy() -> None:
    subject = worker()
    assert subject._sampling({}, False) == {"temperature": 0.9, "top_p": 0.95, "top_k": 20}
    assert subject._sampling({}, True)["temperature"] == 0
    assert subject._sampling({"__do_sample__": False}, False)["temperature"] == 0


def test_rows_come_out_of_verls_batch_as_plain_values() -> None:
    batch = TensorDict(
        {
            "uid": NonTensorStack("a", "b"),
            "raw_prompt": NonTensorStack([{"role": "user"}], [{"role": "user"}, {"role": "user"}]),
            "global_steps": NonTensorData(7),
            "index": torch.tensor([4, 5]),
        },
        batch_size=2,
    )
    first, second = _rows(batch)
    assert (first["uid"], first["global_steps"], int(first["index"])) == ("a", 7, 4)
    assert second["raw_prompt"] == [{"role": "user"}, {"role": "user"}]


def output(prompt: list[int], response: list[int]) -> AgentLoopOutput:
    return AgentLoopOutput(
        prompt_ids=prompt,
        response_ids=response,
        response_mask=[1] * len(response),
        response_logprobs=[-0.5] * len(response),
        num_turns=2,
        metrics=AgentLoopMetrics(),
        extra_fields={"global_steps": 3, "min_global_steps": 3, "max_global_steps": 3},
    )


def test_what_is_scored_is_each_samples_own_response_and_fields() -> None:
    samples = [
        (
            "a_0_0",
            {"uid": "a", "reward_model": {"ground_truth": "x"}, "list": [1, 2]},
            output([1], [5, 6, 7]),
        ),
        ("b_0_0", {"uid": "b", "reward_model": {"ground_truth": "y"}, "list": [3, 4]}, output([1, 2], [8])),
    ]
    data = _scoring_batch(samples)
    assert len(data) == 2
    for index, (_, prompt, sample) in enumerate(samples):
        item = data[index]
        length = item.batch["responses"].shape[-1]
        valid = int(item.batch["attention_mask"][-length:].sum())
        assert item.batch["responses"][:valid].tolist() == sample.response_ids
        assert item.non_tensor_batch["reward_model"] == prompt["reward_model"]
        assert item.non_tensor_batch["list"] == prompt["list"]


def test_what_is_stored_is_what_verls_own_worker_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    stored: dict[str, Any] = {}

    async def put(**kwargs: Any) -> None:
        stored.update(kwargs)

    monkeypatch.setattr(agent_loop.tq, "async_kv_batch_put", put)
    prompt = {"uid": "a", "global_steps": 4, "data_source": "toolworld"}
    samples = [("a_0_0", prompt, output([1, 2], [5, 6])), ("a_1_0", prompt, output([1, 2], [7]))]
    for _, _, sample in samples:
        sample.reward_score = 1.5
    asyncio.run(worker()._store(samples, "train"))
    assert (stored["keys"], stored["partition_id"]) == (["a_0_0", "a_1_0"], "train")
    assert stored["tags"][1] == {
        "status": "success",
        "prompt_len": 2,
        "response_len": 1,
        "seq_len": 3,
        "global_steps": 4,
        "min_global_steps": 3,
        "max_global_steps": 3,
    }
    fields = stored["fields"]
    assert [row.tolist() for row in fields["input_ids"].unbind()] == [[1, 2, 5, 6], [1, 2, 7]]
    assert [row.tolist() for row in fields["rm_scores"].unbind()] == [[0.0, 1.5], [1.5]]
    assert [row.tolist() for row in fields["position_ids"].unbind()] == [[0, 1, 2, 3], [0, 1, 2]]
    assert [row.tolist() for row in fields["rollout_log_probs"].unbind()] == [[-0.5, -0.5], [-0.5]]
