"""Loggers beside W&B, by the libraries themselves where they are installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from tests.support.stages import eventually
from tests.tracking.tree import SWEEP, ResultsTree
from toolrl_cli.errors import SpecError, TrackingError
from toolrl_cli.harness.publishing import Publishing, concluded
from toolrl_cli.store.sweep_folder import SweepFolder
from toolrl_cli.tracking.loggers import logger as module
from toolrl_cli.tracking.loggers.feed import sync_loggers
from toolrl_cli.tracking.loggers.logger import check_installed
from toolrl_cli.tracking.status import told_of


class Kept:
    """A logger that keeps what it is given, and fails where it is told to."""

    def __init__(self) -> None:
        self.points: list[module.Point] = []
        self.fault = ""
        self.closed = 0

    def log(self, points: Any) -> None:
        if self.fault:
            raise TrackingError(self.fault)
        self.points += points

    def close(self) -> None:
        self.closed += 1


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
    assert kept.closed == 4


def test_a_logger_that_is_not_installed_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
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
