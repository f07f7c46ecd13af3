"""Names of the reward's curves."""

from __future__ import annotations

import pytest

from toolrl_cli.rewards import Part, Score
from toolrl_cli.training.reward_metrics import sample_numbers, training_metrics, validation_name

GOOD = Score(3.0, {"format": Part(1.0, 1.0, 1.0), "correctness": Part(2.0, 1.0, 2.0)})
BAD = Score(-4.0, {"format": Part(0.0, 1.0, 0.0), "correctness": Part(-2.0, 2.0, -4.0)})


def test_a_batch_has_the_mean_of_every_part_and_mean_and_spread_of_the_total() -> None:
    metrics = training_metrics([sample_numbers(GOOD), sample_numbers(BAD)])
    assert metrics == {
        "reward/total/mean": -0.5,
        "reward/total/std": 3.5,
        "reward/format/raw/mean": 0.5,
        "reward/format/weight/mean": 1.0,
        "reward/format/weighted/mean": 0.5,
        "reward/correctness/raw/mean": 0.0,
        "reward/correctness/weight/mean": 1.5,
        "reward/correctness/weighted/mean": -1.0,
    }


def test_a_batch_has_the_share_of_prompts_whose_responses_all_earned_the_same() -> None:
    samples = [sample_numbers(score) for score in (GOOD, GOOD, BAD, GOOD, BAD)]
    assert training_metrics(samples, ["a", "a", "b", "b", "c"])["reward/total/alike"] == 0.5
    assert "reward/total/alike" not in training_metrics(samples[:1], ["a"])


def test_what_functions_return_beside_their_values_is_averaged_over_the_samples_that_have_it() -> None:
    told = GOOD._replace(beside={"format/style": 0.5, "format/pred": "42"})
    rich = [sample_numbers(told), sample_numbers(told._replace(beside={"format/style": 1.0}))]
    assert training_metrics(rich)["reward/format/style/mean"] == 0.75
    assert "reward/format/pred/mean" not in training_metrics(rich)
    assert "reward/format/style/share" not in training_metrics(rich)
    partial = training_metrics([sample_numbers(BAD), *rich, sample_numbers(BAD)])
    assert (partial["reward/format/style/mean"], partial["reward/format/style/share"]) == (0.75, 0.5)


def test_a_batch_without_numbers_has_no_curves() -> None:
    assert training_metrics([]) == {}


@pytest.mark.parametrize(
    ("logged", "name"),
    [
        ("val-aux/toolworld/format/raw/mean@1", "val-reward/format/raw/mean"),
        ("val-aux/rlla/correctness/weighted/mean@4", "val-reward/correctness/weighted/mean"),
        ("val-aux/rlla/my/part/weight/mean@1", "val-reward/my/part/weight/mean"),
        ("val-aux/toolworld/total/mean@1", "val-reward/total/mean"),
        ("val-aux/own/judged/acc/mean@1", "val-reward/judged/acc/mean"),
        ("val-aux/own/judged/acc/best@4/mean", None),
        ("val-core/toolworld/reward/mean@1", None),
        ("val-aux/num_turns/mean", None),
        ("val-aux/toolworld/format/raw/std@4", None),
        ("reward/format/raw/mean", None),
    ],
)
def test_verls_validation_metrics_have_a_name_of_ours(logged: str, name: str | None) -> None:
    assert validation_name(logged) == name
