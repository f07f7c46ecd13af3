"""What a failure looks like from outside."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from tests.commands.conftest import Toolrl
from toolrl_cli.commands.views.exit_status import BAD_INPUT, run_guarded


def opening(path: Path) -> typer.Typer:
    app = typer.Typer()

    @app.command()
    def main() -> None:
        path.read_text()

    return app


def test_a_file_that_the_system_does_not_give_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert run_guarded(opening(tmp_path / "file" / "scores.json"), []) == BAD_INPUT
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"error: {tmp_path}/file/scores.json: Not a directory (")


def test_a_fault_without_a_file_is_not_hidden() -> None:
    app = typer.Typer()

    @app.command()
    def main() -> None:
        raise OSError("no fault of the user's")

    with pytest.raises(OSError, match="no fault"):
        run_guarded(app, [])


@pytest.mark.parametrize(
    "command", ["status", "report", "list quickstart", "stop quickstart", "resume", "gc"]
)
def test_where_there_are_no_results_a_line_says_how_to_begin(command: str, toolrl: Toolrl) -> None:
    answer = toolrl(*command.split())
    assert answer.code == 2 and "`toolrl list` names sweeps that can be run" in answer.err
