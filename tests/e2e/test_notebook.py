"""The notebook in `docs/`, run as it is written, with a real model and verl's trainers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.notebook import run_notebook

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.e2e
def test_the_notebook_trains_and_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DOCS)
    monkeypatch.setenv("TOOLRL_RESULTS", str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    _, _, outcome, results, curves, _, table, _ = run_notebook(DOCS / "python.ipynb")
    assert "did not succeed" not in outcome
    assert "raw" in results and "grpo" in results
    assert "reward/total/mean" in curves and "grpo" in table
