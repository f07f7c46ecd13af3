"""`toolrl gc`."""

from __future__ import annotations

from pathlib import Path

from tests.commands.conftest import Toolrl


def test_gc_shows_what_may_go_and_removes_it_only_without_dry_run(swept: Toolrl) -> None:
    assert "nothing to remove" in swept("gc").out
    swept("resume", "small", "--only", "coarse", "--fresh")
    dry = swept("gc", "--dry-run")
    assert dry.code == 0
    assert "superseded/1" in dry.out and "set aside when the stage was set back" in dry.out
    document = swept("gc", "--dry-run", "--json").json
    assert document["schema"] == 1 and document["dry_run"] is True
    assert [set(item) for item in document["items"]] == [{"path", "stage", "why", "bytes", "removed"}] * 3
    assert not any(item["removed"] for item in document["items"])
    assert document["bytes"] == sum(item["bytes"] for item in document["items"]) > 0

    gone = swept("gc", "--json")
    assert gone.code == 0
    assert all(item["removed"] for item in gone.json["items"])
    assert not list(Path("results").rglob("superseded/1"))
    assert "nothing to remove" in swept("gc").out
    assert "nothing to do" in swept("sweep", "small.yaml").err


def test_gc_of_checkpoints_leaves_a_sweep_that_is_done_done(swept: Toolrl) -> None:
    before = swept("report", "small").out
    answer = swept("gc", "--checkpoints", "--keep", "none")
    assert answer.code == 0, answer.err
    assert list(Path("results").rglob("global_step_*")) == []
    assert "nothing to do" in swept("sweep", "small.yaml").err
    assert swept("report", "small").out == before


def test_gc_refuses_what_it_does_not_understand_in_one_line(toolrl: Toolrl, sweep_file: Path) -> None:
    toolrl("sweep", "small.yaml", "--only", "raw")
    for arguments, words in [
        (("--checkpoints", "--keep", "lst"), "--keep: unknown value 'lst' (did you mean 'last'?)"),
        (("--keep", "last"), "add --checkpoints"),
        (("--results", "nowhere"), "there are no results"),
    ]:
        answer = toolrl("gc", *arguments)
        assert answer.code == 2
        assert words in answer.err and answer.err.count("\n") == 1
