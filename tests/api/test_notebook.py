"""The notebook in `docs/`, run as it is written, with stages of no work; `tests/e2e` trains."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.api.notebook import run_notebook
from tests.commands.conftest import FUNCTIONS
from toolrl_cli.api import running
from toolrl_cli.harness.scheduling.scheduler_options import Options

DOCS = Path(__file__).parents[2] / "docs"


def test_the_notebook_walks_through_the_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DOCS)
    monkeypatch.setenv("TOOLRL_RESULTS", str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setattr(running, "Options", partial(Options, functions=FUNCTIONS))
    plan, frame, outcome, results, curves, report, table, score = run_notebook(DOCS / "python.ipynb")
    assert "6 owed" in plan and "<table" in frame
    assert "overall" in outcome.lower() and "succeeded" in results
    assert "<table" in curves and "ToolWorld" in report and "grpo" in table
    assert score.startswith("(") and "format" in score
