"""`toolrl sync`, `toolrl status` and the report as users see them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.wandb_server import Fault, WandbServer
from tests.tracking.tree import SWEEP, ResultsTree
from toolrl_cli.app import app
from toolrl_cli.commands.views.exit_status import run_guarded
from toolrl_cli.store.sweep_folder import SweepFolder


def test_sync_says_of_each_run_what_became_of_it_and_status_what_is_missing(
    server: WandbServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tree = ResultsTree(tmp_path / "results").trained()
    report = tree.root / "sweeps/demo/report"
    report.mkdir()
    (report / "report.md").write_text("# demo")

    def toolrl(command: str, *options: str) -> tuple[int, str]:
        capfd.readouterr()
        code = run_guarded(app, (command, "demo", "--results", str(tree.root), *options))
        said = capfd.readouterr()
        return code, said.out + said.err

    tree.tracking["mode"] = "disabled"
    SweepFolder(tree.root, SWEEP).save(tree.plan, "name: demo")
    assert "the sweep's tracking.mode" in toolrl("sync")[1] and not server.runs
    del tree.tracking["mode"]
    SweepFolder(tree.root, SWEEP).save(tree.plan, "name: demo")

    assert toolrl("sync", "--dry-run") == (0, "[1/1] arm0-seed1: would be sent: 9 of 9 rows\n")
    assert not server.runs
    with server.failing(Fault("file_stream", 403)):
        code, said = toolrl("sync")
    assert code == 1 and "does not have 9 of 9 rows" in said
    _, said = toolrl("status")
    assert "W&B: 2 of 2 runs are not complete in W&B: the server has taken" in said
    assert toolrl("sync") == (0, "[1/1] arm0-seed1: sent: 9 rows\n")
    assert toolrl("sync") == (0, "[1/1] arm0-seed1: up to date\n")
    assert "W&B" not in toolrl("status")[1]
    (artifact,) = server.artifacts.values()
    assert (artifact["input"]["artifactTypeName"], artifact["state"]) == ("report", "COMMITTED")
    assert b"# demo" in server.blobs.values()
    assert "Traceback" not in said
