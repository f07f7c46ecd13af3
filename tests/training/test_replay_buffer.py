"""The sampler over a TransferQueue that is played by a dictionary."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf
from verl.trainer.ppo.v1 import replay_buffer as verls

from tests.support.queue_double import Queue
from toolrl_cli.errors import StageError
from toolrl_cli.training.replay_buffer import POLL_SECONDS, TrainingReplayBuffer
from toolrl_cli.training.scoring_failure import ScoringFailure


def buffer(**options: object) -> TrainingReplayBuffer:
    return TrainingReplayBuffer(
        trainer_mode="sync",
        trainer_config=OmegaConf.create({}),
        max_off_policy_threshold=8,
        max_off_policy_strategy="drop",
        sampler_kwargs=OmegaConf.create(options),
        refill_fn=None,
    )


def test_a_training_batch_comes_with_the_rewards_curves(queue: Queue) -> None:
    queue.prompt("a", "finished", [1.0, 3.0])
    queue.prompt("b", "finished", [2.0, 2.0])
    batch, metrics = buffer().sample(1, "train", 2)
    assert sorted(batch.keys) == ["a_0_0", "a_1_0", "b_0_0", "b_1_0"]
    assert metrics["reward/total/mean"] == 2.0
    assert metrics["reward/format/raw/mean"] == 1.0
    assert metrics["reward/total/std"] == pytest.approx(0.5**0.5)


def test_samples_come_by_prompt_and_number_however_they_were_finished(queue: Queue) -> None:
    prompts = ["d3", "a1", "c2", "b0"]
    for uid in prompts:
        queue.prompt(uid, "finished", [])
    for uid, session in [
        ("b0", 1),
        ("c2", 10),
        ("a1", 0),
        ("d3", 2),
        ("c2", 9),
        ("d3", 0),
        ("a1", 1),
        ("b0", 0),
    ]:
        queue.sample(uid, session, 1.0)
    batch, _ = buffer().sample(1, "train", 4)
    assert batch.keys == ["d3_0_0", "d3_2_0", "a1_0_0", "a1_1_0", "c2_9_0", "c2_10_0", "b0_0_0", "b0_1_0"]
    assert [tag["of"] for tag in batch.tags] == batch.keys


def test_prompts_of_the_next_step_stay_in_the_queue(queue: Queue) -> None:
    queue.prompt("new", "running", [1.0], step=2)
    queue.prompt("old", "finished", [1.0])
    batch, _ = buffer().sample(1, "train", 1)
    assert batch.keys == ["old_0_0"]
    assert "new" in queue.partitions["train"]


def test_a_validation_batch_comes_without(queue: Queue) -> None:
    queue.prompt("a", "finished", [1.0], "val")
    assert buffer().sample(1, "val", 1)[1] == {}


def test_it_waits_for_the_last_prompt_and_looks_often(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(verls.time, "sleep", pauses.append)
    queue.prompt("a", "finished", [1.0])
    queue.prompt("b", "running", [2.0])
    queue.later.append(("b", "finished"))
    batch, _ = buffer().sample(1, "train", 2)
    assert len(batch.keys) == 2
    assert pauses == [POLL_SECONDS] * 2
    assert POLL_SECONDS <= 0.05


def test_the_poll_can_be_set(queue: Queue) -> None:
    assert buffer(poll_interval=0.2).poll_interval == 0.2


def test_a_failed_group_ends_the_run_with_the_scorers_message(queue: Queue, tmp_path: Path) -> None:
    file = tmp_path / "reward_failure.json"
    ScoringFailure("RewardError: no range", "Traceback", "text", "gold", 4, 10, "toolworld").save(file)
    queue.prompt("a", "finished", [1.0])
    queue.prompt("b", "failure", [])
    with pytest.raises(StageError, match=r"at step 4: RewardError: no range.*reward_failure\.json") as caught:
        buffer(failure_file=str(file)).sample(4, "train", 1)
    assert caught.value.failure_class == "reward"


def test_a_failure_that_is_not_the_scorers_ends_the_run_too(queue: Queue, tmp_path: Path) -> None:
    queue.prompt("a", "failure", [], "val")
    with pytest.raises(StageError, match="1 prompt") as caught:
        buffer(failure_file=str(tmp_path / "none.json")).sample(1, "val", 1)
    assert caught.value.failure_class is None
