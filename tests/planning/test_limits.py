"""Limits that refuse to start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from toolrl_cli.errors import SpecError
from toolrl_cli.planning.forecasts.fitting import Misfit
from toolrl_cli.planning.forecasts.forecast import Totals
from toolrl_cli.planning.forecasts.limits import limits
from toolrl_cli.planning.forecasts.ranges import NONE, Range

GIB = float(1 << 30)
TOTALS = Totals(
    slots=1,
    parallel=1,
    seconds=NONE,
    gpu_hours=Range(5.0, 10.0, 30.0),
    disk=Range(1 * GIB, 2 * GIB, 8 * GIB),
    unknown={},
    gpu_hours_spent=0.0,
    disk_free=100 << 30,
)
PLACE = Path("results")


def test_a_plan_within_its_limits_may_start() -> None:
    found = limits(TOTALS, 31.0, PLACE)
    assert (found.refusals, found.warnings) == ((), ())
    found.check()


def test_no_budget_refuses_nothing() -> None:
    assert not limits(replace(TOTALS, unknown={"gpu_hours": 3}), None, PLACE).refusals


def test_more_expected_hours_than_the_budget_are_refused_in_one_line() -> None:
    with pytest.raises(SpecError) as refusal:
        limits(TOTALS, 8.0, PLACE).check()
    assert str(refusal.value) == (
        "--budget-gpu-hours 8: about 10 GPU-hours are needed (raise the budget, or choose fewer runs with --only)"
    )


def test_hours_already_used_count() -> None:
    spent = replace(TOTALS, gpu_hours_spent=6.0)
    assert "about 16 GPU-hours are needed (6 used so far, 10 still owed)" in str(
        limits(spent, 15.0, PLACE).refusals[0]
    )
    assert not limits(spent, 16.0, PLACE).refusals


def test_hours_that_may_go_over_the_budget_are_a_warning() -> None:
    found = limits(TOTALS, 12.0, PLACE)
    assert not found.refusals
    assert found.warnings == ("the budget of 12 GPU-hours may not do: up to 30 are needed",)


def test_a_budget_that_cannot_be_reckoned_with_is_refused_and_says_how_to_learn() -> None:
    refusal = str(limits(replace(TOTALS, unknown={"gpu_hours": 2}), 50.0, PLACE).refusals[0])
    assert "the GPU-hours of 2 owed stages are unknown" in refusal and "run one of each first" in refusal


def test_a_budget_of_nothing_is_enough_where_nothing_is_owed_on_gpus() -> None:
    spent = replace(TOTALS, gpu_hours=NONE, gpu_hours_spent=7.0)
    assert not limits(spent, 0.0, PLACE).refusals


def test_a_disk_that_is_too_small_is_refused_with_a_margin() -> None:
    assert not limits(replace(TOTALS, disk_free=9 << 30), None, PLACE).refusals
    (refusal,) = limits(replace(TOTALS, disk_free=int(2.5 * GIB)), None, PLACE).refusals
    assert str(refusal).startswith(
        "results: needs about 2 GiB of disk and 1 GiB to spare, and 2.5 GiB are free (free some space"
    )


def test_a_small_need_has_a_small_margin() -> None:
    small = replace(TOTALS, disk=Range(1e6, 1e6, 1e6))
    assert not limits(replace(small, disk_free=3_000_000), None, PLACE).refusals
    assert limits(replace(small, disk_free=1_500_000), None, PLACE).refusals


def test_a_disk_that_may_be_too_small_is_a_warning() -> None:
    found = limits(replace(TOTALS, disk_free=4 << 30), None, PLACE)
    assert not found.refusals and "may need up to 8 GiB" in found.warnings[0]


def test_stages_that_may_not_fit_a_gpu_are_a_warning() -> None:
    misfit = Misfit(
        ("a", "b"), "rl", Range(70 * GIB, 85 * GIB, 100 * GIB), 80 << 30, "that a GPU here has", ("x", "y")
    )
    totals = replace(TOTALS, misfits=(misfit,))
    assert totals.to_json()["too_large"] == 2
    assert limits(totals, None, PLACE).warnings == (
        "rl a and 1 more will not fit: 70–85–100 GiB are needed of the 80 GiB that a GPU here has; x or y",
    )


def test_a_total_that_is_not_known_is_no_limit_but_a_budget_cannot_be_kept() -> None:
    unknown = replace(TOTALS, seconds=None, gpu_hours=None, disk=None, unknown={"gpu_hours": 1, "disk": 1})
    assert not limits(unknown, None, PLACE).refusals
    assert "the GPU-hours of 1 owed stage are unknown" in str(limits(unknown, 5.0, PLACE).refusals[0])


def test_what_a_part_needs_already_is_at_least_needed() -> None:
    partly = replace(TOTALS, unknown={"gpu_hours": 1, "disk": 1}, disk_free=1 << 30)
    told = [str(refusal) for refusal in limits(partly, 8.0, PLACE).refusals]
    assert "at least 10 GPU-hours are needed" in told[0] and "needs at least 2 GiB of disk" in told[1]
