"""ReMax: one greedy response more to each prompt, whose reward is the baseline."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tensordict import TensorDict
from verl.trainer.ppo.v1 import trainer_base
from verl.utils import tensordict_utils as tu

from tests.support.queue_double import Queue
from toolrl_cli.errors import StageError
from toolrl_cli.training.trainers import remax
from toolrl_cli.training.trainers.remax import BaselineBuffer, RemaxTrainer


@pytest.fixture
def buffer(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> BaselineBuffer:
    monkeypatch.setattr(remax, "tq", queue)
    return BaselineBuffer(
        trainer_mode="sync",
        trainer_config=OmegaConf.create({}),
        max_off_policy_threshold=8,
        max_off_policy_strategy="drop",
        sampler_kwargs=OmegaConf.create({}),
        refill_fn=None,
    )


def test_a_batch_has_the_sampled_responses_alone_and_the_greedy_rewards_beside_it(
    buffer: BaselineBuffer, queue: Queue
) -> None:
    for uid, greedy in [("a", 5.0), ("b", 7.0)]:
        queue.prompt(uid, "finished", [1.0, 2.0])
        queue.prompt(f"{uid}-greedy", "finished", [greedy])
    batch, metrics = buffer.sample(1, "train", 2)
    assert batch.keys == ["a_0_0", "a_1_0", "b_0_0", "b_1_0"]
    assert buffer.baselines == {"a": 5.0, "b": 7.0}
    assert metrics["reward/total/mean"] == 1.5
    assert queue.partitions["train"].keys() == set(batch.keys)


def test_a_prompt_waits_for_its_greedy_response(buffer: BaselineBuffer, queue: Queue) -> None:
    queue.prompt("a", "finished", [1.0])
    queue.prompt("a-greedy", "running", [3.0])
    queue.later.append(("a-greedy", "finished"))
    assert buffer.sample(1, "train", 1)[0].keys == ["a_0_0"] and buffer.baselines == {"a": 3.0}


def test_a_greedy_response_that_fails_ends_the_run(buffer: BaselineBuffer, queue: Queue) -> None:
    queue.prompt("a", "finished", [1.0])
    queue.prompt("a-greedy", "failure", [])
    with pytest.raises(StageError):
        buffer.sample(1, "train", 1)


def test_validation_has_no_greedy_twins(buffer: BaselineBuffer, queue: Queue) -> None:
    queue.prompt("v", "finished", [1.0], "val")
    assert buffer.sample(1, "val", 1)[0].keys == ["v_0_0"]


class Rollouts:
    """The agent loops, which take fields out of the batch that they are given."""

    def __init__(self) -> None:
        self.given: list[dict[str, Any]] = []

    def generate_sequences(self, batch: TensorDict) -> None:
        names = ("__rollout_n__", "__do_sample__")
        asked = {name: tu.get_non_tensor_data(batch, name, None) for name in names}
        self.given.append({"uids": list(batch["uid"]), **asked})


def test_each_prompt_is_given_twice_and_greedily_once(monkeypatch: pytest.MonkeyPatch) -> None:
    put: list[list[str]] = []
    monkeypatch.setattr(trainer_base.tq, "kv_batch_put", lambda keys, **_: put.append(keys))
    trainer = object.__new__(RemaxTrainer)
    trainer.trainer_mode, trainer.global_steps, trainer.agent_loop_manager = "sync", 3, Rollouts()
    rows = {"raw_prompt": np.array(["x", "y"], dtype=object), "uid": np.array(["a", "b"], dtype=object)}
    assert trainer._submit_batch_to_rollout(tu.get_tensordict(rows)) == 2
    assert put == [["a", "b"], ["a-greedy", "b-greedy"]]
    assert trainer.agent_loop_manager.given == [
        {"uids": ["a", "b"], "__rollout_n__": None, "__do_sample__": None},
        {"uids": ["a-greedy", "b-greedy"], "__rollout_n__": 1, "__do_sample__": False},
    ]


def test_the_advantage_is_the_reward_over_the_greedy_one() -> None:
    trainer = object.__new__(RemaxTrainer)
    trainer.replay_buffer = type("Buffer", (), {"baselines": {"a": 1.0, "b": 4.0}})()
    batch = type("Batch", (), {"keys": ["a_0_0", "b_0_0"]})()
    mask = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    rewards = torch.tensor([[0.0, 3.0, 0.0], [0.0, 0.0, 2.0]])
    metrics: dict[str, Any] = {}
    advantages, returns = trainer.advantages(batch, rewards, mask, metrics)
    assert advantages.tolist() == [[2.0, 2.0, 0.0], [-2.0, -2.0, -2.0]]
    assert returns[0].tolist() == [3.0, 3.0, 0.0]
    assert metrics == {"training/remax/baseline/mean": 2.5}
