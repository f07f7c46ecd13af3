"""`toolrl report` and `toolrl status` have one reader: they never disagree about a stage."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.report.builder import Tree, toolworld_scores
from tests.report.test_tables import cells, table_of
from tests.support.stages import dead_process
from toolrl_cli.commands.seeing.status import standing
from toolrl_cli.planning.sweep_status import sweep_status
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.report.sources.saved_sweeps import read_sweep
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.state import StageState
from toolrl_cli.store.sweep_folder import SweepFolder


def write(path: Path, state: StageState) -> None:
    path.write_text(json.dumps(state.to_json()))


def running(tree: Tree, process: ProcessId) -> Path:
    """A sweep whose RL stage says that this process runs it."""
    run = tree.sweep().run("grpo")
    run.running("rl", 12)
    handle = {"kind": "local", "slots": ["cpu0"], **process.to_json()}
    stage = run.stage("rl")
    write(run.directory("rl") / "state.json", StageState(stage.id, "rl").begun(1, handle).running(handle))
    return tree.write()


def seen(root: Path) -> tuple[tuple[str, str], tuple[str, str]]:
    """(status, why) of the RL stage by the report and by `toolrl status`."""
    stage = read_sweep(root, "demo").runs[0].training[-1]
    report = (stage.status, stage.problem or stage.failure[1])
    document = sweep_status(SweepFolder(root, "demo").load(), Ledger(root)).to_json()
    (entry,) = (s for s in document["stages"] if s["kind"] == "rl")
    return report, (entry["status"], (entry["failure"] or {"message": ""})["message"])


def test_an_attempt_that_died_without_a_word_has_failed_for_both(tree: Tree) -> None:
    report, status = seen(running(tree, dead_process()))
    assert report == status == ("failed", "attempt 1 ended without a word")


def test_an_attempt_that_lives_is_running_for_both(tree: Tree) -> None:
    report, status = seen(running(tree, ProcessId.current()))
    assert report == status == ("running", "")


def test_an_attempt_of_another_machine_is_running_for_both(tree: Tree) -> None:
    report, status = seen(running(tree, replace(ProcessId.current(), host="elsewhere")))
    assert report == status == ("running", "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "state.json is empty"),
        ('{"sche', "state.json is not valid JSON"),
        ('{"schema": 1, "status": "dancing"}', "state.json has no known status"),
        ("null", "state.json holds nothing but null"),
    ],
)
def test_a_torn_state_is_unreadable_for_both_for_the_same_reason(tree: Tree, text: str, why: str) -> None:
    run = tree.sweep().run("grpo").done(toolworld_scores(0.5))
    (run.directory("rl") / "state.json").write_text(text)
    report, status = seen(root := tree.write())
    assert report == status
    assert report[0] == "unreadable" and report[1].startswith(why)
    assert "unreadable" in standing(sweep_status(SweepFolder(root, "demo").load(), Ledger(root))).rows[0]


def test_a_state_of_a_later_version_is_unreadable_for_both(tree: Tree) -> None:
    run = tree.sweep().run("grpo")
    run.running("rl", 3)
    path = run.directory("rl") / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 9}))
    report, status = seen(tree.write())
    assert report == status
    assert report[0] == "unreadable" and "is of schema 9, and this toolrl reads schema 1" in report[1]


@pytest.mark.parametrize("status", ["queued", "stopped", "succeeded"])
def test_what_ended_or_waits_is_the_same_for_both(tree: Tree, status: str) -> None:
    run = tree.sweep().run("grpo")
    run.state("rl", status)
    report, shown = seen(tree.write())
    assert report[0] == shown[0] != "unreadable"


def test_a_number_whose_training_cannot_be_read_says_so(tree: Tree) -> None:
    run = tree.sweep().run("grpo").done(toolworld_scores(0.5))
    (run.directory("rl") / "state.json").write_text('{"sche')
    cell = cells(table_of(tree.write()))["grpo"]
    assert cell.mean is not None
    assert "the rl stage behind grpo-seed1 is unreadable (state.json is not valid JSON" in cell.note
