"""Groups that are left out, over a TransferQueue that is played by a dictionary."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from omegaconf import OmegaConf

from tests.support.queue_double import Queue
from toolrl_cli.errors import StageError
from toolrl_cli.training.replay_buffer import TrainingReplayBuffer

ALIKE, DIFFERENT = [1.0, 1.0], [1.0, 2.0]


class Data:
    """Prompts in an order, each with what its responses will earn; a refill takes the next ones."""

    def __init__(self, queue: Queue, groups: list[list[float]], status: str = "finished") -> None:
        self.queue, self.status = queue, status
        self.left: Iterator[tuple[int, list[float]]] = iter(enumerate(groups))
        self.asked: list[int] = []

    def submit(self, prompts: int) -> None:
        self.asked.append(prompts)
        for _ in range(prompts):
            place, rewards = next(self.left)
            self.queue.prompt(f"p{place}", self.status, rewards)


def sampler(data: Data, prompts: int, metric: str = "reward", max_refills: int = 10) -> TrainingReplayBuffer:
    options = {"filter_groups_metric": metric, "max_refills": max_refills, "train_batch_size": prompts}
    data.submit(prompts)
    data.asked.clear()
    return TrainingReplayBuffer(
        trainer_mode="sync",
        trainer_config=OmegaConf.create({}),
        max_off_policy_threshold=8,
        max_off_policy_strategy="drop",
        sampler_kwargs=OmegaConf.create(options),
        refill_fn=data.submit,
    )


def test_groups_that_differ_are_taken_in_the_order_of_the_data(queue: Queue) -> None:
    data = Data(queue, [ALIKE, DIFFERENT, ALIKE, *[DIFFERENT] * 9])
    batch, metrics = sampler(data, 3).sample(1, "train", 3)
    assert batch.keys == ["p1_0_0", "p1_1_0", "p3_0_0", "p3_1_0", "p4_0_0", "p4_1_0"]
    assert queue.partitions["train"].keys() == set(batch.keys)  # neither the alike nor the surplus stay
    assert metrics["training/filter_groups/evicted_samples"] == 2
    assert metrics["training/filter_groups/discarded_surplus_samples"] == 1
    assert metrics["training/filter_groups/refilled_prompts"] == sum(data.asked) == 3


def test_what_was_left_out_is_in_the_mean_of_all(queue: Queue) -> None:
    data = Data(queue, [[5.0, 5.0], [1.0, 2.0]])
    metrics = sampler(data, 1).sample(1, "train", 1)[1]
    assert metrics["reward/total/mean"] == 1.5
    assert metrics["training/filter_groups/reward_of_all/mean"] == (5 + 5 + 1 + 2) / 4


@pytest.mark.parametrize("group", [[0.7] * 3, [0.1] * 7, [0.7] * 12])
def test_equal_rewards_are_alike_whatever_their_standard_deviation_rounds_to(
    queue: Queue,
    group: list[float],
) -> None:
    data = Data(queue, [group, DIFFERENT, DIFFERENT])
    assert sampler(data, 1).sample(1, "train", 1)[0].keys[0] == "p1_0_0"


def test_a_part_of_the_reward_can_decide(queue: Queue) -> None:
    data = Data(queue, [DIFFERENT, DIFFERENT, DIFFERENT])
    buffer = sampler(data, 1, metric="format")
    for session in (0, 1):
        queue.rewards[f"p0_{session}_0"]["format/raw"] = 1.0  # the totals differ still
    assert buffer.sample(1, "train", 1)[0].keys[0] == "p1_0_0"


def test_a_group_of_one_is_never_alike(queue: Queue) -> None:
    assert sampler(Data(queue, [[1.0]]), 1).sample(1, "train", 1)[0].keys == ["p0_0_0"]


def test_nothing_takes_anothers_place_while_prompts_are_under_way(queue: Queue) -> None:
    data = Data(queue, [ALIKE, DIFFERENT, *[DIFFERENT] * 4])
    buffer = sampler(data, 2)
    queue.partitions["train"]["p1"]["status"] = "running"
    queue.later = [("p1", "finished")]
    batch, _ = buffer.sample(1, "train", 2)
    # asked for once, when p1 had finished too: what is generated does not depend on time
    assert data.asked == [2] and [key for key in batch.keys if key.endswith("_0_0")] == ["p1_0_0", "p2_0_0"]


def test_refills_end_with_the_number_of_prompts_and_what_to_do(queue: Queue) -> None:
    data = Data(queue, [ALIKE] * 100)
    with pytest.raises(StageError, match=r"at step 4 all responses to 8 prompts earned the same") as caught:
        sampler(data, 2, max_refills=3).sample(4, "train", 2)
    assert sum(data.asked) == 6 and "rl.dynamic_sampling.max_refills" in caught.value.hint


def test_the_bound_is_of_a_step(queue: Queue) -> None:
    data = Data(queue, [ALIKE, DIFFERENT, DIFFERENT, ALIKE, DIFFERENT, DIFFERENT])
    buffer = sampler(data, 1, max_refills=1)
    buffer.sample(1, "train", 1)
    data.submit(2)
    assert buffer.sample(2, "train", 1)[1]["training/filter_groups/refilled_prompts"] == 0
    data.left = iter([(7, ALIKE), (8, DIFFERENT)])
    data.submit(1)
    assert buffer.sample(3, "train", 1)[1]["training/filter_groups/refilled_prompts"] == 1


def test_validation_leaves_nothing_out(queue: Queue) -> None:
    queue.prompt("v", "finished", ALIKE, "val")
    assert sampler(Data(queue, [ALIKE]), 1).sample(1, "val", 1)[0].keys == ["v_0_0", "v_1_0"]
