"""What owed stages will take, by what finished ones took."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.results_tree import GPU, MODEL, finish, plan_of, stage, write_stage
from toolrl_cli.planning.forecasts import fitting as fitting_module
from toolrl_cli.planning.forecasts import work as work_module
from toolrl_cli.planning.forecasts.estimates import WIDENED, Estimate
from toolrl_cli.planning.forecasts.fitting import Misfit
from toolrl_cli.planning.forecasts.forecast import Forecast, forecast
from toolrl_cli.planning.forecasts.limits import limits
from toolrl_cli.planning.forecasts.ranges import NONE, Range
from toolrl_cli.planning.forecasts.this_machine import Machine, gpu_memory
from toolrl_cli.planning.forecasts.work import Works
from toolrl_cli.planning.plan import Plan, lay_out
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.training.models.model_size import ModelSize

GIB = 1 << 30
LAPTOP = Machine((), None, 100 * GIB, Path("/"))
SERVER = Machine(("0", "1"), 80 * GIB, 100 * GIB, Path("/"))


def look(ledger: Ledger, *owed: StageSpec, machine: Machine = LAPTOP) -> Forecast:
    return forecast(plan_of(ledger, *([s] for s in owed)), ledger, machine)


def only(found: Forecast) -> Estimate:
    (estimate,) = found.estimates.values()
    return estimate


def test_nothing_finished_means_an_unknown_time_and_no_gpu_hours_on_a_cpu(ledger: Ledger) -> None:
    found = look(ledger, stage("rl"))
    estimate = only(found)
    assert estimate.seconds is None and "no finished rl stage" in estimate.sources["seconds"]
    assert estimate.gpu_hours is not None and estimate.gpu_hours.high == 0
    assert estimate.gpu_memory is None and estimate.sources["gpu_memory"] == "runs on the CPU"
    assert found.totals.unknown == {"seconds": 1, "gpu_hours": 0, "gpu_memory": 0, "disk": 0}
    assert found.totals.seconds is None and found.totals.to_json()["seconds"] is None


def test_a_total_is_unknown_where_all_is_and_a_least_where_a_part_is(ledger: Ledger) -> None:
    large = {"model": MODEL, "device": "cuda", "gpus": 2}
    known, unknown = stage("rl", "a", **large), stage("sft", "b", **large)  # type: ignore[arg-type]
    totals = look(ledger, unknown).totals
    assert (totals.seconds, totals.gpu_hours) == (None, None) and totals.disk is not None
    assert totals.to_json()["gpu_hours"] is None
    both = look(ledger, known, unknown)
    assert both.totals.gpu_hours == both.estimates[known.id].gpu_hours
    assert both.totals.unknown["gpu_hours"] == both.totals.unknown["seconds"] == 1
    with_a_cpu = look(ledger, unknown, stage("rl", "c", device="cpu"))
    assert with_a_cpu.totals.gpu_hours is None  # what runs on a CPU needs none, and says nothing of the rest
    nothing = look(ledger)
    assert nothing.totals.seconds == nothing.totals.gpu_hours == nothing.totals.disk == NONE


def test_another_seed_takes_what_the_first_one_took(ledger: Ledger) -> None:
    finish(ledger, stage("rl", seed=1), 70.0, step_times=[2.0] * 25)
    estimate = only(look(ledger, stage("rl", seed=2)))
    assert estimate.seconds is not None
    assert estimate.seconds.expected == pytest.approx(70.0)
    assert estimate.seconds.low == pytest.approx(70.0 / WIDENED["recipe"])
    assert estimate.seconds.high == pytest.approx(70.0 * WIDENED["recipe"])
    assert estimate.sources["seconds"] == "measured: the same recipe, 1 finished stage"


def test_the_bounds_hold_what_was_observed(ledger: Ledger) -> None:
    finish(ledger, stage("rl", seed=1), 45.0, step_times=[1.0] * 25)
    finish(ledger, stage("rl", seed=2), 135.0, step_times=[4.0] * 25)
    seconds = only(look(ledger, stage("rl", seed=3))).seconds
    assert seconds is not None
    assert seconds.low <= 45.0 and seconds.high >= 135.0
    assert seconds.expected == pytest.approx((20 + 35) / 2 + 25 * 2.5)


def test_more_steps_and_larger_batches_take_longer_in_proportion_and_start_up_does_not(
    ledger: Ledger,
) -> None:
    finish(ledger, stage("rl", "a"), 70.0, step_times=[2.0] * 25)
    other = stage("rl", "b", steps=100, settings={"prompts": 16})
    estimate = only(look(ledger, other))
    assert estimate.seconds is not None
    assert estimate.seconds.expected == pytest.approx(20.0 + 100 * 2.0 * 2)
    assert estimate.sources["seconds"].startswith("measured: the same work on this model")


def test_validation_is_shared_out_over_the_steps(ledger: Ledger) -> None:
    done = stage("rl", "a")
    finish(ledger, done, 95.0, step_times=[2.0] * 25)
    path = ledger.folder(done).attempt(1) / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows[4::5]:
        row["data"]["timing_s/testing"] = 5.0
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    seconds = only(look(ledger, stage("rl", "b", steps=50))).seconds
    assert seconds is not None and seconds.expected == pytest.approx(20.0 + 50 * 3.0)


def test_a_longer_limit_raises_the_upper_bound_alone(ledger: Ledger) -> None:
    finish(ledger, stage("rl", "a"), 50.0, step_times=[2.0] * 25)
    longer = stage("rl", "b", settings={"max_response_length": 384})  # twice the length altogether
    seconds = only(look(ledger, longer)).seconds
    assert seconds is not None
    assert seconds.low == pytest.approx(50.0 / WIDENED["model"])
    assert seconds.expected == pytest.approx(75.0)
    assert seconds.high == pytest.approx(100.0 * WIDENED["model"])


def test_steps_of_supervised_training_are_timed_by_the_attempts_own_record(ledger: Ledger) -> None:
    finish(ledger, stage("sft", seed=1, steps=40), 100.0, pace=(22.0, 2.0))
    longer = stage("sft", "b", steps=80)
    seconds = only(look(ledger, longer)).seconds
    assert seconds is not None and seconds.expected == pytest.approx(20.0 + 80 * 2.0)


def test_without_step_times_the_whole_lies_between_no_scaling_and_all(ledger: Ledger) -> None:
    finish(ledger, stage("evaluate", "a"), 30.0)
    large = stage("evaluate", "b", data={"kind": "toolworld", "benchmark": 600})
    seconds = only(look(ledger, large)).seconds
    assert seconds is not None
    assert seconds.expected == pytest.approx(60.0)
    assert seconds.low == pytest.approx(30.0 / WIDENED["model"])
    assert seconds.high == pytest.approx(90.0 * WIDENED["model"])


def test_one_benchmarks_time_says_nothing_of_anothers(ledger: Ledger) -> None:
    finish(ledger, stage("evaluate", "a"), 30.0)
    assert only(look(ledger, stage("evaluate", "b", benchmark="another"))).seconds is None


def test_a_finished_stage_whose_model_is_gone_keeps_nothing_from_being_planned(ledger: Ledger) -> None:
    gone = {"kind": "huggingface", "name": "m", "path": "/nowhere/at/all"}
    finish(ledger, stage("rl", "a", model=gone), 30.0)
    finish(ledger, stage("rl", seed=1), 70.0, step_times=[2.0] * 25)
    estimate = only(look(ledger, stage("rl", seed=2)))
    assert estimate.seconds is not None and estimate.seconds.expected == pytest.approx(70.0)


def test_times_of_a_cpu_say_nothing_of_a_gpu(ledger: Ledger) -> None:
    finish(ledger, stage("sft", seed=1), 70.0, pace=(20.0, 2.0))
    owed = stage("sft", seed=2, device="cuda")
    estimate = only(look(ledger, owed))
    assert estimate.device == "cuda" and estimate.seconds is None and estimate.gpu_hours is None


def test_gpu_hours_are_the_time_on_all_gpus(ledger: Ledger) -> None:
    finish(ledger, stage("rl", seed=1, gpus=2), 3600.0, step_times=[100.0] * 25, launcher=GPU, memory_gb=30.0)
    estimate = only(look(ledger, stage("rl", seed=2, gpus=2), machine=SERVER))
    assert estimate.gpu_hours is not None and estimate.gpu_hours.expected == pytest.approx(2.0)
    assert estimate.gpu_memory is not None and estimate.gpu_memory.expected == pytest.approx(30.0 * GIB)
    assert "the trainer alone" in estimate.sources["gpu_memory"]


def test_other_peoples_times_are_used_for_large_models_on_gpus_alone_and_labelled(ledger: Ledger) -> None:
    paper = {"prompts": 512, "rollouts": 4, "max_prompt_length": 2048, "max_response_length": 1024}
    owed = stage("rl", steps=105, model=MODEL, device="cuda", gpus=2, settings=paper)
    estimate = only(look(ledger, owed))
    assert estimate.gpu_hours is not None and estimate.gpu_hours.expected == pytest.approx(14.0, rel=0.01)
    assert estimate.gpu_hours.high / estimate.gpu_hours.low >= 9
    assert estimate.sources["seconds"].startswith("published: ")
    on_cpu = stage("rl", steps=105, model=MODEL, device="cpu", settings=paper)
    assert only(look(ledger, on_cpu)).seconds is None
    tiny = stage("rl", steps=105, device="cuda", settings=paper)
    assert only(look(ledger, tiny)).seconds is None


def test_a_stage_that_goes_on_from_a_checkpoint_needs_the_rest_alone(ledger: Ledger) -> None:
    finish(ledger, stage("rl", seed=1), 70.0, step_times=[2.0] * 25)
    half = stage("rl", seed=2)
    finish(ledger, half, status="stopped", step=17)  # checkpoints every 5 steps
    estimate = only(look(ledger, half))
    assert estimate.seconds is not None and estimate.seconds.expected == pytest.approx(70.0 * 10 / 25)
    assert estimate.sources["seconds"].startswith("40% of it left; ")


def test_a_failed_stage_is_no_measure_of_a_whole_one(ledger: Ledger) -> None:
    finish(ledger, stage("rl", seed=1), 5.0, status="failed", failure=Failure.of("config", "x"))
    assert only(look(ledger, stage("rl", seed=2))).seconds is None


def test_a_stage_whose_files_are_torn_is_left_out(ledger: Ledger) -> None:
    good, torn = stage("rl", seed=1), stage("rl", seed=2)
    finish(ledger, good, 70.0, step_times=[2.0] * 25)
    finish(ledger, torn, 7000.0, step_times=[200.0] * 25)
    (ledger.folder(torn).path / "spec.json").write_text("{")
    (ledger.folder(torn).path / "attempts/1/metrics.jsonl").write_text('{"step": 1, "da')
    seconds = only(look(ledger, stage("rl", seed=3))).seconds
    assert seconds is not None and seconds.expected == pytest.approx(70.0)


def test_what_is_set_back_needs_its_disk_again_beside_what_is_put_aside(ledger: Ledger) -> None:
    rl = stage("rl")
    run = PlannedRun("demo", "a-seed1", "a", 1, {}, (rl,))
    disk = []
    for size in (0, 10**9):
        finish(ledger, rl, size=size)
        plan = lay_out("demo", [run], ledger, set_back={rl.id: "asked"})
        disk.append(forecast(plan, ledger, LAPTOP).totals.disk.expected)
    assert disk[0] == disk[1] > 0


def test_disk_of_another_seed_is_measured_and_of_a_new_model_is_arithmetic(ledger: Ledger) -> None:
    finish(ledger, stage("rl", seed=1), 70.0, step_times=[2.0] * 25, size=3_000_000)
    same = only(look(ledger, stage("rl", seed=2)))
    assert same.disk is not None and same.disk.expected == pytest.approx(3_000_000, rel=0.01)
    assert same.sources["disk"].startswith("measured")
    large = only(look(ledger, stage("rl", "b", model=MODEL)))
    assert large.disk is not None and large.disk.low == pytest.approx(2 * 12 * 1_543_714_304, rel=0.01)
    assert large.sources["disk"] == "arithmetic: 1.54 G parameters"
    ppo = only(look(ledger, stage("rl", "c", model=MODEL, algorithm="ppo")))
    assert ppo.disk is not None and ppo.disk.low == pytest.approx(2 * large.disk.low, rel=0.01)
    nobodys = {"kind": "huggingface", "name": "x", "path": "someone/x"}
    unknown = look(ledger, stage("rl", "d", model=nobodys))
    assert only(unknown).disk is None and unknown.totals.unknown["disk"] == 1


@pytest.mark.parametrize(("dtype", "width"), [("bf16", 2), ("fp32", 4)])
def test_an_export_is_as_large_as_its_model_in_its_precision(ledger: Ledger, dtype: str, width: int) -> None:
    rl = stage("rl", model=MODEL)
    export = stage("export", after=[rl], dtype=dtype)
    finish(ledger, rl)
    disk = forecast(plan_of(ledger, [rl, export]), ledger, LAPTOP).estimates[export.id].disk
    assert disk is not None and disk.expected == pytest.approx(width * 1_543_714_304, rel=0.01)


def test_an_export_on_gpus_is_reckoned_so_that_a_budget_can_be_kept_from_the_start(ledger: Ledger) -> None:
    rl = stage("rl", model=MODEL, device="cuda", gpus=2)
    export = stage("export", after=[rl], model=MODEL, device="cuda")
    found = forecast(plan_of(ledger, [rl, export]), ledger, SERVER)
    estimate = found.estimates[export.id]
    assert estimate.seconds is not None and 9 < estimate.seconds.low < estimate.seconds.expected < 60
    assert estimate.sources["seconds"] == "arithmetic: 9.26 GB read and written, at 2 to 0.05 GB/s"
    assert found.totals.unknown["gpu_hours"] == 0
    on_a_cpu = look(ledger, stage("export", "b", model=MODEL, device="cpu"))
    assert only(on_a_cpu).seconds is None


def test_memory_of_training_is_sharded_over_the_gpus_and_offloading_makes_room(ledger: Ledger) -> None:
    def memory(name: str, gpus: int = 1, **config: object) -> float:
        owed = stage("sft", name, model=MODEL, device="cuda", gpus=gpus, **config)  # type: ignore[arg-type]
        found = only(look(ledger, owed)).gpu_memory
        assert found is not None
        return found.low

    one, two = memory("a"), memory("b", gpus=2)
    assert one - two == pytest.approx(16 * 1_543_714_304 / 2)
    offloaded = memory("d", resources={"device": "cuda", "offload": "always"})
    assert one - offloaded == pytest.approx(16 * 1_543_714_304)
    assert memory("e", resources={"device": "cuda", "offload": "idle"}) == one  # one network, never idle


def test_what_is_spread_over_nodes_is_shared_among_them(ledger: Ledger) -> None:
    def estimate(name: str, **resources: object) -> Estimate:
        plain = {"device": "cuda", "offload": "idle", "gpu_memory": 80, "rollout": "vllm"}
        owed = stage("rl", name, model=MODEL, resources={**plain, **resources})
        return only(look(ledger, owed))

    one, four, two_by_two = (
        estimate(name, gpus=gpus, nodes=nodes)
        for name, gpus, nodes in (("a", 1, 1), ("b", 4, 1), ("c", 2, 2))
    )
    assert two_by_two.gpu_memory == four.gpu_memory != one.gpu_memory
    assert two_by_two.memory is not None and four.memory is not None
    assert two_by_two.memory.low == four.memory.low / 2
    shapes = {
        Works(lambda i: None, True).of(s).shape
        for s in (replace(stage("rl", gpus=4), nodes=nodes) for nodes in (1, 2))
    }
    assert len(shapes) == 2


def test_a_model_that_is_evaluated_on_a_gpu_is_in_the_forecast(ledger: Ledger) -> None:
    found = only(look(ledger, stage("evaluate", "a", model=MODEL, device="cuda")))
    assert found.gpu_memory is not None
    assert found.gpu_memory.low == pytest.approx(1.5 * GIB + 4 * 1_543_714_304)
    assert "in fp32, and a cache" in found.sources["gpu_memory"]


def test_networks_that_take_turns_need_room_for_one(ledger: Ledger) -> None:
    def memory(name: str, offload: str) -> float:
        resources = {"device": "cuda", "offload": offload, "rollout": "transformers"}
        owed = stage("rl", name, model=MODEL, algorithm="ppo", resources=resources)
        found = only(look(ledger, owed)).gpu_memory
        assert found is not None
        return found.low

    assert memory("a", "never") - memory("b", "idle") == pytest.approx(16 * 1_543_714_304)


def test_stages_too_large_for_a_gpu_here_are_named_with_what_helps(ledger: Ledger) -> None:
    huge = stage("rl", model=MODEL, algorithm="ppo", device="cuda", settings={"micro_batch_tokens": 65536})
    (misfit,) = look(ledger, huge, machine=SERVER).totals.misfits
    assert misfit.stages == (huge.id,) and misfit.whose == "that a GPU here has"
    assert misfit.remedies == (
        "--set resources.offload=always",
        "rl.micro_batch_tokens under 65536",
        "more than 1 GPU (resources.gpus)",
    )
    assert look(ledger, huge, machine=LAPTOP).totals.misfits == ()  # nothing tells what it is meant for


def test_without_a_gpu_a_stage_is_held_against_the_gpu_it_is_meant_for(ledger: Ledger) -> None:
    def planned(name: str, room: float, machine: Machine = LAPTOP) -> tuple[Misfit, ...]:
        resources = {"device": "cuda", "gpus": 2, "gpu_memory": room, "offload": "idle"}
        owed = [stage("sft", name, seed=n, model=MODEL, gpus=2, resources=resources) for n in (1, 2)]
        return look(ledger, *owed, machine=machine).totals.misfits

    (misfit,) = planned("a", 8)
    assert len(misfit.stages) == 2 and misfit.room == 8 * GIB
    assert str(misfit).startswith(f"sft {misfit.stages[0]} and 1 more will not fit: ")
    assert "of the 8 GiB of a GPU (resources.gpu_memory)" in str(misfit)
    assert planned("b", 80) == ()
    assert planned("c", 8, SERVER) == ()  # what is there counts


SMALL = {"kind": "huggingface", "name": "small", "path": "small"}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    """A model of the size of SmolLM2-135M."""
    size = ModelSize(134_515_008, 576, 30, 49_152, "here")
    monkeypatch.setattr(work_module, "model_size", lambda model: size)
    return SMALL


def test_small_models_run_one_a_processor_as_far_as_memory_goes_and_others_one_at_a_time(
    ledger: Ledger, small: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting_module, "usable_cpus", lambda: 6)
    tiny = ModelSize(200_000, 64, 2, 512, "here")
    monkeypatch.setattr(work_module, "model_size", lambda model: small_or_tiny[model.name])
    small_or_tiny = {"small": ModelSize(134_515_008, 576, 30, 49_152, "here"), "tiny": tiny}
    owed = [
        stage("rl", model={**SMALL, "name": "tiny", "path": "tiny"}, device="cpu", seed=seed)
        for seed in (1, 2)
    ]
    roomy, narrow = replace(LAPTOP, memory=100 * GIB), replace(LAPTOP, memory=10 * GIB)
    assert look(ledger, *owed, machine=roomy).totals.parallel == 6
    assert 1 <= look(ledger, *owed, machine=narrow).totals.parallel <= 3
    assert look(ledger, *owed, stage("sft", model=SMALL, device="cpu"), machine=roomy).totals.parallel == 1
    assert look(ledger, *owed, machine=LAPTOP).totals.parallel == 1  # how much memory there is is not known


def memory_of(ledger: Ledger, owed: StageSpec) -> Range:
    found = only(look(ledger, owed)).memory
    assert found is not None
    return found


def test_memory_on_a_cpu_is_what_was_measured_with_a_model_of_135_m_parameters(
    ledger: Ledger, small: Mapping[str, Any]
) -> None:
    sft = stage("sft", model=small, device="cpu", settings={"micro_batch_size": 1, "max_length": 750})
    assert memory_of(ledger, sft).expected / 1e9 == pytest.approx(4.7, rel=0.1)
    grpo = stage("rl", model=small, device="cpu", settings={"micro_batch_tokens": 2054})
    assert memory_of(ledger, grpo).expected / 1e9 == pytest.approx(
        8.0 + 1.9, rel=0.15
    )  # the actor, and the rest


def test_a_reference_and_recomputation_count_in_the_memory(ledger: Ledger, small: Mapping[str, Any]) -> None:
    plain = memory_of(ledger, stage("rl", "a", model=small, device="cpu"))
    kl = memory_of(ledger, stage("rl", "b", model=small, device="cpu", settings={"kl": "in_loss"}))
    assert kl.low - plain.low == pytest.approx(4 * 134_515_008)
    options = {"actor_rollout_ref.model.enable_gradient_checkpointing": True}
    assert (
        memory_of(ledger, stage("rl", "c", model=small, device="cpu", verl_options=options)).low < plain.low
    )


def test_what_cannot_fit_into_the_machine_is_refused_with_what_helps(
    ledger: Ledger, small: Mapping[str, Any]
) -> None:
    machine = replace(LAPTOP, memory=24 * GIB)
    wide = stage(
        "sft",
        model=small,
        device="cpu",
        settings={"micro_batch_size": 32, "max_length": 512, "batch_size": 32},
    )
    totals = look(ledger, wide, machine=machine).totals
    (refusal,) = limits(totals, None, Path("results")).refusals
    assert str(refusal).startswith(f"sft {wide.id}: needs ") and "there are 24 GiB here" in str(refusal)
    assert "sft.micro_batch_size under 32" in str(refusal)
    assert totals.to_json()["too_large"] == 1
    narrow = stage("sft", model=small, device="cpu", settings={"micro_batch_size": 4, "max_length": 512})
    assert not limits(look(ledger, narrow, machine=machine).totals, None, Path("results")).refusals


def test_memory_that_is_known_goes_before_the_arithmetic_of_rows_as_long_as_the_limit(
    ledger: Ledger, small: Mapping[str, Any]
) -> None:
    machine = replace(LAPTOP, memory=24 * GIB)
    settings = {"micro_batch_size": 32, "max_length": 512, "batch_size": 32}
    plain = stage("sft", "a", model=small, device="cpu", settings=settings)
    known = stage("sft", "b", model=small, resources={"device": "cpu", "memory": 6}, settings=settings)
    (refusal,) = limits(look(ledger, plain, known, machine=machine).totals, None, Path("results")).refusals
    assert plain.id in str(refusal) and "--set resources.memory=GIB" in str(refusal)
    estimate = only(look(ledger, known, machine=machine))
    assert estimate.memory is not None and estimate.memory.expected == 6 * GIB
    assert estimate.sources["memory"] == "given: resources.memory"


def test_seven_billion_parameters_do_not_train_on_a_laptop_but_may_be_planned_for_gpus(
    ledger: Ledger,
) -> None:
    seven = {"kind": "huggingface", "name": "qwen", "path": "Qwen/Qwen2.5-7B-Instruct"}
    machine = replace(LAPTOP, memory=24 * GIB, free=10_000 * GIB)
    (refusal,) = limits(
        look(ledger, stage("rl", model=seven), machine=machine).totals, None, Path("r")
    ).refusals
    assert "--set resources.device=cuda" in str(refusal)
    elsewhere = look(ledger, stage("rl", model=seven, device="cuda"), machine=machine)
    assert not limits(elsewhere.totals, None, Path("r")).refusals


def test_weights_that_rest_in_the_hosts_memory_need_it(ledger: Ledger) -> None:
    def memory(name: str, offload: str, kl: str = "none") -> Range:
        resources = {"device": "cuda", "offload": offload}
        return memory_of(ledger, stage("rl", name, model=MODEL, resources=resources, settings={"kl": kl}))

    never, idle, always = memory("a", "never"), memory("b", "idle"), memory("c", "always")
    assert idle.low - never.low == pytest.approx(12 * 1_543_714_304)
    assert always.low - never.low == pytest.approx(16 * 1_543_714_304)
    assert memory("d", "never", "in_loss").low - never.low == pytest.approx(4 * 1_543_714_304)


def test_the_weights_of_the_best_checkpoint_count_on_the_disk(ledger: Ledger) -> None:
    sft, rl = (
        only(look(ledger, stage("sft", model=MODEL))).disk,
        only(look(ledger, stage("rl", model=MODEL))).disk,
    )
    assert sft is not None and rl is not None
    assert rl.expected - 2 * 12 * 1_543_714_304 > 4 * 1_543_714_304


def test_a_stage_that_was_stopped_or_took_several_attempts_teaches_how_long_a_step_takes(
    ledger: Ledger,
) -> None:
    finish(ledger, stage("rl", "a", seed=1), 90.0, step_times=[10.0, 10.0], status="stopped", step=2)
    found = only(look(ledger, stage("rl", "a", seed=2, steps=10)))
    assert found.seconds is not None and found.seconds.expected == pytest.approx(100.0)
    spec = stage("sft", seed=1, steps=40)
    state = finish(ledger, spec, 60.0, pace=(22.0, 2.0))
    again = replace(
        state, attempts=(replace(state.attempts[0], status="failed"), replace(state.attempts[0], n=2))
    )
    write_stage(ledger, spec, again)
    found = only(look(ledger, stage("sft", seed=2, steps=40)))
    assert found.seconds is not None and found.seconds.expected == pytest.approx(20.0 + 2.0 * 40)


def test_the_size_of_a_gpu_is_that_of_the_smallest() -> None:
    assert gpu_memory("81559\n81559\n") == 81559 << 20
    assert gpu_memory("[N/A]\n") is None


def test_what_attempts_have_used_is_counted_on_gpus_alone(ledger: Ledger) -> None:
    on_gpu, on_cpu = stage("rl", seed=1, gpus=2), stage("rl", seed=2)
    finish(ledger, on_gpu, 1800.0, launcher=GPU, status="failed", failure=Failure.of("oom", "x"))
    finish(ledger, on_cpu, 1800.0)
    assert look(ledger, on_gpu, on_cpu).totals.gpu_hours_spent == pytest.approx(1.0)


def test_a_part_of_a_sweep_is_estimated_by_the_whole_of_it(ledger: Ledger) -> None:
    done, owed = stage("rl", seed=1), stage("rl", seed=2)
    finish(ledger, done, 70.0, step_times=[2.0] * 25)
    whole: Plan = plan_of(ledger, [done], [owed])
    found = forecast(whole.selected("arm1"), ledger, LAPTOP, whole=whole)
    assert found.seconds(owed, 1.0) == pytest.approx(70.0)
    assert found.seconds(done, 1.0) == 1.0
    assert found.totals.seconds.expected == pytest.approx(70.0)


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("rl", "micro_batch", 4),
        ("rl", "micro_batch_tokens", 4096),
        ("rl", "save_every", 1),
        ("rl", "keep_checkpoints", 9),
        ("sft", "micro_batch_size", 8),
        ("sft", "save_every", 3),
    ],
)
def test_each_setting_of_transport_makes_another_recipe_and_another_shape(
    kind: str, key: str, value: int
) -> None:
    one, other = stage(kind), stage(kind, settings={key: value})
    works = Works({}.get, gpus_here=False)
    assert works.recipe(replace(other, identity=one.identity)) != works.recipe(one)
    assert works.of(other).shape != works.of(one).shape
    assert works.recipe(stage(kind, seed=2)) == works.recipe(one)
