"""`toolrl plan`: what a sweep would run, what it takes, what has changed, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import toolrl_cli
from tests.commands.conftest import Toolrl
from toolrl_cli.attempt.code_version import code_identity
from toolrl_cli.commands.options import print_json
from toolrl_cli.commands.views.quantities import most_text, size_text, sum_text, time_text, total_text
from toolrl_cli.datasets import mapped_rows
from toolrl_cli.datasets.prepare import write_dataset
from toolrl_cli.planning.forecasts import this_machine as machine
from toolrl_cli.planning.forecasts.ranges import Range
from toolrl_cli.spec.run.data_settings import JsonlData
from toolrl_cli.training.inputs import data_name, dataset_params

GPU_SWEEP = """
name: large
base:
  data: {kind: toolworld}
  model: qwen2.5-1.5b-instruct
  reward: original
  resources: {device: cuda, gpus: 2}
  rl: {steps: 105, prompts: 512, rollouts: 4, mini_batch: 128}
arms: {cold: {train: [rl]}}
evaluate: [toolworld]
"""


OWN_ROWS = """
name: mapped
base:
  preset: tiny_grpo
  model: tiny_base
  train: [rl]
  rl: {prompts: 8, mini_batch: 8, max_prompt_length: 1024}
  data: {kind: jsonl, train: rows.jsonl, val: rows.jsonl, fields: {prompt: q, gold: meta.calls, tools: tools}}
