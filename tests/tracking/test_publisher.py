"""A sweep that runs beside W&B: the publisher is a process of its own, which nobody waits for."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.support.stages import eventually
from tests.support.wandb_server import Fault, WandbServer
from tests.tracking.tree import SWEEP, ResultsTree, rows_of, same_rows
from toolrl_cli.errors import SpecError
from toolrl_cli.harness.publishing import PATIENCE, Publishing
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.spec.sweeps.sweep_file import Tracking
from toolrl_cli.store.sweep_folder import SweepFolder
from toolrl_cli.tracking.place import choose_mode, tracking_of
from toolrl_cli.tracking.status import read_status, told_of

HARNESS = """
import sys, time
from pathlib import Path
from toolrl_cli.harness.publishing import Publishing
from toolrl_cli.store.sweep_folder import SweepFolder
with SweepFolder(Path(sys.argv[1]), "demo").attended():
    with Publishing(Path(sys.argv[1]), "demo", "online"):
        time.sleep(1000)
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL", "1")


def has_steps(server: WandbServer, tree: ResultsTree, *steps: int) -> Callable[[], bool]:
    def there() -> bool:
        ids = tree.wandb_ids(server, tree.runs[0])
        rows = rows_of(server, ids[0]) if ids else []
        return [row["training/global_step"] for row in rows if "training/global_step" in row] == list(steps)

    return there


def over(tree: ResultsTree) -> bool:
    """Whether the publisher has ended."""
    status = read_status(tree.root / "sweeps" / SWEEP)
    return status is not None and ProcessId.from_json(status.process).alive() is False


def begun(tree: ResultsTree) -> ResultsTree:
    tree.log(tree.sft, 1, [1, 2])
    tree.stand(tree.sft, "succeeded")
    tree.log(tree.rl[0], 1, [0, 1, 2])
    tree.stand(tree.rl[0], "running")
    return tree


def test_steps_are_there_while_they_are_trained_across_a_resume_and_every_run_has_its_shared_stage(
    server: WandbServer, tmp_path: Path
) -> None:
    tree = begun(ResultsTree(tmp_path / "results", arms=2))
    with Publishing(tree.root, SWEEP, "online") as publishing:
        eventually(has_steps(server, tree, 0, 1, 2))
        tree.log(tree.rl[0], 2, [2, 3], again=1)
        eventually(has_steps(server, tree, 0, 1, 2, 2, 3))
        (one,) = tree.wandb_ids(server, tree.runs[0])
        assert server.runs[one].state == "running"
        tree.stand(tree.rl[0], "succeeded", attempt=2)
        publishing.conclude()
    eventually(lambda: over(tree))
    (other,) = tree.wandb_ids(server, tree.runs[1])
    assert [row["sft/step"] for row in rows_of(server, other)] == [1, 2]
    assert "trained again" in server.runs[one].summary["trained_again"]
    assert told_of(tree.root, SWEEP) == ""
    assert set(tree.sync().values()) == {"up to date"}


def test_a_harness_that_is_killed_leaves_a_publisher_that_tells_what_is_left(
    server: WandbServer, tmp_path: Path
) -> None:
    tree = begun(ResultsTree(tmp_path / "results"))
    harness = subprocess.Popen([sys.executable, "-c", HARNESS, str(tree.root)])
    try:
        eventually(has_steps(server, tree, 0, 1, 2))
    finally:
        harness.send_signal(signal.SIGKILL)
        harness.wait()
    tree.log(tree.rl[0], 1, [3])
    tree.stand(tree.rl[0], "succeeded")
    eventually(lambda: over(tree))
    same_rows(server, tree)


def test_a_publisher_that_is_killed_loses_nothing_and_is_said_once(
    server: WandbServer, tmp_path: Path
) -> None:
    tree = begun(ResultsTree(tmp_path / "results"))
    with Publishing(tree.root, SWEEP, "online") as publishing:
        eventually(has_steps(server, tree, 0, 1, 2))
        status = read_status(tree.root / "sweeps" / SWEEP)
        assert status is not None
        os.kill(int(status.process["pid"]), signal.SIGKILL)
        tree.log(tree.rl[0], 1, [3, 4])
        tree.stand(tree.rl[0], "succeeded")
        said = publishing.conclude()
    assert said.startswith("W&B: 1 of 1 runs are not complete in W&B: ")
    assert "toolrl sync demo" in said and "\n" not in said
    assert tree.sync() == {"arm0-seed1": "sent: 7 rows"}
    same_rows(server, tree)
    assert told_of(tree.root, SWEEP) == ""


