"""What `status`, `logs`, `show` and `stop` say about a sweep, with stages of no work."""

from __future__ import annotations

import io
import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.commands.conftest import Toolrl
from toolrl_cli import api
from toolrl_cli.commands.seeing import logs as logs_command
from toolrl_cli.commands.seeing import status as status_command
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.processes.slot_locks import SlotLocks
from toolrl_cli.store.ledger import Ledger, StageFolder
from toolrl_cli.store.progress.step_warnings import StepWarning
from toolrl_cli.store.sweep_folder import SweepFolder


@pytest.fixture
def done(swept: Toolrl, tmp_path: Path) -> Callable[[str], StageFolder]:
    """A sweep that has run; its function gives the RL stage of an arm."""

    def rl(arm: str) -> StageFolder:
        (folder,) = (f for f in Ledger(tmp_path / "results").folders() if f.kind == "rl" and arm in f.id)
        return folder

    return rl


def rewrite(folder: StageFolder, **changes: Any) -> None:
    path = folder.path / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def at_work(tmp_path: Path, rl: StageFolder) -> None:
    """This process is the harness and the attempt of a stage in its first step."""
    me = ProcessId.current().to_json()
    rewrite(
        rl,
        status="running",
        launcher={"kind": "local", **me},
        progress={"step": 1, "total": 2, "metrics": {"critic/score/mean": 0.25}},
    )
    (tmp_path / "results/sweeps/small/harnesses").mkdir(exist_ok=True)
    (tmp_path / "results/sweeps/small/harnesses/me.json").write_text(json.dumps(me))


def test_what_a_training_warned_of_is_in_status_and_show_after_it_is_done(
    toolrl: Toolrl, done: Callable[[str], StageFolder]
) -> None:
    warning = StepWarning("no_gradient", "nothing differs", "look", 1, 2, 2, 2)
    rewrite(done("coarse"), warnings=[warning.to_json()])
    rows = toolrl("status", "small").out.splitlines()
    assert [row.endswith("rl: no gradient in 2 of 2 steps") for row in rows if "-seed1" in row] == [
        False,
        True,
        False,
    ]
    (told,) = (
        s["warnings"] for s in json.loads(toolrl("status", "small", "--json").out)["stages"] if s["warnings"]
    )
    assert told == [warning.to_json()]
    assert "all 2 steps so far: nothing differs (look)" in toolrl("show", "coarse-seed1").out


