"""`evaluate: [{benchmark:, every:}]` adds models on the way, and changes no stage that was there without it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.spec.conftest import FixedFacts
from toolrl_cli.errors import SpecError
from toolrl_cli.spec.evaluations.over_steps import point_of
from toolrl_cli.spec.run.evaluation_settings import OverSteps
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stages import run_stages
from toolrl_cli.spec.sweeps.profile import load_profile
from toolrl_cli.spec.sweeps.resolve import Run, resolve_sweep
from toolrl_cli.spec.sweeps.sweep import read_sweep

Resolve = Callable[..., list[Run]]
SWEEP = """
name: s
base: {preset: tiny_grpo, train: [rl], rl: {steps: 20, save_every: 5}}
evaluate: [toolworld]
"""
CURVE = "evaluate=[{benchmark: toolworld, every: 5}]"


def chain(resolve: Resolve, facts: FixedFacts, *sets: str) -> dict[str, StageSpec]:
    (run,) = resolve(SWEEP, *sets)
    return {stage.id: stage for stage in run_stages(run.spec, facts)}


def points(stages: dict[str, StageSpec]) -> list[int | None]:
    return [point_of(stage, stages) for stage in stages.values() if stage.kind == "evaluate"]


def test_steps_on_the_way_and_the_start_are_scored_beside_the_run_s_own_result(
    resolve: Resolve, facts: FixedFacts
) -> None:
    plain, curved = chain(resolve, facts), chain(resolve, facts, CURVE)
    assert list(curved)[: len(plain)] == list(plain)
    assert points(plain) == [None]
    assert points(curved) == [None, 0, 5, 10, 15]
    exports = [s for s in curved.values() if s.identity.get("checkpoint") == "step"]
    assert [(s.identity["step"], s.config["step"]) for s in exports] == [(5, 5), (10, 10), (15, 15)]


def test_where_the_best_is_the_result_the_last_step_is_a_point_too(
    resolve: Resolve, facts: FixedFacts
) -> None:
    assert points(chain(resolve, facts, CURVE, "checkpoint=best")) == [None, 0, 5, 10, 15, 20]


def test_after_sft_the_start_is_the_fine_tuned_model(resolve: Resolve, facts: FixedFacts) -> None:
    stages = chain(resolve, facts, CURVE, "train=[sft,rl]")
    (start,) = [s for s in stages.values() if s.kind == "evaluate" and point_of(s, stages) == 0]
    tuned = stages[stages[start.inputs["model"]].inputs["checkpoint"]]
    assert (tuned.kind, tuned.config["sft"]["split"]) == ("sft", "sft")


def test_a_run_without_rl_has_its_result_alone(resolve: Resolve, facts: FixedFacts) -> None:
    text = SWEEP + "arms: {raw: {train: []}, grpo: {}}\n"
    raw, grpo = resolve(text, CURVE)
    of_raw = {s.id: s for s in run_stages(raw.spec, facts)}
    assert points(of_raw) == [None]
    # its result is the other's start: one stage
    of_grpo = {s.id: s for s in run_stages(grpo.spec, facts)}
    (start,) = [s for s in of_grpo.values() if s.kind == "evaluate" and point_of(s, of_grpo) == 0]
    assert start.id in of_raw


@pytest.mark.parametrize(
    ("sets", "what", "hint"),
    [
        (["rl.save_every=4"], "every: 5 is no multiple of rl.save_every (4)", "set every: 8, or rl.save_every: 1"),
        (["rl.steps=5"], "every: 5 scores nothing on the way through 5 steps", "set it, and rl.save_every, below"),
        (["train=[sft]"], "no run trains with rl", "name the benchmark alone: toolworld"),
    ],
)  # fmt: skip
def test_a_curve_without_points_is_refused_in_a_line(
    resolve: Resolve, sets: list[str], what: str, hint: str
) -> None:
    with pytest.raises(SpecError) as refused:
        resolve(SWEEP, CURVE, *sets)
    assert what in refused.value.what and "evaluate" in refused.value.where + refused.value.what
    assert hint in refused.value.hint


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ("{benchmark: toolworld}", "the key 'every' is missing"),
        ("{benchmark: toolword, every: 5}", "unknown benchmark 'toolword'"),
        ("{benchmark: toolworld, each: 5}", "unknown key 'each'"),
        ("{benchmark: toolworld, every: 2.5}", "every: 2.5 is no number of steps"),
        ("{benchmark: toolworld, every: 0}", "every: 0 is no number of steps"),
        ("toolworld, {benchmark: toolworld, every: 5}", "the benchmark 'toolworld' stands twice"),
    ],
)
def test_a_mistake_in_an_entry_is_named(resolve: Resolve, entry: str, what: str) -> None:
    with pytest.raises(SpecError, match=what) as refused:
        resolve(SWEEP.replace("[toolworld]", f"[{entry}]"))
    assert "s.yaml:4" in refused.value.where


def test_in_small_a_curve_stays_one(tmp_path: object) -> None:
    mapping = {
        "name": "s",
        "base": {"preset": "paper_grpo", "model": "qwen2.5-1.5b-instruct"},
        "evaluate": [{"benchmark": "toolworld", "every": 15}],
    }
    profile = load_profile("cpu")
    (run,) = resolve_sweep(profile.document(read_sweep(mapping)), profile).runs
    (entry,) = run.spec.evaluate
    assert isinstance(entry, OverSteps) and (entry.benchmark, entry.every) == ("toolworld", 5)
