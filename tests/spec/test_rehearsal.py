"""`--profile rehearsal`: the sweep itself with hardly any steps and items, under ids that meet no real result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.spec.conftest import FixedFacts
from toolrl_cli.rewards import get_reward
from toolrl_cli.spec.algorithms.catalogue import ALGORITHMS
from toolrl_cli.spec.run.evaluation_settings import OverSteps
from toolrl_cli.spec.stages import run_stages
from toolrl_cli.spec.sweeps.profile import load_profile
from toolrl_cli.spec.sweeps.resolve import Resolved, resolve_sweep
from toolrl_cli.spec.sweeps.sweep import read_sweep

Rehearsed = Callable[..., Resolved]
SWEEPS = Path(__file__).resolve().parents[2] / "sweeps"
HEAD = "name: s\nbase: {preset: paper_grpo}\nmodels: [qwen2.5-1.5b-instruct, qwen2.5-7b-instruct]\n"


@pytest.fixture
def rehearsed(tmp_path: Path) -> Rehearsed:
    """Text of a sweep file (and `--set` values) → what `--profile rehearsal` makes of it."""

    def run(text: str, *sets: str, cuda: bool = True) -> Resolved:
        path = tmp_path / "s.yaml"
        path.write_text(text, encoding="utf-8")
        profile = load_profile("rehearsal", cuda=cuda)
        resolved = resolve_sweep(profile.document(read_sweep(path, sets)), profile)
        notes.extend(profile.notes)
        return resolved

    notes: list[str] = []
    run.notes = notes  # type: ignore[attr-defined]
    return run


def test_model_data_prompts_benchmarks_tables_and_limits_are_the_sweep_s() -> None:
    profile = load_profile("rehearsal")
    document = read_sweep(SWEEPS / "table1_2_3.yaml")
    real = resolve_sweep(document).runs
    in_small = profile.document(document)
    small = resolve_sweep(in_small, profile).runs
    assert (in_small.sweep.name, in_small.sweep.tables) == ("table1_2_3-rehearsal", ["T1", "T2", "T3"])
    assert [run.arm for run in small] == [run.arm for run in real]
    for one, other in zip(small, real, strict=True):
        a, b = one.spec, other.spec
        assert (a.model, a.train, a.evaluate, a.algorithm, a.reward) == (
            b.model, b.train, b.evaluate, b.algorithm, b.reward
        )  # fmt: skip
        assert (a.resources, a.checkpoint, a.precision, a.verl) == (
            b.resources,
            b.checkpoint,
            b.precision,
            b.verl,
        )
        for block in ("rl", "sft", "evaluation"):
            mine, theirs = getattr(a, block), getattr(b, block)
            for limit in (
                "max_length",
                "max_prompt_length",
                "max_response_length",
                "rollouts",
                "temperature",
                "lr",
            ):
                assert getattr(mine, limit, None) == getattr(theirs, limit, None)
        assert (a.rl.steps, a.sft.steps, a.evaluation.limit) == (2, 2, 5)
        assert (a.rl.save_every, a.rl.validate_every, a.data.limit["val"]) == (1, 1, 8)


def test_no_stage_of_a_rehearsal_is_a_stage_of_anything_else(rehearsed: Rehearsed, facts: FixedFacts) -> None:
    text = "name: s\nbase: {preset: tiny_grpo}\nevaluate: [toolworld]\n"
    same = ["rehearsal=false"]  # the very same settings, without the mark
    marked, real = (
        [s for run in rehearsed(text, *sets).runs for s in run_stages(run.spec, facts)] for sets in ([], same)
    )
    assert {s.id for s in marked}.isdisjoint(s.id for s in real)
    assert len(marked) == len(real) and all(s.identity["rehearsal"] is True for s in marked)
    assert not any("rehearsal" in s.identity for s in real)


def test_a_reward_s_schedule_takes_place_within_the_two_steps(rehearsed: Rehearsed) -> None:
    run, *_ = rehearsed(HEAD + "axes: {reward: [two_stage]}\n").runs
    assert (
        run.spec.reward["name"] == run.settings["reward"] == "two_stage-2-steps"
    )  # tables find it all the same
    weights = [get_reward(run.spec.reward).part_ranges(step)["format"][1] for step in (0, 2)]
    assert weights == [1.0, 0.5]


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
@pytest.mark.parametrize("gpus", [1, 8])
def test_batches_fit_every_algorithm_and_number_of_gpus(
    rehearsed: Rehearsed, algorithm: str, gpus: int
) -> None:
    text = f"name: s\nbase: {{preset: tiny_grpo, resources.gpus: {gpus}, algorithm: '{algorithm}'}}\n"
    text += "evaluate: [toolworld]\n"
    if ALGORITHMS[algorithm].on_policy:
        text = text.replace("resources.gpus", "rl.mini_batch: 8, resources.gpus")
    (run,) = rehearsed(text).runs  # refused where a batch does not fit its algorithm
    rl = run.spec.rl
    assert rl.prompts <= 4 * gpus and rl.prompts % rl.mini_batch == 0
    assert rl.mini_batch * rl.rollouts % gpus == 0 and rl.mini_batch >= min(gpus, 2)
    if rl.micro_batch:
        assert (rl.mini_batch * rl.rollouts // gpus) % rl.micro_batch == 0


def test_a_curve_has_its_points_where_there_are_checkpoints(rehearsed: Rehearsed) -> None:
    run, *_ = rehearsed(HEAD + "evaluate: [{benchmark: toolworld, every: 15}]\n").runs
    assert [(e.benchmark, e.every) for e in run.spec.evaluate if isinstance(e, OverSteps)] == [
        ("toolworld", 1)
    ]


def test_where_there_is_no_gpu_the_machine_decides_and_it_is_told(rehearsed: Rehearsed) -> None:
    run, *_ = rehearsed(HEAD, cuda=False).runs
    resources = run.spec.resources
    assert (resources.device, resources.rollout, resources.gpus) == ("auto", "auto", 1)
    (note,) = rehearsed.notes  # type: ignore[attr-defined]
    assert note.startswith("there is no GPU here:") and note.endswith("nothing of CUDA and vLLM is rehearsed")


def test_set_is_stronger_than_the_rehearsal(rehearsed: Rehearsed) -> None:
    run, *_ = rehearsed(HEAD, "rl.steps=3", "evaluation.limit=2", "models=[tiny]").runs
    assert (run.spec.rl.steps, run.spec.evaluation.limit, run.spec.model.name) == (3, 2, "tiny")
    assert run.spec.model.pretrain.steps == 2  # type: ignore[union-attr]


def test_data_that_must_have_many_validation_rows_may_be_rehearsed_with_few(rehearsed: Rehearsed) -> None:
    run, *_ = rehearsed(
        HEAD.replace("}\n", ", data: {limit: {train: 3920, val: 80}, at_least: {val: 80}}}\n", 1)
    ).runs
    assert run.spec.data.limit == {"train": 3920, "val": 8} and run.spec.data.at_least == {"val": 8}


@pytest.mark.parametrize("kind", ["verl", "jsonl, fields: {prompt: q, gold: g}"])
def test_rows_of_one_s_own_are_validated_with_few(rehearsed: Rehearsed, kind: str) -> None:
    data = f"data: {{kind: {kind}, train: ./t.jsonl, val: ./v.jsonl}}"
    run, *_ = rehearsed(f"name: s\nbase: {{preset: paper_grpo, train: [rl], {data}}}\nmodels: [tiny]\n").runs
    assert run.spec.data.limit == {"val": 8} and run.spec.data.val.endswith("v.jsonl")
