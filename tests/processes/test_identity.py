from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.support.stages import eventually
from toolrl_cli.processes import process_id as identity
from toolrl_cli.processes.process_id import ProcessId


def test_a_process_finds_itself_alive() -> None:
    assert ProcessId.current().alive() is True


def test_an_identity_survives_json() -> None:
    me = ProcessId.current()
    assert ProcessId.from_json(me.to_json()) == me


@pytest.mark.parametrize("broken", [{}, {"pid": "x", "start_time": 1, "host": "a"}, {"pid": None}])
def test_anything_but_an_identity_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises((KeyError, ValueError, TypeError)):
        ProcessId.from_json(broken)


def test_an_ended_process_is_dead_even_while_nobody_has_waited_for_it() -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process = ProcessId.of(child.pid)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert ProcessId.of(child.pid) is None
    assert process is None or process.alive() is False
    child.wait()


def test_a_reused_pid_is_another_process() -> None:
    me = ProcessId.current()
    earlier = dataclasses.replace(me, start_time=me.start_time - 1)
    assert earlier.alive() is False


def test_a_clock_set_back_does_not_change_who_a_process_is(monkeypatch: pytest.MonkeyPatch) -> None:
    me = ProcessId.current()
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert ProcessId.current() == me
    assert me.alive() is True


def test_a_process_from_before_the_reboot_is_dead() -> None:
    assert dataclasses.replace(ProcessId.current(), boot="another-boot").alive() is False


def test_a_process_of_another_host_is_unknown_and_not_dead() -> None:
    there = dataclasses.replace(ProcessId.current(), boot="another-boot", host="elsewhere")
    assert there.alive() is None


def test_from_within_a_container_a_process_of_another_is_unknown_and_not_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(identity, "pid_namespace", lambda: "pid:[1]")
    assert dataclasses.replace(ProcessId.current(), namespace="pid:[2]").alive() is None


def test_from_the_machine_itself_a_container_s_process_is_seen_alive_and_dead() -> None:
    if identity.pid_namespace() != identity.MACHINE or shutil.which("unshare") is None:
        pytest.skip("this is a container, or unshare is missing")
    tell = (
        "import json, time; from toolrl_cli.processes.process_id import ProcessId; "
        "print(json.dumps(ProcessId.current().to_json()), flush=True); time.sleep(600)"
    )
    alone = ["unshare", "-Ur", "--fork", "--pid", "--mount-proc", "--kill-child"]
    with subprocess.Popen(
        [*alone, sys.executable, "-c", tell], stdout=subprocess.PIPE, text=True
    ) as container:
        assert container.stdout is not None
        said = container.stdout.readline()
        if not said:
            pytest.skip("namespaces are not permitted here")
        inside = ProcessId.from_json(json.loads(said))
        assert inside.namespace != identity.MACHINE and inside.pid < 100
        assert inside.alive() is True
        assert dataclasses.replace(inside, start_time=1.0).alive() is False
        container.kill()
    eventually(lambda: inside.alive() is False)


def test_a_renamed_host_still_knows_its_own_processes() -> None:
    assert dataclasses.replace(ProcessId.current(), host="before-dhcp").alive() is True


def test_without_a_boot_id_the_host_name_decides_whether_a_process_can_be_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(identity, "boot_id", lambda: "")
    me = ProcessId.current()
    assert me.boot == ""
    assert me.alive() is True
    assert dataclasses.replace(me, host="elsewhere").alive() is None


def test_a_command_name_with_spaces_and_parentheses_does_not_shift_the_fields(tmp_path) -> None:
    program = tmp_path / "a) b (c"
    program.symlink_to(sys.executable)
    child = subprocess.Popen([str(program), "-S", "-c", "input()"], stdin=subprocess.PIPE)
    try:
        fields = identity.stat_fields(child.pid)
        assert fields is not None
        assert int(fields[1]) == os.getpid()
    finally:
        child.communicate(b"\n")
