"""Where results are, and commands that can be pasted."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolrl_cli.store.roots import command


def test_a_command_names_the_root_that_it_would_not_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TOOLRL_RESULTS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert command("resume", "a", results=tmp_path / "results") == "toolrl resume a"
    other = tmp_path / "my results"
    assert command("resume", "a", results=other) == f"toolrl resume a --results '{other}'"
    monkeypatch.setenv("TOOLRL_RESULTS", str(other))
    assert command("resume", "a", results=other) == "toolrl resume a"
    assert command("stop", "a", results=Path("results")).endswith(f"--results {tmp_path / 'results'}")
