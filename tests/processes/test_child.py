from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from toolrl_cli.processes.child import ChildFailed, ChildStopped, importable, program_name, run_child
from toolrl_cli.processes.process_id import ProcessId

ROOT = Path(__file__).parents[2]
PYTHON = [sys.executable, "-S", "-c"]


def pid_in(path: Path, seconds: float = 10.0) -> ProcessId:
    """The process that writes its pid there."""
    deadline = time.monotonic() + seconds
    while not (path.exists() and path.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process = ProcessId.of(int(path.read_text()))
    assert process is not None
    return process


def gone(process: ProcessId, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while process.alive():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def writes_pid(path: Path, first: str = "0") -> str:
    """Code that does `first`, then says who it is, then runs on."""
    return "\n".join(
        [
            "import os, pathlib, signal, time",
            first,
            f"pathlib.Path({str(path)!r}).write_text(str(os.getpid()))",
            "time.sleep(60)",
        ]
    )


def starts_apart(code: str) -> str:
    """Code that starts `code` in a session of its own and does not wait for it."""
    return f"import subprocess, sys; subprocess.Popen([sys.executable, '-S', '-c', {code!r}], start_new_session=True)"


def test_output_and_environment_are_the_childs(capfd: pytest.CaptureFixture[str]) -> None:
    run_child([*PYTHON, "import os; print('hello', os.environ['X'])"], env={"X": "y"})
    assert capfd.readouterr().out == "hello y\n"


@pytest.mark.parametrize(
    ("code", "returncode"),
    [("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", -9), ("import os; os.abort()", -6)],
)
def test_the_way_a_child_ended_is_told_exactly(code: str, returncode: int) -> None:
    with pytest.raises(ChildFailed) as caught:
        run_child([*PYTHON, code])
    assert caught.value.returncode == returncode


def test_a_program_that_does_not_exist_fails_with_the_shells_status(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ChildFailed) as caught:
        run_child(["/no/such/program"])
    assert caught.value.returncode == 127
    assert "/no/such/program: No such file or directory" in capfd.readouterr().err


def test_a_child_is_called_as_its_caller_calls_it() -> None:
    with pytest.raises(ChildFailed, match="verl ended with status 3"):
        run_child([*PYTHON, "raise SystemExit(3)"], name="verl")


def test_a_stop_ends_the_child_with_sigterm(tmp_path: Path) -> None:
    ready = tmp_path / "pid"
    with pytest.raises(ChildStopped):
        run_child([*PYTHON, writes_pid(ready)], stop_requested=ready.exists)


def test_a_child_that_ends_well_when_it_is_asked_to_stop_has_ended_well(tmp_path: Path) -> None:
    ready = tmp_path / "pid"
    run_child(
        [*PYTHON, writes_pid(ready, "signal.signal(15, lambda *_: os._exit(0))")], stop_requested=ready.exists
    )


def test_a_child_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    ready = tmp_path / "pid"
    began = time.monotonic()
    with pytest.raises(ChildStopped):
        run_child(
            [*PYTHON, writes_pid(ready, "signal.signal(15, signal.SIG_IGN)")],
            stop_requested=ready.exists,
            grace=0.3,
        )
    assert time.monotonic() - began < 5


def test_what_a_child_leaves_running_is_ended(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    wait = f"import os, time\nwhile not os.path.exists({str(file)!r}): time.sleep(0.01)"
    run_child([*PYTHON, f"{starts_apart(writes_pid(file))}\n{wait}"])
    assert ProcessId.of(int(file.read_text())) is None


def test_what_passes_through_the_caller_leaves_nothing_of_the_tree_behind(tmp_path: Path) -> None:
    child_file, grandchild_file = tmp_path / "child", tmp_path / "grandchild"
    child = writes_pid(child_file, starts_apart(writes_pid(grandchild_file)))
    started: list[ProcessId] = []

    def interrupted() -> bool:
        if child_file.exists() and grandchild_file.exists():
            started.extend(pid_in(file) for file in (child_file, grandchild_file))
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        run_child([*PYTHON, child], stop_requested=interrupted)
    assert len(started) == 2 and all(gone(process) for process in started)


@pytest.mark.parametrize("victim", ["caller", "guard"])
def test_a_child_and_its_children_die_with_the_caller_and_with_the_guard(tmp_path: Path, victim: str) -> None:
    child_file, grandchild_file = tmp_path / "child", tmp_path / "grandchild"
    child = writes_pid(child_file, starts_apart(writes_pid(grandchild_file)))
    call = (
        f"import sys; from toolrl_cli.processes.child import run_child; run_child([*{PYTHON!r}, {child!r}])"
    )
    caller = subprocess.Popen([sys.executable, "-c", call], cwd=ROOT, stderr=subprocess.DEVNULL)
    processes = [pid_in(child_file), pid_in(grandchild_file)]
    guard = int(Path(f"/proc/{processes[0].pid}/stat").read_text().split()[3])
    os.kill(caller.pid if victim == "caller" else guard, signal.SIGKILL)
    caller.wait()
    assert gone(processes[0])
    if victim == "caller":
        assert gone(processes[1])
    else:  # the child's own death is all that the kernel promises; a verl driver takes its Ray with it
        os.kill(processes[1].pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["/usr/bin/python3", "-m", "verl.trainer.main_ppo", "a=b"], "verl.trainer.main_ppo"),
        (["/usr/bin/python3", "-S", "/x/double.py", "--steps", "3"], "double.py"),
        (["torchrun", "--standalone"], "torchrun"),
    ],
)
def test_a_program_is_called_by_the_name_people_know(argv: list[str], name: str) -> None:
    assert program_name(argv) == name


def test_another_python_finds_toolrl_whatever_its_directory(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", "import toolrl_cli"],
        cwd=tmp_path,
        env=importable({}),
        capture_output=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 looks into the working directory first")
def test_a_users_file_named_as_a_module_is_not_taken_for_it(tmp_path: Path) -> None:
    for name in ("json", "torch", "datasets"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('this {name} is not the one')\n")
    argv = [sys.executable, "-m", "toolrl_cli.attempt.execution", "--help"]
    answer = subprocess.run(argv, cwd=tmp_path, env=importable(None), capture_output=True, check=False)
    assert answer.returncode == 0, answer.stderr
