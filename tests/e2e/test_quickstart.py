"""The main job as a stranger runs it: real verl, real GRPO and PPO, on CPU, killed once on the way."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.stages import eventually

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
ARMS = ["raw", "sft", "grpo-original", "grpo-coarse", "ppo-original"]
PATIENCE = 1500


def environment() -> dict[str, str]:
    return {**os.environ, "WANDB_MODE": "offline", "COLUMNS": "120"}


def toolrl(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "toolrl_cli", *arguments]
    return subprocess.run(
        argv, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def rows_of(results: Path, kind: str, slug: str) -> list[dict[str, Any]]:
    from toolrl_cli.store.progress.metrics import merge_metrics

    (folder,) = (results / "stages" / kind).glob(f"{slug}-*")
    return merge_metrics(folder)


def processes_below(results: Path) -> list[str]:
    """Processes of this test's runs: they carry the results root in their command line or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            told = " ".join(process.cmdline()) + str(process.environ().get("VERL_FILE_LOGGER_PATH", ""))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if str(results) in told and process.status() != psutil.STATUS_ZOMBIE:
            found.append(told[:200])
    return found


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The quickstart's results; its harness and one of two attempts were killed with -9 in the third RL step."""
    root = tmp_path_factory.mktemp("quickstart") / "results"
    argv = [sys.executable, "-m", "toolrl_cli", "sweep", "sweeps/quickstart.yaml", "--results", str(root)]
    log = (root.parent / "first.log").open("w")
    harness = subprocess.Popen(
        argv, cwd=ROOT, env=environment(), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        attempt, stage = _attempt_in_rl_step(root, 3, harness)
        os.kill(harness.pid, signal.SIGKILL)
        os.kill(attempt, signal.SIGKILL)
        harness.wait()
    finally:
        if harness.poll() is None:
            harness.kill()
        log.close()
    deadline = time.monotonic() + 30
    while processes_below(stage) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert processes_below(stage) == []
    second = toolrl("sweep", "sweeps/quickstart.yaml", "--results", str(root))
    assert second.returncode == 0, second.stderr + second.stdout
    yield root


def _attempt_in_rl_step(root: Path, step: int, harness: subprocess.Popen[bytes]) -> tuple[int, Path]:
    """Process id of the attempt that has begun RL step `step` first, and its stage's folder."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert harness.poll() is None, (root.parent / "first.log").read_text()
        for path in root.glob("stages/rl/*/attempts/1/metrics.jsonl"):
            steps = [
                json.loads(line)["step"] for line in path.read_text().splitlines(True) if line.endswith("\n")
            ]
            if steps and max(steps) >= step - 1:
                state = json.loads((path.parents[2] / "state.json").read_text())
                return int(state["launcher"]["pid"]), path.parents[2]
        time.sleep(0.1)
    raise AssertionError("no RL step was made")


def test_the_table_has_every_arm_with_a_value(results: Path) -> None:
    report = json.loads(toolrl("report", "quickstart", "--results", str(results), "--json").stdout)
    (table,) = report["tables"]
    assert [row["arm"] for row in table["rows"]] == ARMS
    for row in table["rows"]:
        for column in table["columns"]:
            assert 0 <= row["cells"][column["name"] if isinstance(column, dict) else column]["mean"] <= 100


def test_csv_and_json_agree_to_the_last_digit(results: Path) -> None:
    where = ("--results", str(results))
    table = json.loads(toolrl("report", "quickstart", *where, "--json").stdout)["tables"][0]
    cells = {row["arm"]: row["cells"] for row in table["rows"]}
    text = toolrl("report", "quickstart", *where, "--format", "csv").stdout
    for row in csv.DictReader(io.StringIO(text)):
        assert float(row["mean"]) == cells[row["arm"]][row["column"]]["mean"]


def test_no_stage_ran_twice_but_the_one_that_was_killed(results: Path) -> None:
    attempts = {}
    for path in results.glob("stages/*/*/state.json"):
        state = json.loads(path.read_text())
        assert state["status"] == "succeeded"
        attempts[path.parts[-3] + "/" + state["id"]] = state["attempt"]
    twice = {stage: n for stage, n in attempts.items() if n > 1}
    assert len(attempts) == 13 and list(twice.values()) == [2]
    assert next(iter(twice)).startswith("rl/")


def test_the_metrics_hold_one_row_for_each_step(results: Path) -> None:
    for slug in ("grpo-tiny-original-s1", "grpo-tiny-coarse-s1", "ppo-tiny-original-s1"):
        steps = [row["step"] for row in rows_of(results, "rl", slug)]
        assert steps == sorted(set(steps))
        assert steps[0] == 0 and steps[-1] == len(steps) - 1


def test_every_component_is_logged_in_training_and_validation(results: Path) -> None:
    rows = rows_of(results, "rl", "grpo-tiny-original-s1")
    last = rows[-1]["data"]
    for part in ("format", "correctness"):
        for value in ("raw", "weight", "weighted"):
            assert f"reward/{part}/{value}/mean" in last
    weighted = sum(last[f"reward/{part}/weighted/mean"] for part in ("format", "correctness"))
    assert weighted == pytest.approx(last["reward/total/mean"], abs=1e-6)
    assert any("correctness" in name and name.startswith("val") for name in rows[0]["data"])


def test_rollout_and_trainer_agree_on_log_probabilities(results: Path) -> None:
    for row in rows_of(results, "rl", "grpo-tiny-original-s1")[1:]:
        assert row["data"]["training/rollout_actor_probs_pearson_corr"] > 0.999


def test_training_raises_the_reward_and_the_score(results: Path) -> None:
    rewards = [
        row["data"]["reward/total/mean"] for row in rows_of(results, "rl", "grpo-tiny-original-s1")[1:]
    ]
    assert sum(rewards[-5:]) / 5 > sum(rewards[:5]) / 5
    table = json.loads(toolrl("report", "quickstart", "--results", str(results), "--json").stdout)["tables"][
        0
    ]
    overall = {row["arm"]: row["cells"]["overall"]["mean"] for row in table["rows"]}
    assert overall["grpo-original"] > overall["raw"]


def test_wandb_has_one_offline_run_for_each_run(results: Path) -> None:
    eventually(
        lambda: len(list((results / "wandb").glob("offline-run-*"))) == len(ARMS)
    )  # nobody waits for it
    folders = [p.name for p in (results / "wandb").glob("offline-run-*")]
    for arm in ARMS:
        assert sum(f"quickstart-{arm}-seed1-" in name for name in folders) == 1


def test_a_second_sweep_does_nothing_and_says_so(results: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in results.glob("stages/*/*/state.json")}
    answer = toolrl("sweep", "sweeps/quickstart.yaml", "--results", str(results))
    assert answer.returncode == 0
    assert "nothing to do, all 13 stages are done" in answer.stderr
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_nothing_is_left_running_and_no_lease_is_left(results: Path) -> None:
    assert processes_below(results) == []
    assert list(results.glob("stages/*/*/lease*")) == []
