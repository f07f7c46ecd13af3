"""`toolrl resume` with a part of a sweep, and with stages set back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import Toolrl
from tests.support.results_tree import GPU, finish, plan_of, stage
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.progress.metrics import merge_metrics
from toolrl_cli.store.sweep_folder import SweepFolder


@pytest.fixture
def on_gpus(toolrl: Toolrl, tmp_path: Path) -> Toolrl:
    """A sweep that ran for an hour on two GPUs, written by hand."""
    ledger = Ledger(tmp_path / "results")
    rl = stage("rl", gpus=2, steps=2)
    chain = [rl, stage("export", after=[rl])]
    chain.append(stage("evaluate", after=chain[-1:]))
    for spec in chain:
        finish(ledger, spec, 3600, launcher=GPU, step_times=(1800.0, 1800.0))
    SweepFolder(ledger.results, "small").save(plan_of(ledger, chain, name="small"), "")
    return toolrl


@pytest.mark.parametrize(
    ("refused", "told"),
    [
        (("--budget-gpu-hours", "1"), "--budget-gpu-hours 1: at least"),
        (("--launcher", "cloud"), "unknown launcher 'cloud'"),
        (("--wandb", "maybe"), "unknown W&B mode 'maybe'"),
        ((), "needs 2 slots, and the local launcher has 1"),
    ],
)
def test_a_refused_start_sets_nothing_back(
    on_gpus: Toolrl, monkeypatch: pytest.MonkeyPatch, refused: tuple[str, ...], told: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    before = {p: p.stat().st_mtime_ns for p in Path("results/stages").rglob("*")}
    answer = on_gpus("resume", "small", "--fresh", "--yes", *refused)
    assert (answer.code != 0, told in answer.err) == (True, True), answer.err
    assert {p: p.stat().st_mtime_ns for p in Path("results/stages").rglob("*")} == before


def test_a_sweep_goes_on_with_the_launcher_that_it_was_last_given_to(
    on_gpus: Toolrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("launchers").mkdir()
    Path("launchers/slurm.yaml").write_text("partition: gpu\n")
    assert on_gpus("resume", "small", "--launcher", "slurm").code == 0  # nothing is owed
    sweep = SweepFolder(tmp_path / "results", "small")
    assert sweep.launcher() == f"slurm:{tmp_path}/launchers/slurm.yaml"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    answer = on_gpus("resume", "small", "--results", str(tmp_path / "results"))
    assert f"small: goes on with --launcher {sweep.launcher()}, as before" in answer.err
    on_gpus("resume", "small", "--launcher", "local", "--results", str(tmp_path / "results"))
    assert sweep.launcher() == "local"
    again = on_gpus("resume", "small", "--results", str(tmp_path / "results"))
    assert again.code == 0 and "as before" not in again.err


def test_fresh_refuses_what_needs_a_training_that_was_not_named(on_gpus: Toolrl) -> None:
    rl = stage_id(on_gpus, "rl", "a-s1")
    shutil.rmtree(folder("rl", rl) / "checkpoints")  # as `gc --checkpoints --keep none` does
    answer = on_gpus("resume", "small", "--stage", "export", "--fresh")
    assert answer.code == 2
    assert f"needs {rl} trained again: its checkpoints are gone (--stage {rl} --fresh" in answer.err
    assert {s["status"] for s in states(on_gpus).values()} == {"succeeded"}


def states(toolrl: Toolrl) -> dict[str, dict[str, Any]]:
    return {stage["id"]: stage for stage in toolrl("status", "small", "--json").json["stages"]}


def stage_id(toolrl: Toolrl, kind: str, name: str) -> str:
    (found,) = (i for i, s in states(toolrl).items() if s["kind"] == kind and name in i)
    return found


def attempts(toolrl: Toolrl) -> dict[str, int]:
    return {stage: state["attempt"] for stage, state in states(toolrl).items()}


def folder(kind: str, stage: str) -> Path:
    return Path("results") / "stages" / kind / stage


def test_failed_runs_the_failed_stages_and_what_depends_on_them_alone(
    toolrl: Toolrl, sweep_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_FAILS", "grpo-tiny-coarse")
    toolrl("sweep", "small.yaml", "--only", "coarse")
    monkeypatch.setenv("TEST_FAILS", "nothing")
    answer = toolrl("resume", "small", "--failed")
    assert answer.code == 0, answer.err
    assert "3 of 5 stages owed" in answer.err
    standing = {s["id"]: s["status"] for s in states(toolrl).values()}
    assert {status for i, status in standing.items() if "coarse" in i} == {"succeeded"}
    assert {status for i, status in standing.items() if "original" in i} == {"pending"}
    assert "no stage has failed" in toolrl("resume", "small", "--failed").err


def test_stage_runs_a_kind_and_what_it_needs(toolrl: Toolrl, sweep_file: Path) -> None:
    toolrl("sweep", "small.yaml", "--only", "raw")
    answer = toolrl("resume", "small", "--stage", "rl")
    assert answer.code == 0, answer.err
    done = {i for i, s in states(toolrl).items() if s["status"] == "succeeded" and "grpo" in i}
    assert sorted(states(toolrl)[i]["kind"] for i in done) == ["rl", "rl"]


def test_an_unknown_stage_is_refused_with_the_nearest_name(swept: Toolrl) -> None:
    answer = swept("resume", "small", "--stage", "exprt")
    assert answer.code == 2
    assert "--stage: no stage matches 'exprt' (did you mean 'export'?)" in answer.err


def test_a_stage_like_none_is_refused_with_the_kinds_and_no_list_of_ids(swept: Toolrl) -> None:
    answer = swept("resume", "small", "--stage", "zzz")
    assert answer.code == 2
    assert "--stage: no stage matches 'zzz' (valid kinds: evaluate, export, rl, sft)" in answer.err


def test_from_step_trains_again_from_there_and_redoes_what_depends_on_it(swept: Toolrl) -> None:
    rl, before = stage_id(swept, "rl", "coarse"), attempts(swept)
    answer = swept("resume", "small", "--only", "coarse", "--from-step", "1")
    assert answer.code == 0, answer.err
    assert f"{rl}: set back to step 1 (resume --from-step 1)" in answer.err
    again = {stage for stage, n in attempts(swept).items() if n > before[stage]}
    assert len(again) == 3 and all("coarse" in stage for stage in again)
    assert {s["status"] for s in states(swept).values()} == {"succeeded"}
    place = folder("rl", rl)
    assert sorted(path.name for path in (place / "checkpoints").glob("global_step_*")) == [
        "global_step_1",
        "global_step_2",
    ]
    assert (place / "superseded" / "1" / "checkpoints" / "global_step_2" / "data.pt").exists()
    assert [row["step"] for row in merge_metrics(place)] == [1, 2]
    rows = (place / "attempts" / "2" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [2]
    export = folder("export", stage_id(swept, "export", "grpo-tiny-coarse"))
    assert (export / "superseded" / "1" / "output" / "model").is_dir()
    assert (export / "output" / "model").is_dir()


def test_from_step_refuses_a_step_without_a_whole_checkpoint_and_changes_nothing(swept: Toolrl) -> None:
    rl = stage_id(swept, "rl", "coarse")
    answer = swept("resume", "small", "--stage", rl, "--from-step", "7")
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert f"stage {rl}: no whole checkpoint of step 7: it has those of 1, 2" in answer.err
    assert {s["status"] for s in states(swept).values()} == {"succeeded"}
    answer = swept("resume", "small", "--stage", rl, "--from-step", "2")
    assert (answer.code, "step 2 is the last one" in answer.err) == (2, True)


def test_fresh_starts_a_stage_anew_and_sets_aside_what_it_had(swept: Toolrl) -> None:
    rl = stage_id(swept, "rl", "coarse")
    answer = swept("resume", "small", "--stage", rl, "--fresh")
    assert answer.code == 0, answer.err
    assert "2 other stages are owed; `toolrl resume small` runs them" in answer.err
    place = folder("rl", rl)
    assert (place / "superseded" / "1" / "checkpoints" / "global_step_2").is_dir()
    rows = (place / "attempts" / "2" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [1, 2]
    waiting = {i: s for i, s in states(swept).items() if s["status"] == "pending"}
    assert sorted(s["kind"] for s in waiting.values()) == ["evaluate", "export"]
    plan = {s["id"]: s["reason"] for s in swept("plan", "small.yaml", "--json").json["stages"]}
    export = stage_id(swept, "export", "grpo-tiny-coarse")
    assert plan[export] == "set back to the start (resume --fresh: what it reads was set back)"
    assert swept("resume", "small").code == 0
    assert {s["status"] for s in states(swept).values()} == {"succeeded"}


def test_a_table_shows_no_score_of_a_model_that_was_set_back(
    swept: Toolrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    rl = stage_id(swept, "rl", "coarse")
    monkeypatch.setenv("TEST_FAILS", "grpo-tiny-coarse")
    assert swept("resume", "small", "--stage", rl, "--fresh").code == 1
    text = swept("report", "small", "--format", "csv").out
    assert [line for line in text.splitlines() if line.startswith("coarse") and "100" in line] == []


def test_stages_of_other_sweeps_that_read_it_are_set_back_as_well(swept: Toolrl, sweep_file: Path) -> None:
    other = sweep_file.read_text().replace("name: small", "name: other")
    Path("other.yaml").write_text(other.replace("tiny_grpo, ", "tiny_grpo, evaluation.batch_size: 8, "))
    swept("sweep", "other.yaml")
    swept("resume", "small", "--stage", stage_id(swept, "rl", "coarse"), "--fresh")
    standing = {s["id"]: s["status"] for s in swept("status", "other", "--json").json["stages"]}
    assert sorted(standing.values()).count("pending") == 2


def test_only_and_fresh_leave_stages_that_other_runs_use(swept: Toolrl) -> None:
    before = attempts(swept)
    answer = swept("resume", "small", "--only", "coarse", "--fresh")
    assert answer.code == 0, answer.err
    assert all("coarse" in stage for stage, n in attempts(swept).items() if n > before[stage])


def test_a_kind_of_some_runs_leaves_stages_that_other_runs_use_and_says_so(swept: Toolrl) -> None:
    shared = next(i for i, s in states(swept).items() if s["kind"] == "sft")
    before = attempts(swept)
    answer = swept("resume", "small", "--only", "coarse", "--stage", "sft", "--fresh")
    assert answer.code == 0, answer.err
    assert f"{shared}: left alone; other runs have it, too" in answer.err
    assert attempts(swept) == before
    swept("resume", "small", "--only", "coarse", "--stage", shared, "--fresh")
    assert attempts(swept)[shared] == before[shared] + 1


def test_failed_where_none_has_says_what_is_owed(swept: Toolrl) -> None:
    path = folder("rl", stage_id(swept, "rl", "coarse")) / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "stopped"}))
    answer = swept("resume", "small", "--failed")
    assert (
        "small: no stage has failed; without --failed 1 owed would run\nsmall: nothing to do\n" in answer.err
    )


@pytest.mark.parametrize("option", [("--fresh",), ("--from-step", "1")])
def test_a_whole_sweep_is_not_set_back_unasked(swept: Toolrl, option: tuple[str, ...]) -> None:
    before = attempts(swept)
    answer = swept("resume", "small", *option)
    assert answer.code == 2
    assert "would set back all of small" in answer.err and "--yes" in answer.err
    assert answer.err.count("\n") == 1
    assert attempts(swept) == before


def test_a_whole_sweep_is_set_back_with_yes(swept: Toolrl) -> None:
    assert swept("resume", "small", "--fresh", "--yes").code == 0
    assert set(attempts(swept).values()) == {2}


def test_fresh_and_from_step_exclude_each_other(swept: Toolrl) -> None:
    answer = swept("resume", "small", "--stage", "rl", "--fresh", "--from-step", "1")
    assert answer.code == 2
    assert "exclude each other" in answer.err
