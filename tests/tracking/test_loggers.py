"""Loggers beside W&B, by the libraries themselves where they are installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from tests.support.stages import eventually
from tests.tracking.tree import SWEEP, ResultsTree
from toolrl_cli.errors import LedgerError, SpecError, TrackingError
from toolrl_cli.harness.publishing import Publishing, concluded
from toolrl_cli.spec.sweeps.sweep_file import Tracking
from toolrl_cli.store.sweep_folder import SweepFolder
from toolrl_cli.tracking.loggers import logger as module
from toolrl_cli.tracking.loggers.feed import LoggerFeed, sync_loggers
from toolrl_cli.tracking.loggers.logger import check_installed
from toolrl_cli.tracking.place import place_of
from toolrl_cli.tracking.publisher import Publisher
from toolrl_cli.tracking.status import StatusWriter, told_of


class Kept:
    """A logger that keeps what it is given, and fails where it is told to."""

    def __init__(self) -> None:
        self.points: list[module.Point] = []
        self.fault = ""
        self.closed: list[str] = []

    def log(self, points: Any) -> None:
        if self.fault:
            raise TrackingError(self.fault)
        self.points += points

    def close(self, outcome: str = "finished") -> None:
        self.closed.append(outcome)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    made = Kept()
    monkeypatch.setattr("toolrl_cli.tracking.loggers.feed.start", lambda *_: made)
    monkeypatch.setattr("toolrl_cli.tracking.loggers.feed.check_installed", lambda *_: None)
    return made


def scalars(tree: ResultsTree) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for folder in (tree.root / "tensorboard").glob("*"):
        events = EventAccumulator(str(folder)).Reload()
        for tag in events.Tags()["tensors"]:
            found[tag] = [
                (e.step, round(float(make_ndarray(e.tensor_proto)), 3)) for e in events.Tensors(tag)
            ]
    return found


def test_tensorboard_has_the_rows_while_they_are_logged_and_the_scores_at_the_end(tmp_path: Path) -> None:
    tree = ResultsTree(tmp_path / "results", loggers=["tensorboard"])
    tree.log(tree.sft, 1, [1, 2])
    tree.stand(tree.sft, "succeeded")
    tree.log(tree.rl[0], 1, [0, 1])
    tree.stand(tree.rl[0], "running")
    with Publishing(tree.root, SWEEP, "loggers") as logging:
        eventually(lambda: (1, 0.1) in scalars(tree).get("reward/total/mean", ()), 60.0)
        tree.log(tree.rl[0], 1, [2])
        tree.stand(tree.rl[0], "succeeded")
        assert "wandb" not in concluded(logging)
    eventually(lambda: len(scalars(tree)["reward/total/mean"]) == 3, 60.0)
    found = scalars(tree)
    assert found["reward/total/mean"] == [(0, 0.0), (1, 0.1), (2, 0.2)]
    assert found["sft/reward/total/mean"] == [(1, 0.1), (2, 0.2)]
    assert "loss" not in found  # it was never finite
    assert told_of(tree.root, SWEEP) == ""


def test_each_row_is_given_once_whatever_happens_in_between(kept: Kept, tmp_path: Path) -> None:
    tree = ResultsTree(tmp_path / "results", loggers=["trackio", "mlflow"]).trained()
    kept.fault = "disk quota exceeded"
    said = sync_loggers(tree.saved, tree.root)
    assert said.startswith("1 of 1 runs are not complete in the other loggers: trackio: disk quota exceeded")
    assert "toolrl sync demo" in told_of(tree.root, SWEEP)
    kept.fault = ""
    for _ in range(2):
        assert sync_loggers(tree.saved, tree.root) == "" == told_of(tree.root, SWEEP)
        assert len(kept.points) == 2 * 9
    tree.log(tree.rl[0], 1, [7])
    assert sync_loggers(tree.saved, tree.root) == ""
    assert [step for step, _ in kept.points[18:]] == [7, 7]
    assert len(kept.closed) == 6  # those that failed too, so that the next can be opened


def test_a_logger_that_failed_is_tried_again_though_nothing_new_was_logged(
    kept: Kept, tmp_path: Path
) -> None:
    tree = ResultsTree(tmp_path / "results", loggers=["trackio"]).trained()
    folder = tree.root / "sweeps" / SWEEP
    status = StatusWriter(folder, "loggers")
    feed = LoggerFeed(tree.saved, tree.ledger, place_of(folder, Tracking()), None, status, "loggers")
    publisher = Publisher(tree.root, SWEEP, "loggers", feed, status)
    runs = {run.id: run for run in tree.runs}
    kept.fault = "no route to host"
    assert not publisher._round(runs, last=False)
    kept.fault, publisher._again = "", 0.0
    assert publisher._round(runs, last=False) and len(kept.points) == 9


def test_rows_are_given_once_also_where_a_full_disk_does_not_let_us_note_it(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = ResultsTree(tmp_path / "results", loggers=["mlflow"]).trained()
    folder = tree.root / "sweeps" / SWEEP
    status = StatusWriter(folder, "loggers")
    feed = LoggerFeed(tree.saved, tree.ledger, place_of(folder, Tracking()), None, status, "loggers")
    told = feed.told(tree.runs[0])
    assert told is not None

    def full(*_: object) -> None:
        raise LedgerError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("toolrl_cli.tracking.loggers.feed.make_folder", full)
        assert [feed.bring(tree.runs[0], told, stay=True) for _ in range(3)] == [False] * 3
    assert len(kept.points) == 9
    assert feed.bring(tree.runs[0], told, stay=True)
    assert sync_loggers(tree.saved, tree.root) == ""  # another process knows it then
    assert len(kept.points) == 9


def test_a_logger_is_told_how_a_run_ended_also_where_no_row_is_new(kept: Kept, tmp_path: Path) -> None:
    tree = ResultsTree(tmp_path / "results", loggers=["mlflow"]).trained()
    for status in ("stopped", "failed", "succeeded"):
        tree.stand(tree.rl[0], status)
        assert sync_loggers(tree.saved, tree.root) == ""
    assert kept.closed == ["stopped", "failed", "finished"] and len(kept.points) == 9


def test_a_logger_that_is_not_installed_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SpecError, match=r"mlflow is not installed \(pip install mlflow\)") as refused:
        check_installed(["mlflow"], "sweep.yaml:3")
    assert "sweep.yaml:3" in str(refused.value)


def test_nothing_of_w_and_b_is_loaded_for_the_other_loggers(tmp_path: Path) -> None:
    tree = ResultsTree(tmp_path / "results", loggers=["tensorboard"])
    program = (
        "import sys; from pathlib import Path; from toolrl_cli.store.sweep_folder import SweepFolder\n"
        "from toolrl_cli.tracking.loggers.feed import sync_loggers\n"
        "root = Path(sys.argv[1]); sync_loggers(SweepFolder(root, 'demo').load(), root)\n"
        "assert 'wandb' not in sys.modules"
    )
    assert SweepFolder(tree.root, SWEEP).load().tracking == {"loggers": ["tensorboard"]}
    subprocess.run([sys.executable, "-c", program, str(tree.root)], check=True)


def test_mlflow_has_each_row_once_in_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracking = pytest.importorskip("mlflow.tracking")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path}/mlruns")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    tree = ResultsTree(tmp_path / "results", loggers=["mlflow"], tags=["mine"]).trained()
    for steps in ([], [7]):
        tree.log(tree.rl[0], 1, steps, **{"val-core/x/mean@1": 0.5})
        for _ in range(2):
            assert sync_loggers(tree.saved, tree.root) == ""
    client = tracking.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("toolrl").experiment_id])
    history = client.get_metric_history(run.info.run_id, "reward/total/mean")
    assert [(m.step, m.value) for m in history] == [(n, n / 10) for n in range(8)]
    assert run.data.metrics["val-core/x/mean_at_1"] == 0.5
    assert (run.info.status, run.data.tags["group"]) == ("FINISHED", SWEEP) and "mine" in run.data.tags
    tree.stand(tree.rl[0], "failed")
    assert sync_loggers(tree.saved, tree.root) == ""
    assert client.get_run(run.info.run_id).info.status == "FAILED"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tree.log(tree.rl[0], 1, [8])
    assert "mlflow: http://127.0.0.1:9: MLflow: " in sync_loggers(tree.saved, tree.root)


def test_trackio_goes_on_in_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # read at its import
    pytest.importorskip("trackio")
    tree = ResultsTree(tmp_path / "results", loggers=["trackio"]).trained()
    for steps in ([], [7]):
        tree.log(tree.rl[0], 1, steps)
        assert sync_loggers(tree.saved, tree.root) == ""
    program = (
        "from trackio.sqlite_storage import SQLiteStorage as kept; (run,) = kept.get_runs('toolrl')\n"
        "print([row['step'] for row in kept.get_logs('toolrl', run)])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == str([1, 2, *range(8)])


def test_swanlab_is_given_a_run_when_it_is_over_and_nothing_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("swanlab")
    monkeypatch.setenv("SWANLAB_MODE", "offline")
    tree = ResultsTree(tmp_path / "results", loggers=["swanlab"]).trained()
    for _ in range(2):
        assert sync_loggers(tree.saved, tree.root) == ""
    (run,) = (tree.root / "swanlab").glob("run-*")
    (kept,) = run.glob("*.swanlab")
    assert b"reward/total/mean" in kept.read_bytes()
    written = b"".join(path.read_bytes() for path in run.rglob("*") if path.is_file())
    assert b"arm0" in written and b'"command"' not in written and b'"hostname"' not in written