def test_a_server_that_is_down_delays_the_end_by_no_more_than_it_may_and_sync_sends_the_rest(
    server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = ResultsTree(tmp_path / "results").trained()
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with Publishing(tree.root, SWEEP, "online") as publishing:
        time.sleep(1.0)
        began = time.monotonic()
        said = publishing.conclude()
    assert time.monotonic() - began < PATIENCE + 1
    assert said.startswith("W&B: ") and "toolrl sync demo" in said and "\n" not in said
    assert publishing.pid is not None
    os.kill(publishing.pid, signal.SIGKILL)
    eventually(lambda: ProcessId.of(int(publishing.pid or 0)) is None)
    log = (tree.root / "sweeps" / SWEEP / "wandb.log").read_text()
    assert "Traceback" not in log and "in use" not in log
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    tree.sync()
    same_rows(server, tree)


def test_a_step_is_there_within_fifteen_seconds_of_being_logged(
    server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL")  # toolrl's own, not the client's
    tree = begun(ResultsTree(tmp_path / "results"))
    with Publishing(tree.root, SWEEP, "online") as publishing:
        eventually(has_steps(server, tree, 0, 1, 2), 60.0)
        tree.log(tree.rl[0], 1, [3])
        eventually(has_steps(server, tree, 0, 1, 2, 3), 15.0)
        tree.stand(tree.rl[0], "succeeded")
        publishing.conclude()
    eventually(lambda: over(tree), 60.0)


def test_nothing_is_started_where_w_and_b_is_disabled(tmp_path: Path) -> None:
    tree = ResultsTree(tmp_path / "results").trained()
    with Publishing(tree.root, SWEEP, "disabled") as publishing:
        assert publishing.pid is None
        assert publishing.conclude() == ""
    assert not (tree.root / "sweeps" / SWEEP / "wandb.log").exists()


def test_a_server_that_goes_down_in_the_middle_and_comes_back_has_every_row_once(
    server: WandbServer, tmp_path: Path
) -> None:
    tree = begun(ResultsTree(tmp_path / "results"))
    with Publishing(tree.root, SWEEP, "online") as publishing:
        eventually(has_steps(server, tree, 0, 1, 2))
        with server.failing(Fault("", reset=True)):
            tree.log(tree.rl[0], 1, [3, 4])
            time.sleep(3.0)
        tree.log(tree.rl[0], 1, [5])
        tree.stand(tree.rl[0], "succeeded")
        publishing.conclude()
    eventually(lambda: over(tree), 60.0)
    tree.sync()
    same_rows(server, tree)


def test_of_two_harnesses_one_feeds_w_and_b_and_the_other_s_waits(
    server: WandbServer, tmp_path: Path
) -> None:
    tree = begun(ResultsTree(tmp_path / "results"))
    with Publishing(tree.root, SWEEP, "online") as one, Publishing(tree.root, SWEEP, "online") as other:
        eventually(has_steps(server, tree, 0, 1, 2))
        tree.log(tree.rl[0], 1, [3])
        tree.stand(tree.rl[0], "succeeded")
        one.conclude()
        other.conclude()
    eventually(lambda: over(tree), 60.0)
    tree.sync()
    same_rows(server, tree)


def test_runs_that_another_harness_has_planned_meanwhile_are_told_too(
    server: WandbServer, tmp_path: Path
) -> None:
    tree = begun(ResultsTree(tmp_path / "results", arms=2))
    whole = tree.plan
    SweepFolder(tree.root, SWEEP).save(replace(whole, runs=whole.runs[:1]), None)
    with Publishing(tree.root, SWEEP, "online") as publishing:
        eventually(has_steps(server, tree, 0, 1, 2))
        SweepFolder(tree.root, SWEEP).save(whole, None)
        tree.log(tree.rl[1], 1, [0, 1])
        tree.stand(tree.rl[1], "running")
        eventually(lambda: len(tree.wandb_ids(server, tree.runs[1])) == 1)
        for rl in tree.rl:
            tree.stand(rl, "succeeded")
        publishing.conclude()
    eventually(lambda: over(tree), 60.0)
    tree.sync()
    same_rows(server, tree)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        (
            {"project": "team/mine"},
            "W&B takes no / in a project's name, and this is 'team/mine'; the team goes",
        ),
        ({"project": "a%b?"}, "W&B takes no ? % in a project's name"),
        ({"project": "x" * 129}, "128"),
        ({"tags": ["fine", ""]}, "tags"),
        ({"tags": ["x" * 65]}, "tags"),
    ],
)
def test_what_wandb_would_refuse_is_refused_before_anything_is_trained(
    setting: dict[str, object], says: str
) -> None:
    with pytest.raises(ValidationError, match=re.escape(says)):
        Tracking.model_validate(setting)
    with pytest.raises(SpecError, match=r"of the saved sweep: .*`toolrl sweep`"):
        tracking_of(setting)


def test_a_project_of_the_environment_is_one_that_wandb_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "team/mine")
    with pytest.raises(SpecError, match=r"\$WANDB_PROJECT"):
        choose_mode("offline")
    monkeypatch.setenv("WANDB_PROJECT", "x" * 129)
    with pytest.raises(SpecError, match="takes 128 characters"):
        choose_mode("offline")
    assert choose_mode("disabled") == "disabled"
    assert choose_mode("offline", {"project": "own"}) == "offline"