"""


def test_rows_of_ones_own_are_planned_with_what_is_refused_and_a_mapping_that_finds_nothing_is_not(
    toolrl: Toolrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"q": "do it", "meta": {"calls": [{"name": "f", "arguments": {}}]}, "tools": [{"name": "f"}]}
    rows = [*[row] * 9, {**row, "meta": {"calls": "[{"}}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    (tmp_path / "s.yaml").write_text(OWN_ROWS)
    answer = toolrl("plan", "s.yaml")
    assert answer.code == 0, answer.err
    told = f"warning: {tmp_path / 'rows.jsonl'}: 1 of 10 rows refused: the calls are no JSON (1: line 10)"
    assert answer.err.count(told) == 1
    few = toolrl("plan", "s.yaml", "--set", "data.limit.train=4")
    assert "has 4 train rows, too few for a step of 8 prompts" in few.err
    wrong = toolrl("plan", "s.yaml", "--set", "data.fields.gold=meta.call")
    assert wrong.code == 2 and "no row of" in wrong.err and "did you mean 'meta.calls'?" in wrong.err
    files = dict.fromkeys(("train", "val"), str(tmp_path / "rows.jsonl"))
    fields = {"prompt": "q", "gold": "meta.calls", "tools": "tools"}
    data = JsonlData.model_validate({"kind": "jsonl", **files, "fields": fields})
    write_dataset("jsonl", dataset_params(data), tmp_path / "results/data" / data_name(data))
    monkeypatch.setattr(mapped_rows, "load", None)  # what was made of them says it, too
    assert toolrl("plan", "s.yaml").err.count(told) == 1


def forget(environment: Path, key: str, value: str) -> None:
    """Make a finished attempt one of other code."""
    document = json.loads(environment.read_text())
    document["code"][key] = value
    environment.write_text(json.dumps(document))


def test_a_fresh_plan_shows_every_kind_and_that_nothing_is_known(toolrl: Toolrl, sweep_file: Path) -> None:
    answer = toolrl("plan", "small.yaml")
    assert answer.code == 0, answer.err
    assert "small: 3 runs, 9 stages (equal ones once)" in answer.out
    rows = {line.split()[0]: line.split() for line in answer.out.splitlines() if line.strip()}
    assert rows["rl"][1:6] == ["0", "0", "2", "0", "unknown"]
    assert "0 done, 9 owed" in answer.out
    assert "time        unknown" in answer.out


def test_a_finished_plan_says_that_nothing_is_to_do(swept: Toolrl) -> None:
    answer = swept("plan", "small.yaml")
    assert "nothing to do: all 9 stages are done" in answer.out
    assert "unknown" not in answer.out


def test_a_half_done_plan_is_estimated_from_its_other_half(toolrl: Toolrl, sweep_file: Path) -> None:
    toolrl("sweep", "small.yaml", "--only", "coarse")
    document = toolrl("plan", "small.yaml", "--json", "--max-parallel", "1").json
    owed = [s for s in document["stages"] if s["owed"]]
    assert {s["kind"] for s in owed} == {"rl", "export", "evaluate"}
    assert all(s["estimate"]["seconds"]["expected"] > 0 for s in owed)
    assert all(s["estimate"] is None for s in document["stages"] if not s["owed"])
    totals = document["totals"]
    assert totals["unknown"] == {"seconds": 0, "gpu_hours": 0, "gpu_memory": 0, "disk": 0}
    expected = sum(s["estimate"]["seconds"]["expected"] for s in owed)
    assert totals["seconds"]["expected"] == pytest.approx(expected)  # one slot
    wide = toolrl("plan", "small.yaml", "--json", "--max-parallel", "2").json["totals"]
    assert wide["slots"] == 2 and wide["seconds"]["expected"] < totals["seconds"]["expected"]


def test_a_failed_stage_blocks_its_run_and_the_plan_says_why(
    toolrl: Toolrl, sweep_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_FAILS", "grpo-tiny-coarse")
    toolrl("sweep", "small.yaml")
    document = toolrl("plan", "small.yaml", "--json").json
    blocked = [s for s in document["stages"] if s["status"] == "blocked"]
    assert [s["kind"] for s in blocked] == ["export", "evaluate"]
    assert "failed (config: the rate is too high)" in blocked[0]["reason"]
    assert "the rate is too high" in toolrl("plan", "small.yaml").out


def test_a_changed_setting_is_explained_field_by_field(swept: Toolrl) -> None:
    change = ["--set", "base.rl.lr=0.0005"]
    short = swept("plan", "small.yaml", *change).out
    assert "6 owed stages are new: earlier results are of another identity (configuration)" in short
    assert "6 finished stages are no longer part of this sweep" in short
    assert "rl.lr" not in short
    told = swept("plan", "small.yaml", "--explain", *change).out
    assert "rl.lr: 0.0002 → 0.0005" in told and "took its place before" in told
    drifts = [s["drift"] for s in swept("plan", "small.yaml", "--explain", "--json", *change).json["stages"]]
    fields = {d["field"] for drift in drifts if drift and drift["new"] for d in drift["differences"]}
    assert fields == {"rl.lr", "inputs.checkpoint", "inputs.model"}


def test_changed_code_is_a_warning_and_nothing_runs_again(swept: Toolrl, tmp_path: Path) -> None:
    for environment in tmp_path.glob("results/stages/rl/*/attempts/1/environment.json"):
        forget(environment, "rewards", "000000000000")
    answer = swept("plan", "small.yaml", "--explain")
    assert "warning: 2 finished stages would be made by other code or settings today" in answer.out
    assert f"code of rewards: 000000000000 → {code_identity()['rewards']} (2 stages)" in answer.out
    assert "nothing to do" in answer.out
    assert "nothing to do" in swept("sweep", "small.yaml").err


def test_a_changed_reward_file_makes_its_stages_new_and_is_named(
    toolrl: Toolrl, sweep_file: Path, tmp_path: Path
) -> None:
    Path("mine.py").write_text("def score(completion): return 0.0\n")
    component = "{kind: python, path: mine.py, function: score, range: [0, 1]}"
    sweep_file.write_text(
        sweep_file.read_text().replace(
            "coarse: {reward: coarse}", f"own: {{reward: {{components: {{mine: {component}}}}}}}"
        )
    )
    first = toolrl("sweep", "small.yaml", "--only", "own", "--allow-imperfect-gold")
    assert first.code == 0, first.err
    Path("mine.py").write_text("def score(completion): return 1.0\n")
    # another process: within one, a reward stays what it was when it was first read
    command = [sys.executable, "-m", "toolrl_cli", "plan", "small.yaml", "--only", "own", "--explain"]
    environment = {**os.environ, "PYTHONPATH": str(Path(toolrl_cli.__file__).parents[1])}
    told = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert "reward code (a source file of a component has changed)" in told
    assert "reward.components.mine.sha256: " in told


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("lora.target_modules: [q_proj, query]", "no module of the model is named 'query'"),
        (
            "resources.device: cuda, algorithm: ppo, rl.kl: in_loss",
            "with LoRA and a KL term, verl 0.9.1's PPO fails",
        ),
    ],
)
def test_adapters_that_would_do_nothing_or_fail_are_refused_when_planned(
    toolrl: Toolrl, settings: str, told: str
) -> None:
    Path("lora.yaml").write_text(
        f"name: l\nbase: {{preset: tiny_grpo, lora.rank: 4, {settings}}}\nevaluate: [toolworld]\n"
    )
    answer = toolrl("plan", "lora.yaml")
    assert answer.code == 2 and told in answer.err and "lora.yaml:2" in answer.err
    assert answer.err.count("\n") == 1


def test_a_budget_that_is_too_small_refuses_plan_sweep_and_resume(
    toolrl: Toolrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plenty = SimpleNamespace(total=1 << 50, used=0, free=1 << 50)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda place: plenty)
    Path("large.yaml").write_text(GPU_SWEEP)
    planned = toolrl("plan", "large.yaml", "--budget-gpu-hours", "2", "--json")
    assert planned.code == 2
    assert "error: --budget-gpu-hours 2: at least 14 GPU-hours are needed" in planned.err
    assert planned.err.count("error: ") == 1
    assert planned.json["limits"]["refused"] and planned.json["totals"]["unknown"]["gpu_hours"] == 1
    unknown = toolrl("sweep", "large.yaml", "--budget-gpu-hours", "500")
    assert unknown.code == 2 and "the GPU-hours of 1 owed stage are unknown" in unknown.err
    assert not (tmp_path / "results").exists()


def test_resume_keeps_the_budget_too(toolrl: Toolrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plenty = SimpleNamespace(total=1 << 50, used=0, free=1 << 50)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda place: plenty)
    monkeypatch.setenv("TEST_FAILS", "grpo")
    Path("large.yaml").write_text(GPU_SWEEP)
    assert toolrl("sweep", "large.yaml").code == 1
    before = {path: path.read_bytes() for path in tmp_path.glob("results/**/*.json")}
    answer = toolrl("resume", "large", "--budget-gpu-hours", "2")
    assert answer.code == 2 and "at least 14 GPU-hours are needed" in answer.err
    assert {path: path.read_bytes() for path in before} == before


def test_a_full_disk_is_refused_before_anything_is_written(
    toolrl: Toolrl, sweep_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nearly_full = SimpleNamespace(total=1 << 30, used=0, free=1 << 20)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda place: nearly_full)
    answer = toolrl("sweep", "small.yaml")
    assert answer.code == 2
    assert "of disk, and 1 MiB are free (free some space" in answer.err and answer.err.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_a_full_disk_does_not_refuse_what_has_written_its_share(
    toolrl: Toolrl, sweep_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolrl("sweep", "small.yaml")
    shutil.rmtree(tmp_path / "results/sweeps")
    full = SimpleNamespace(total=1 << 30, used=0, free=0)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda place: full)
    assert toolrl("sweep", "small.yaml").code == 0


def test_many_runs_are_counted_and_listed_only_when_asked(toolrl: Toolrl, sweep_file: Path) -> None:
    many = ["--set", "seeds={range: [0, 40]}"]
    short = toolrl("plan", "small.yaml", *many).out
    assert len(short.splitlines()) < 25
    assert "owed 120 raw-seed0," in " ".join(short.split()) and "--explain lists all" in short
    assert all(f"coarse-seed{n}" in toolrl("plan", "small.yaml", "--explain", *many).out for n in (0, 39))


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_plan_can_be_read_at_any_width(
    toolrl: Toolrl, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    Path("large.yaml").write_text(GPU_SWEEP)
    out = toolrl("plan", "large.yaml").out
    joined = "".join(out.split())
    for part in ("cold-seed1", "unknown", "GPU-hours", "evaluate", "rl:neverrun"):
        assert part in joined, out


def test_stages_for_several_nodes_are_told_and_this_machine_refuses_them(
    toolrl: Toolrl, sweep_file: Path
) -> None:
    sets = (str(sweep_file), "--set", "resources.nodes=2")
    answer = toolrl("plan", *sets)
    assert "for several nodes (resources.nodes): --launcher ray or --launcher slurm gives them" in answer.err
    answer = toolrl("sweep", *sets, "--wandb", "disabled")
    assert (answer.code, not Path("results/stages").exists()) == (1, True)
    assert "is planned for 2 nodes (resources.nodes), and the local launcher gives one" in answer.err
    assert "(--launcher ray or --launcher slurm gives several; --set resources.nodes=1" in answer.err


def test_a_dry_run_shows_the_same_as_an_explained_plan(toolrl: Toolrl, sweep_file: Path) -> None:
    assert toolrl("sweep", "small.yaml", "--dry-run").out == toolrl("plan", "small.yaml", "--explain").out


def test_quantities_are_written_with_their_bounds_and_what_is_missing() -> None:
    some = Range(1 << 20, 2 << 20, 3 << 20)
    assert size_text(some) == "1–2–3 MiB"
    assert size_text(Range(5 << 30, 5 << 30, 5 << 30)) == "5 GiB"
    assert size_text(None) == "unknown" and size_text(Range(0, 0, 0)) == "none"
    assert time_text(Range(30, 600, 72_000)) == "30 s–10 min–20 h"
    assert sum_text([some, None, some], size_text) == "2–4–6 MiB + 1 unknown"
    assert sum_text([None, None], size_text) == "unknown"
    assert sum_text([], size_text) == ""
    assert most_text([some, some, None], size_text) == "1–2–3 MiB, 1 unknown"
    assert total_text(some, size_text, 0) == "1–2–3 MiB"
    assert total_text(some, size_text, 2) == "at least 1–2–3 MiB (2 stages unknown)"
    assert total_text(None, size_text, 2) == "unknown"


@pytest.mark.parametrize(
    "document",
    [{}, {"a": []}, {"a": [], "b": {"c": 'x"\n'}}, {"a": [1, {"b": "ü"}], "c": None}],
    ids=["nothing", "empty", "text", "nested"],
)
def test_a_document_with_long_lists_is_the_same_document(
    document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    print_json(document)
    assert json.loads(capsys.readouterr().out) == document


def test_the_stages_of_a_plan_are_a_line_each(toolrl: Toolrl, sweep_file: Path) -> None:
    lines = toolrl("plan", "small.yaml", "--json").out.splitlines()
    assert sum('"kind": "export"' in line and '"estimate": ' in line for line in lines) == 3


def test_a_plan_in_a_pipe_breaks_no_id(
    toolrl: Toolrl, sweep_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    arm = "an-arm-with-a-name-that-would-not-fit-into-eighty-columns-beside-anything-else"
    Path("long.yaml").write_text(f"name: long\nbase: {{preset: tiny_grpo}}\narms: {{{arm}: {{}}}}\n")
    lines = toolrl("plan", "long.yaml", "--explain").out.splitlines()
    assert sum(f"{arm}-seed1 " in line for line in lines) == 1
    assert any(line.startswith(f"{arm} ") and "arms." in line for line in lines)
