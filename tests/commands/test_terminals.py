"""What commands print where a terminal is narrow, or its encoding poor."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from tests.commands.conftest import Toolrl
from toolrl_cli.app import app
from toolrl_cli.commands.views.exit_status import run_guarded

READING = [
    "list", "list small", "status small", "plan small.yaml --explain", "show coarse-seed1", "logs coarse-seed1",
    "diff raw-seed1 coarse-seed1", "report small", "report small --format markdown", "report small --format latex",
    "report small --format csv", "report small --claims", "report small --pair coarse original",
    "report --published-only --table T6", "reward list", "reward explain turn.txt turn.txt", "data list",
    "gc --dry-run", "show nobody…",
]  # fmt: skip


def said_in(encoding: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    code = run_guarded(app, arguments)
    out.flush()
    err.flush()
    return code, out.buffer.getvalue().decode(encoding) + err.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_no_command_ends_in_a_trace_back_where_the_encoding_is_poor(
    encoding: str, swept: Toolrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "turn.txt").write_text("<think> é – ü </think>\n<response> 日 </response>", encoding="utf-8")
    for log in (tmp_path / "results/stages").glob("rl/*/attempts/1/log.txt"):
        log.write_text("step 1 – 日本 ±\n", encoding="utf-8")
    for command in READING:
        code, said = said_in(encoding, monkeypatch, *command.split())
        assert said and code == (2 if "nobody" in command else 0), (command, said)
    _, said = said_in(encoding, monkeypatch, "logs", "coarse-seed1", "--stage", "rl")
    assert said.startswith("step 1 - \\u65e5\\u672c")


def test_json_is_the_same_document_in_every_encoding(
    swept: Toolrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "turn.txt").write_text("<response> é 日 \U0001f600 </response>", encoding="utf-8")
    arguments = ("reward", "explain", "turn.txt", "turn.txt", "--json")
    documents = [
        json.loads(said_in(name, monkeypatch, *arguments)[1]) for name in ("ascii", "latin-1", "utf-8")
    ]
    assert documents[0] == documents[1] == documents[2]
    assert "é 日 \U0001f600" in documents[0]["completion"]


NARROW = ["list", "list small", "plan small.yaml --explain", "diff raw-seed1 coarse-seed1", "report small",
          "report small --claims", "report small --pair coarse original", "report --published-only --table T6",
          "reward list", "data list"]  # fmt: skip


def test_tables_fit_a_terminal_of_80_columns_and_break_no_name(
    swept: Toolrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = {command: swept(*command.split()).out for command in NARROW}
    wide = {(command, line) for command, text in said.items() for line in text.splitlines() if len(line) > 80}
    assert not wide
    for command, words in {
        "reward list": ("two_stage", "CORRECTMAX1=1", "SCHEDULEREWARD=1"),
        "list": ("table7_granularity", "quickstart"),
        "list small": ("original-seed1", "succeeded"),
        "diff raw-seed1 coarse-seed1": ("toolworld/unseen_tools", "coarse-seed1"),
        "report small": ("original",),
    }.items():
        assert all(word in said[command] for word in words), command