def test_status_in_a_pipe_is_a_line_a_run_whatever_the_width(
    toolrl: Toolrl, done: Callable[[str], StageFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "config: the rate is " + "very " * 40 + "high"
    rl = done("coarse")
    rewrite(rl, status="failed", failure={"class": "config", "message": long.removeprefix("config: ")})
    monkeypatch.setenv("COLUMNS", "40")
    title, header, *rows = toolrl("status", "small").out.splitlines()
    assert title == "small: 8 of 9 stages done, no harness at work"
    assert header.split() == ["run", "stage", "status", "step", "attempts", "what"]
    assert [row.split()[0] for row in rows] == ["raw-seed1", "coarse-seed1", "original-seed1"]
    assert rows[1].endswith(long)
    assert rows[2].split() == ["original-seed1", "5/5", "succeeded", "1"]


def test_status_says_who_is_at_work_and_the_reward_of_what_runs(
    toolrl: Toolrl, done: Callable[[str], StageFolder], tmp_path: Path
) -> None:
    at_work(tmp_path, done("coarse"))
    title, _, _, coarse, _ = toolrl("status", "small").out.splitlines()
    assert title == "small: 8 of 9 stages done, 1 harness at work"
    assert coarse.split() == ["coarse-seed1", "3/5", "rl", "running", "1/2", "1", "reward", "0.25"]
    document = toolrl("status", "small", "--json").json
    assert [h["pid"] for h in document["harnesses"]] == [os.getpid()]
    (tmp_path / "results/sweeps/small/harnesses/me.json").unlink()
    assert "no harness at work, 1 attempt goes on without" in toolrl("status", "small").out


def test_a_row_that_runs_without_steps_shows_its_clock(
    toolrl: Toolrl, done: Callable[[str], StageFolder], tmp_path: Path
) -> None:
    rl = done("coarse")
    at_work(tmp_path, rl)
    times = json.loads((rl.path / "state.json").read_text())["times"]
    rewrite(rl, progress=None, times=times | {"started": time.time() - 65, "ended": None})
    assert toolrl("status", "small").out.splitlines()[3].endswith(("for 65 s", "for 66 s", "for 67 s"))


@pytest.mark.parametrize(("width", "attempts"), [(60, False), (100, True)])
def test_status_fits_a_narrow_terminal(
    done: Callable[[str], StageFolder], tmp_path: Path, width: int, attempts: bool
) -> None:
    done("coarse")
    found = status_command.standing(api.status("small", results=tmp_path / "results"))
    screen = Console(file=io.StringIO(), width=width)
    screen.print(status_command._table(found, width))
    said = screen.file.getvalue()  # type: ignore[attr-defined]
    assert max(len(line.rstrip()) for line in said.splitlines()) <= width
    assert "original-seed1" in said and ("attempts" in said) == attempts


def test_watching_ends_quietly_with_ctrl_c(
    toolrl: Toolrl, done: Callable[[str], StageFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    rl = done("coarse")
    looks = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            rewrite(rl, status="stopped")
        if len(looks) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(status_command.time, "sleep", sleep)
    answer = toolrl("status", "small", "--watch")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.count("small: 9 of 9") == answer.out.count("small: 8 of 9") == 1


def test_watching_and_json_exclude_each_other(toolrl: Toolrl, done: Callable[[str], StageFolder]) -> None:
    answer = toolrl("status", "small", "--watch", "--json")
    assert answer.code == 2 and answer.err.count("\n") == 1


def test_status_and_logs_need_no_right_to_write(
    toolrl: Toolrl, done: Callable[[str], StageFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done("coarse")
    real, root = os.open, tmp_path / "results"

    def read_only(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if str(path).startswith(str(root)) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(30, "Read-only file system", str(path))
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", read_only)
    for command in (["status"], ["logs", "coarse-seed1"], ["show", "coarse-seed1"], ["stop", "small"]):
        assert toolrl(*command).code == 0, command


def test_logs_are_prefixed_with_position_and_kind_and_progress_bars_are_one_line(
    toolrl: Toolrl, done: Callable[[str], StageFolder]
) -> None:
    rl = done("coarse")
    (rl.attempt(1) / "log.txt").write_bytes(b"one\n 10%\r 50%\r100%\ntwo\r\nhalf a li")
    rows = [r for r in toolrl("logs", "coarse-seed1").out.splitlines() if r.startswith("[3-rl]")]
    assert rows == ["[3-rl] one", "[3-rl] 100%", "[3-rl] two", "[3-rl] half a li"]
    assert toolrl("logs", "coarse-seed1", "--stage", "rl", "-n", "2").out == "two\nhalf a li\n"


def test_what_a_cluster_wrote_of_a_job_is_shown_after_the_attempt_s_own_log(
    toolrl: Toolrl, done: Callable[[str], StageFolder]
) -> None:
    rl = done("coarse")
    beside = rl.attempt(1) / "slurm.txt"
    beside.write_text("slurmstepd: oom-kill\n")
    rewrite(rl, launcher={"kind": "slurm", "job": "7", "log": str(beside)})
    (rl.attempt(1) / "log.txt").write_text("one\n")
    assert toolrl("logs", "coarse-seed1", "--stage", "rl").out == "one\nslurmstepd: oom-kill\n"
    (rl.attempt(1) / "log.txt").unlink()
    assert toolrl("logs", "coarse-seed1", "--stage", "rl").out == "slurmstepd: oom-kill\n"


def test_the_last_lines_are_those_of_all_stages_together_and_a_pipe_gets_no_colours(
    toolrl: Toolrl, done: Callable[[str], StageFolder]
) -> None:
    folder = done("coarse")
    (folder.attempt(1) / "log.txt").write_bytes(b"\x1b[36m(pid=1)\x1b[0m one\n" * 30)
    (evaluation,) = (
        f for f in Ledger(Path("results")).folders() if f.kind == "evaluate" and "coarse" in f.id
    )
    (evaluation.attempt(1) / "log.txt").write_text("scored\n" * 3)
    everything = toolrl("logs", "coarse-seed1").out
    rows = toolrl("logs", "coarse-seed1", "-n", "20").out.splitlines()
    assert rows == everything.splitlines()[-20:]
    assert rows[-1].endswith("scored") and "\x1b" not in everything and "(pid=1) one" in everything


def test_a_line_that_is_being_written_is_not_shown_yet(
    toolrl: Toolrl, done: Callable[[str], StageFolder], tmp_path: Path
) -> None:
    rl = done("coarse")
    (rl.attempt(1) / "log.txt").write_bytes(b"one\ntwo\nhalf a li")
    at_work(tmp_path, rl)
    assert toolrl("logs", "coarse-seed1", "--stage", "rl").out == "one\ntwo\n"
    assert toolrl("logs", "coarse-seed1", "--stage", "rl", "-n", "1").out == "two\n"


@pytest.mark.parametrize("attempt", ["2", "0", "-1"])
def test_logs_of_an_attempt_that_never_was_are_refused(
    toolrl: Toolrl, done: Callable[[str], StageFolder], attempt: str
) -> None:
    done("coarse")
    answer = toolrl("logs", "coarse-seed1", "--attempt", attempt)
    assert (answer.code, answer.out) == (2, "")
    if attempt == "2":
        assert "--attempt: run 'coarse-seed1' has no attempt 2 (the last is 1)" in answer.err


def test_the_last_lines_of_a_long_log_are_found_across_blocks(
    toolrl: Toolrl, done: Callable[[str], StageFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    rl = done("coarse")
    (rl.attempt(1) / "log.txt").write_text("".join(f"line {n}\n" for n in range(1000)))
    monkeypatch.setattr(logs_command, "BLOCK", 7)
    rows = toolrl("logs", "coarse-seed1", "--stage", "rl", "-n", "30").out.splitlines()
    assert rows == [f"line {n}" for n in range(970, 1000)]
    assert len(toolrl("logs", "coarse-seed1", "--stage", "rl", "-n", "5000").out.splitlines()) == 1000


def test_following_shows_the_end_of_an_attempt_and_the_next_one_and_ends_with_the_stage(
    toolrl: Toolrl, done: Callable[[str], StageFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rl = done("coarse")
    at_work(tmp_path, rl)
    first, second = rl.attempt(1) / "log.txt", rl.attempt(2) / "log.txt"
    first.write_text("step 1\n")
    turns = iter(range(10))

    def sleep(seconds: float) -> None:
        turn = next(turns)
        if turn == 0:  # both between two looks: the last words, and the next attempt
            with first.open("a") as file:
                file.write("last words\n")
            second.parent.mkdir()
            second.write_text("again\n")
        if turn == 1:
            with second.open("a") as file:
                file.write("done\n")
            rewrite(rl, status="succeeded")

    monkeypatch.setattr(logs_command.time, "sleep", sleep)
    answer = toolrl("logs", "coarse-seed1", "--stage", "rl", "-f")
    assert answer.out.splitlines() == ["step 1", "last words", "again", "done"]
    assert answer.code == 0


def test_following_ends_when_nothing_runs_and_no_harness_is_there(
    toolrl: Toolrl, done: Callable[[str], StageFolder]
) -> None:
    rewrite(done("coarse"), status="failed", failure={"class": "oom", "message": "x"})
    finished: list[int] = []
    thread = threading.Thread(target=lambda: finished.append(toolrl("logs", "coarse-seed1", "-f").code))
    thread.start()
    thread.join(20)
    assert finished == [0]


def test_a_run_that_wrote_nothing_yet_says_so(toolrl: Toolrl, sweep_file: Path) -> None:
    toolrl("sweep", "small.yaml", "--only", "raw")
    answer = toolrl("logs", "coarse-seed1", "--stage", "rl")
    assert (answer.code, answer.out) == (0, "")
    assert answer.err == "coarse-seed1: nothing has been written yet\n"


def test_show_tells_spec_command_attempts_failure_versions_and_sizes(
    toolrl: Toolrl, done: Callable[[str], StageFolder]
) -> None:
    rl = done("coarse")
    record = {"n": 1, "status": "failed", "started": 100.0, "ended": 220.0}
    failure = {"class": "oom", "message": "CUDA out of memory", "hint": "use a smaller micro-batch"}
    rewrite(rl, status="failed", failure=failure, attempts=[{**record, "failure": failure}])
    (rl.path / "checkpoints").mkdir(exist_ok=True)
    (rl.path / "checkpoints" / "shard").write_bytes(b"x" * 2_500_000)
    said = toolrl("show", "coarse-seed1").out
    stage = said.partition("\nrl ")[2].partition("\n\n")[0]
    assert "size      2.5 MB (checkpoints 2.5 MB)" in stage
    for setting in ('algorithm "grpo"', "seed 1", 'precision "fp32"', 'reward.name "coarse"', "rl.prompts 8"):
        assert setting in stage
    assert "attempt 1 failed in 2 min, oom: CUDA out of memory (use a smaller micro-batch)" in stage
    assert "toolrl_cli.attempt.execution" in stage and "verl 0.9.1" in stage
    document = toolrl("show", "coarse-seed1", "--json").json["stages"][2]
    assert document["sizes"]["checkpoints"] >= 2_500_000
    assert document["bytes"] == sum(document["sizes"].values())


def test_a_run_is_shown_although_another_sweeps_plan_is_torn(
    toolrl: Toolrl, done: Callable[[str], StageFolder], tmp_path: Path
) -> None:
    done("coarse")
    torn = tmp_path / "results/sweeps/torn/plan.json"
    torn.parent.mkdir()
    torn.touch()
    assert toolrl("show", "coarse-seed1").code == 0
    assert toolrl("logs", "coarse-seed1").code == 0
    nowhere = toolrl("show", "nowhere-seed1")
    assert nowhere.code == 2
    assert f"{torn}: the plan is missing or torn" in nowhere.err


def test_a_stage_that_cannot_be_read_hides_no_other(
    toolrl: Toolrl, done: Callable[[str], StageFolder]
) -> None:
    rl = done("coarse")
    (rl.path / "state.json").unlink()
    (
        rl.path / "state.json"
    ).mkdir()  # as when the disk reports a fault, or another user's file may not be read
    why = "state.json cannot be read (Is a directory)"
    title, _, *rows = toolrl("status", "small").out.splitlines()
    assert title == "small: 8 of 9 stages done, no harness at work"
    assert rows[1].split(maxsplit=4) == ["coarse-seed1", "3/5", "rl", "unreadable", why]
    assert rows[2].split() == ["original-seed1", "5/5", "succeeded", "1"]
    (stage,) = (s for s in toolrl("status", "small", "--json").json["stages"] if s["id"] == rl.id)
    assert (stage["status"], stage["owed"], stage["failure"]["message"]) == ("unreadable", True, why)
    assert f"{rl.id}: unreadable" in (said := toolrl("show", "coarse-seed1").out) and why in said
    assert toolrl("logs", "coarse-seed1").code == 0
    stopped = toolrl("stop", "small")
    assert stopped.err.splitlines()[0] == f"{rl.id}: left alone; it cannot be read: Is a directory"
    refused = toolrl("resume", "small")
    assert (refused.code, refused.err.count("\n")) == (2, 1)


def test_a_later_versions_plan_is_told_from_a_torn_one(
    toolrl: Toolrl, done: Callable[[str], StageFolder], tmp_path: Path
) -> None:
    done("coarse")
    path = tmp_path / "results/sweeps/small/plan.json"
    path.write_text(json.dumps({"schema": 9}))
    answer = toolrl("status")
    assert answer.code == 2
    assert "plan.json is of schema 9" in answer.err
    assert "a later version wrote it" in answer.err


def test_stop_leaves_another_sweeps_attempt_alone_and_says_why(
    toolrl: Toolrl, sweep_file: Path, done: Callable[[str], StageFolder], tmp_path: Path
) -> None:
    rl = done("coarse")
    at_work(tmp_path, rl)
    small = tmp_path / "results/sweeps/small"
    other = SweepFolder(tmp_path / "results", "other").path
    other.mkdir()
    (other / "plan.json").write_text((small / "plan.json").read_text())
    (small / "harnesses").rename(other / "harnesses")
    answer = toolrl("stop", "small")
    assert answer.code == 0
    assert answer.err.splitlines() == [
        f"{rl.id}: left alone; sweep other needs it too and is running",
        "small: nothing else runs",
    ]


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_sweep_says_which_slot_it_waits_for_and_who_holds_it(
    toolrl: Toolrl, sweep_file: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    taken = SlotLocks("sweep other in /data").take(["cpu0"])
    assert taken is not None
    look = SlotLocks.elsewhere

    def look_and_let_go(locks: SlotLocks, slots: Iterable[str]) -> dict[str, str]:
        found = look(locks, slots)
        while taken:
            os.close(taken.popitem()[1])
        return found

    monkeypatch.setattr(SlotLocks, "elsewhere", look_and_let_go)
    on_cpu = ["--set", "base.resources.device=cpu", "--max-parallel", "1"]
    answer = toolrl("sweep", "small.yaml", "--only", "raw", *on_cpu, *options)
    assert answer.code == 0, answer.err
    assert "waiting: for CPU slot 0, held by sweep other in /data\n" in answer.err


def test_a_sweep_that_ends_short_says_how_to_go_on(
    toolrl: Toolrl, sweep_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_FAILS", "grpo-tiny-coarse")
    answer = toolrl("sweep", "small.yaml")
    assert (
        "small: 1 failed, 2 blocked; `toolrl resume small` goes on from here; `toolrl sweep` takes what you have"
        in answer.err
    )
