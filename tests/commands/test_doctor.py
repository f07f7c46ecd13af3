"""`toolrl doctor`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.conftest import Toolrl


def test_a_check_that_fails_gives_exit_status_1_and_the_command_that_mends_it(
    toolrl: Toolrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # however long the folder's name is, no line is broken
    (tmp_path / "file").write_text("")
    answer = toolrl("doctor", "--json", "--results", str(tmp_path / "file"))
    assert answer.code == 1
    (failed,) = [check for check in answer.json["checks"] if check["name"] == "results root"]
    assert failed["standing"] == "error" and "--results DIR" in failed["fix"]
    shown = toolrl("doctor", "--results", str(tmp_path / "file"))
    assert shown.code == 1 and "is not a folder" in shown.out and "--results DIR" in shown.out


def test_every_check_has_the_stable_keys(toolrl: Toolrl) -> None:
    document = toolrl("doctor", "--json").json
    assert document["schema"] == 1
    assert all(set(check) == {"name", "standing", "found", "fix"} for check in document["checks"])
