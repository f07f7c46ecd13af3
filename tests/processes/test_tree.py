from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.processes.tree import MARK_VARIABLE, descendants, kill, marked, send

SLEEP = "import time; time.sleep(60)"
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
FAMILY = f"import subprocess, sys; subprocess.Popen([sys.executable, '-S', '-c', '{SLEEP}']).wait()"


@pytest.fixture
def start() -> Iterator[object]:
    children: list[subprocess.Popen[bytes]] = []

    def begin(code: str, **rest: object) -> subprocess.Popen[bytes]:
        children.append(subprocess.Popen([sys.executable, "-S", "-c", code], **rest))  # type: ignore[call-overload]
        return children[-1]

    yield begin
    for child in children:
        kill(descendants(child.pid))
        child.kill()
        child.communicate()


def wait_for_descendants(pid: int, count: int) -> list[ProcessId]:
    deadline = time.monotonic() + 5
    while len(found := descendants(pid)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return found


def test_grandchildren_are_descendants_and_come_after_their_parents(start) -> None:
    child = start(FAMILY)
    (grandchild,) = wait_for_descendants(child.pid, 1)
    pids = [process.pid for process in descendants(os.getpid())]
    assert pids.index(child.pid) < pids.index(grandchild.pid)


def test_only_the_recorded_process_is_killed_and_not_one_that_has_its_pid_now(start) -> None:
    child = start(SLEEP)
    process = ProcessId.of(child.pid)
    assert process is not None
    kill([dataclasses.replace(process, start_time=process.start_time - 1)])
    assert child.poll() is None
    kill([process])
    assert child.wait() == -signal.SIGKILL


def test_a_process_never_kills_itself() -> None:
    assert kill([ProcessId.current()], wait=0.0) == []


def test_sigterm_comes_first_where_grace_is_given(start) -> None:
    child = start(SLEEP)
    process = ProcessId.of(child.pid)
    assert process is not None
    assert kill([process], grace=5.0) == []
    assert child.wait() == -signal.SIGTERM


def test_who_ignores_sigterm_gets_sigkill(start) -> None:
    child = start(DEAF, stdout=subprocess.PIPE)
    child.stdout.readline()
    process = ProcessId.of(child.pid)
    assert process is not None
    assert kill([process], grace=0.1) == []
    assert child.wait() == -signal.SIGKILL


def test_a_suspended_process_hears_sigterm_at_once(start) -> None:
    child = start(SLEEP)
    process = ProcessId.of(child.pid)
    assert process is not None
    send(process, signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED)
    send(process, signal.SIGTERM)
    assert child.wait(timeout=30) == -signal.SIGTERM


def test_a_signal_to_an_ended_process_reaches_nobody(start) -> None:
    child = start("")
    process = ProcessId.of(child.pid) or ProcessId(child.pid, 0.0, "")
    child.wait()
    assert send(process, signal.SIGTERM) is False


def test_a_marked_process_is_found_after_its_parents_have_died(start) -> None:
    mark = f"test/{os.getpid()}/{time.monotonic_ns()}"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-S', '-c', '{SLEEP}'], start_new_session=True)"
    parent = start(code, env={**os.environ, MARK_VARIABLE: mark})
    parent.wait()
    deadline = time.monotonic() + 5
    while not (found := marked(mark)):
        assert time.monotonic() < deadline
    assert [process.pid for process in found] != [parent.pid]
    assert kill(found) == []
    assert marked(mark) == []


def test_a_mark_that_only_begins_alike_is_another_one(start) -> None:
    mark = f"test/{os.getpid()}/1"
    child = start(SLEEP, env={**os.environ, MARK_VARIABLE: mark + "1"})
    deadline = time.monotonic() + 5
    while not marked(mark + "1"):
        assert time.monotonic() < deadline
    assert marked(mark) == []
    assert child.poll() is None


def test_a_signal_never_reaches_a_process_that_has_another_ones_pid(start) -> None:
    child = start(SLEEP)
    process = ProcessId.of(child.pid)
    assert process is not None
    earlier = dataclasses.replace(process, start_time=process.start_time - 1)
    assert not send(earlier, signal.SIGKILL)
    assert child.poll() is None and process.alive()
    assert send(process, signal.SIGKILL)
    assert child.wait(5) == -signal.SIGKILL
