"""`report --import wandb:ENTITY/PROJECT`, with the real client where that is the subject."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.wandb_server import WandbServer
from tests.tracking.tree import ResultsTree
from toolrl_cli.errors import SpecError, TrackingError
from toolrl_cli.report.api import build_report
from toolrl_cli.tracking.downloads import downloaded


def test_runs_that_are_in_w_and_b_are_reported_beside_others(
    server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = ResultsTree(tmp_path / "results", arms=2).trained()
    tree.sync()
    for number, run in enumerate(server.runs.values()):
        run.summary |= {"toolworld/overall": 0.5 + number / 10}
    source = Path("wandb:me/toolrl")
    for _ in range(2):
        table = build_report(tmp_path / "elsewhere", tables=["toolworld"], imports=[source]).tables[0]
        means = {row.arm: row.cells["overall"].mean for row in table.rows}
        assert {arm[:4]: mean for arm, mean in means.items()} in (
            {"arm0": 50.0, "arm1": 60.0},
            {"arm0": 60.0, "arm1": 50.0},
        )
        monkeypatch.setattr("toolrl_cli.tracking.downloads.TRIES", 1)
        monkeypatch.setenv("WANDB_API_KEY", "short")  # refused; what it said before stands in


def test_a_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not(tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []

    def busy(entity: str, project: str, filters: dict[str, Any]) -> list[dict[str, Any]]:
        asked.append(filters)
        if len(asked) < 3:
            raise TrackingError("429 too many requests")
        return [{"name": "a", "config": {"seed": 1}, "summary": {"toolworld/overall": 0.5}}]

    source = "wandb:me/toolrl?state=finished&tag=x&config.seed=1"
    path = downloaded(source, tmp_path, busy, pause=0.0)
    assert json.loads(path.read_text())["name"] == "a"
    assert asked == [{"state": "finished", "tags": "x", "config.seed": 1}] * 3

    def refuses(*_: object) -> list[dict[str, Any]]:
        asked.append({})
        raise TrackingError("user is not logged in")

    with pytest.raises(TrackingError, match="wandb login"):
        downloaded("wandb:me/other", tmp_path, refuses, pause=0.0)
    assert len(asked) == 4
    assert downloaded(source, tmp_path, refuses, pause=0.0) == path


@pytest.mark.parametrize("source", ["wandb:", "wandb:me", "wandb:me/p?x", "wandb:me/p?{", "wandb:me/p/q"])
def test_what_is_no_project_is_refused(source: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="--import"):
        downloaded(source, tmp_path)
