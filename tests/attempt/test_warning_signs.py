"""A training whose steps teach nothing says so, once each, wherever its stage is shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.results_tree import plan_of, results
from tests.support.stages import Stages
from toolrl_cli.attempt.divergence import diverged
from toolrl_cli.attempt.monitor import Monitor
from toolrl_cli.attempt.warning_signs import WarningSigns, signs_of
from toolrl_cli.commands.views.live import LiveView
from toolrl_cli.harness.scheduling.events import Event, What
from toolrl_cli.spec.kind_configs import RlConfig
from toolrl_cli.spec.stage_kind import settings_of
from toolrl_cli.store.progress.step_warnings import StepWarning, counted
from toolrl_cli.store.state import Progress, StageState

LIMIT = 96
GOOD = {
    "critic/score/mean": 1.0,
    "critic/advantages/min": -1.0,
    "critic/advantages/max": 1.5,
    "reward/total/alike": 0.5,
    "response_length/min": 7.0,
    "response_length/max": 96.0,
    "response_length/clip_ratio": 1.0,  # verl's: of the longest in the batch, which may be any length
}
FLAT = {"critic/advantages/min": -0.0, "critic/advantages/max": 0.0}
NO_GRADIENT = StepWarning("no_gradient", "nothing differs", "look", 1, 1, 1, 1)


def config(stages: Stages, **changed: object) -> RlConfig:
    found = settings_of(stages("rl", "rl"))
    assert isinstance(found, RlConfig)
    rl = found.rl.model_copy(update={"max_response_length": LIMIT})
    return found.model_copy(update={"rl": rl, **changed})


@pytest.mark.parametrize(
    ("changed", "signs"),
    [
        ({}, []),
        (FLAT, ["no_gradient"]),
        ({"critic/advantages/min": -3e-8, "critic/advantages/max": 3e-8}, ["no_gradient"]),
        ({"reward/total/alike": 1.0}, ["no_gradient"]),  # the mean of 7 equal numbers is not exact in fp32
        ({"critic/advantages/min": None, "critic/advantages/max": None}, []),
        ({"response_length/min": float(LIMIT)}, ["every_response_cut"]),
        ({"response_length/min": float(LIMIT), **FLAT}, ["every_response_cut", "no_gradient"]),
        ({"response_length/min": 0.0, "response_length/max": 0.0}, ["no_tokens"]),
    ],
)
def test_what_verl_logs_for_a_step_gives_its_signs(
    stages: Stages, changed: Mapping[str, Any], signs: list[str]
) -> None:
    assert list(signs_of({**GOOD, **changed}, config(stages))) == signs


@pytest.mark.parametrize("algorithm", ["ppo", "gdpo", "reinforce++"])
def test_where_the_parts_or_a_critic_tell_responses_apart_equal_totals_are_no_sign(
    stages: Stages, algorithm: str
) -> None:
    assert not signs_of({**GOOD, "reward/total/alike": 1.0}, config(stages, algorithm=algorithm))


def test_a_supervised_loss_over_no_token_is_told_from_one_that_is_lost(tmp_path: Path) -> None:
    nothing, lost = (
        {"train/loss": None, "train/grad_norm": 0.0},
        {"train/loss": None, "train/grad_norm": None},
    )
    assert list(signs_of(nothing, None)) == ["no_tokens"]
    assert not signs_of(lost, None)
    found = {}
    for name, data in (("nothing", nothing), ("lost", lost)):
        write(tmp_path / name, {1: data, 2: data})
        failure = diverged(tmp_path / name)
        assert failure is not None
        found[name] = failure
    assert found["nothing"].kind == "config"
    assert found["nothing"].message.startswith("train/loss is over no token since step 1")
    assert "sft.max_length" in found["nothing"].hint
    assert found["lost"].kind == "diverged"


def write(path: Path, rows: Mapping[int, Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"step": n, "data": data}) + "\n" for n, data in rows.items()))


def test_steps_of_earlier_attempts_count_where_they_stay_and_once(tmp_path: Path, stages: Stages) -> None:
    flat = {**GOOD, **FLAT}
    write(tmp_path / "attempts/1/metrics.jsonl", {1: flat, 2: GOOD, 3: flat})  # step 3 is trained again
    write(tmp_path / "attempts/2/metrics.jsonl", {3: GOOD, 4: flat})
    signs = WarningSigns(stages("rl", "rl"), tmp_path)
    assert signs.after([]) == ()
    signs.after([{"step": 3, "data": GOOD}, {"step": 3, "data": {"val-core/x/reward/mean@1": 1.0}}])
    (found,) = signs.after([{"step": 4, "data": flat}])
    assert (found.first, found.last, found.steps, found.of) == (1, 4, 2, 4)
    assert found.short == "no gradient in 2 of 4 steps"


def test_a_resumed_attempt_that_begins_with_a_validation_hides_no_step_of_the_one_before(
    tmp_path: Path, stages: Stages
) -> None:
    flat = {**GOOD, **FLAT}
    write(tmp_path / "attempts/1/metrics.jsonl", {1: flat, 2: flat})
    write(tmp_path / "attempts/2/metrics.jsonl", {2: {"val-core/x/reward/mean@1": 1.0}, 3: flat})
    signs = WarningSigns(stages("rl", "rl"), tmp_path)
    signs.after([{"step": 2, "data": {"val-core/x/reward/mean@1": 1.0}}])
    (found,) = signs.after([{"step": 3, "data": flat}])
    assert found.short == "no gradient in 3 of 3 steps"


def test_a_step_that_was_trained_and_not_logged_is_said(tmp_path: Path, stages: Stages) -> None:
    write(tmp_path / "attempts/1/metrics.jsonl", {1: GOOD, 2: GOOD})  # killed after the checkpoint of step 3
    write(tmp_path / "attempts/2/metrics.jsonl", {3: {"val-core/x/reward/mean@1": 1.0}, 4: GOOD})
    signs = WarningSigns(stages("rl", "rl"), tmp_path)
    assert signs.after([{"step": 3, "data": {"val-core/x/reward/mean@1": 1.0}}]) == ()
    (found,) = signs.after([{"step": 4, "data": GOOD}, {"step": 5, "data": GOOD}])
    assert found.short == "not logged in 1 of 5 steps" and found.first == 3
    assert str(found).startswith("step 3: the attempt that trained it was killed after its checkpoint")


def test_a_last_step_that_was_not_logged_is_said_by_the_attempt_that_only_validates_it(
    tmp_path: Path, stages: Stages
) -> None:
    write(tmp_path / "attempts/1/metrics.jsonl", {1: GOOD, 2: GOOD})
    validated = {3: {"val-core/x/reward/mean@1": 1.0}}
    write(tmp_path / "attempts/2/metrics.jsonl", validated)
    (found,) = WarningSigns(stages("rl", "rl", total_steps=3), tmp_path).after(
        [{"step": step, "data": data} for step, data in validated.items()]
    )
    assert (found.short, found.first) == ("not logged in 1 of 3 steps", 3)


def test_the_monitor_writes_them_into_the_stages_state(tmp_path: Path, stages: Stages) -> None:
    write(tmp_path / "attempts/1/metrics.jsonl", {1: {**GOOD, **FLAT}, 2: {**GOOD, **FLAT}})
    spec, states = stages("rl", "rl"), [StageState("rl", "rl")]

    def change(how: Callable[[StageState], StageState]) -> None:
        states.append(how(states[-1]))

    monitor = Monitor(
        *(spec, tmp_path / "attempts/1", cast(Any, None)),
        *(cast(Any, SimpleNamespace(state=states[0], change=change)), cast(Any, None)),
        interval=1.0,
        hang_after=None,
        abandon=lambda failure: None,
    )
    monitor._follow()
    (found,) = StageState.from_json(json.loads(json.dumps(states[-1].to_json()))).warnings
    assert found.short == "no gradient in 2 of 2 steps"
    assert str(found).startswith("all 2 steps so far: no response earned more")
    assert states[-1].begun(2, None).warnings == (found,)
    assert states[-1].set_back("again").warnings == ()
    assert (
        StageState.from_json({k: v for k, v in states[0].to_json().items() if k != "warnings"}).warnings == ()
    )


def test_a_sweep_says_each_once_and_again_when_it_lasts_and_at_the_end(
    tmp_path: Path, stages: Stages, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = stages("rl", "rl")
    view = LiveView(plan_of(results(tmp_path), (spec,)), tmp_path, quiet=True)
    warnings: tuple[StepWarning, ...] = ()

    def notice(what: What, step: int) -> None:
        view.notice(
            Event(what, spec.id, StageState(spec.id, "rl", progress=Progress(step), warnings=warnings))
        )

    for step in range(1, 13):
        warnings = counted(warnings, step, step, {"no_gradient": ("nothing differs", "look")})
        notice("progress", step)
    notice("succeeded", 12)
    lines = [line.partition(" warning: ")[2] for line in capsys.readouterr().err.splitlines()]
    told = ("step 1", "all 10 steps so far", "all 12 steps so far")
    assert lines == [f"{when}: nothing differs (look)" for when in told]


def test_a_sign_that_goes_away_is_said_when_it_comes_and_with_its_count_at_the_end(
    tmp_path: Path, stages: Stages, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = stages("rl", "rl")
    view = LiveView(plan_of(results(tmp_path), (spec,)), tmp_path, quiet=True)
    once = (StepWarning(**{**vars(NO_GRADIENT), "first": 2, "last": 2, "of": 2}),)
    twice = (StepWarning(**{**vars(NO_GRADIENT), "first": 2, "last": 5, "steps": 2, "of": 9}),)
    for what, step, warnings in (("progress", 2, once), ("progress", 9, twice), ("succeeded", 9, twice)):
        state = StageState(spec.id, "rl", progress=Progress(step), warnings=warnings)
        view.notice(Event(cast(What, what), spec.id, state))
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" warning: ")[2].partition(": ")[0] for line in lines] == [
        "step 2",
        "2 of 9 steps (2 first, 5 last)",
    ]
