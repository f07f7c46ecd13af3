"""One attempt on a slot of this machine, with real processes and files."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.stages import ROOT, Stages, eventually
from toolrl_cli.errors import LaunchError
from toolrl_cli.harness.launcher import LaunchRequest
from toolrl_cli.harness.launchers.local import LocalLauncher
from toolrl_cli.processes import slot_locks
from toolrl_cli.processes.gpus import lock_names
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.processes.slot_locks import HeldSlots, Holder, SlotLocks, slots_folder
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.progress.metrics import merge_metrics

LISTING = """GPU 0: NVIDIA H200 (UUID: GPU-5b1c)
  MIG 1g.18gb     Device  0: (UUID: MIG-90aa)
GPU 1: NVIDIA H200 (UUID: GPU-77aa)
"""


def close(taken: dict[str, int] | None) -> None:
    assert taken is not None
    for descriptor in taken.values():
        os.close(descriptor)


def test_a_taken_slot_is_nobody_elses_until_it_is_let_go(tmp_path: Path) -> None:
    mine, others = SlotLocks("sweep a", tmp_path), SlotLocks("sweep b", tmp_path)
    taken = mine.take(["0"])
    assert others.take(["0"]) is None
    assert others.elsewhere(["0", "1"]) == {"0": "sweep a"}
    close(taken)
    assert others.elsewhere(["0"]) == {}
    close(others.take(["0"]))


def test_several_slots_are_taken_together_or_not_at_all(tmp_path: Path) -> None:
    mine, others = SlotLocks("sweep a", tmp_path), SlotLocks("sweep b", tmp_path)
    taken = mine.take(["1"])
    assert others.take(["0", "1"]) is None
    close(mine.take(["0"]))  # nothing of it was kept
    close(taken)


def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    locks = SlotLocks("sweep a", tmp_path)
    close(locks.take(["0"]))
    monkeypatch.setattr(slot_locks.fcntl, "flock", refuse)
    for look in (locks.take, locks.elsewhere):
        with pytest.raises(LaunchError, match=r"0: slot cannot be locked: No locks.*TOOLRL_SLOTS"):
            look(["0"])


def test_a_lock_file_that_was_tidied_up_locks_again(tmp_path: Path) -> None:
    locks = SlotLocks("sweep a", tmp_path)
    close(locks.take(["0"]))
    (tmp_path / "0").unlink()
    taken = locks.take(["0"])
    assert SlotLocks("sweep b", tmp_path).take(["0"]) is None
    close(taken)


def test_a_lock_file_that_is_tidied_up_just_as_it_is_locked_locks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, tidied = slot_locks.fcntl.flock, []

    def tidied_up_first(descriptor: int, how: int) -> None:
        if not tidied:
            (tmp_path / "0").unlink()
            tidied.append(descriptor)
        lock(descriptor, how)

    monkeypatch.setattr(slot_locks.fcntl, "flock", tidied_up_first)
    taken = SlotLocks("sweep a", tmp_path).take(["0"])
    assert SlotLocks("sweep b", tmp_path).take(["0"]) is None
    close(taken)


def test_a_name_with_a_slash_is_a_file_like_any_other(tmp_path: Path) -> None:
    close(SlotLocks("sweep a", tmp_path).take(["MIG-GPU-5b1c/1/0"]))
    assert [path.name for path in tmp_path.iterdir()] == ["MIG-GPU-5b1c_1_0"]


@pytest.mark.parametrize("content", [b"", b'{"by": "sw', b"[1]", b"\xff"])
def test_a_torn_note_costs_only_the_name(tmp_path: Path, content: bytes) -> None:
    taken = SlotLocks("sweep a", tmp_path).take(["0"])
    (tmp_path / "0").write_bytes(content)
    others = SlotLocks("sweep b", tmp_path)
    assert others.elsewhere(["0"]) == {"0": "another attempt"}
    close(taken)
    close(others.take(["0"]))


def test_a_folder_that_cannot_be_used_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LaunchError, match=r"slots cannot be locked.*TOOLRL_SLOTS"):
        SlotLocks("sweep a", tmp_path / "file")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(LaunchError, match="not a folder of yours"):
        SlotLocks("sweep a", theirs)


def test_the_folder_is_the_users_and_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLRL_SLOTS", str(tmp_path))
    assert slots_folder() == tmp_path
    monkeypatch.delenv("TOOLRL_SLOTS")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert slots_folder() == Path(f"/tmp/toolrl-{os.getuid()}/slots")


def test_a_gpu_has_one_name_whatever_it_was_chosen_by() -> None:
    assert lock_names(["0", "GPU-77", "MIG-90aa"], LISTING) == {
        "0": "GPU-5b1c",
        "GPU-77": "GPU-77aa",
        "MIG-90aa": "MIG-90aa",
    }
    assert lock_names(["3"], "") == {"3": "GPU 3"}


def test_what_a_dead_attempt_left_running_is_ended_before_its_slot_is_used_again(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    process = ProcessId.of(dead.pid)
    dead.kill()
    dead.wait()
    assert process is not None
    mark = f"rl-x/1/{os.urandom(8).hex()}"
    orphan = subprocess.Popen(
        [sys.executable, "-S", "-c", "import time; time.sleep(60)"], env={"TOOLRL_ATTEMPT": mark}
    )
    try:
        with (tmp_path / "0").open("wb") as file:
            Holder("sweep a", process, "rl-x", mark).write(file.fileno())
        close(SlotLocks("sweep b", tmp_path).take(["0"]))
        assert orphan.wait(5) == -signal.SIGKILL
    finally:
        orphan.kill()
        orphan.wait()


def test_an_attempt_in_good_order_leaves_nobody_to_look_for(tmp_path: Path) -> None:
    taken = SlotLocks("sweep a", tmp_path).take(["0"])
    assert taken is not None
    for descriptor in taken.values():
        os.set_inheritable(descriptor, True)  # as an attempt finds them
    held = HeldSlots(taken.values())
    assert not any(os.get_inheritable(descriptor) for descriptor in taken.values())
    held.sign("rl-x", "mark")
    signed = Holder.read(taken["0"])
    assert signed == Holder("sweep a", ProcessId.current(), "rl-x", "mark")
    assert str(signed) == "sweep a"
    os.utime(tmp_path / "0", (1.0, 1.0))
    held.touch()
    assert (tmp_path / "0").stat().st_mtime > 1.0
    held.clear()
    assert (tmp_path / "0").read_bytes() == b""
    close(taken)


def test_the_attempt_has_the_slot_once_its_harness_has_let_go(
    tmp_path: Path, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    launcher = LocalLauncher(["cpu0"], locks=SlotLocks("sweep a", tmp_path / "slots"))
    others = LocalLauncher(["cpu0"], locks=SlotLocks("sweep b", tmp_path / "slots"))
    folder = Ledger(tmp_path).folder(stages("a"))
    folder.attempt(1).mkdir(parents=True)
    with launcher.reserved(["cpu0"]) as reserved:
        assert reserved
        # without a state that names it, the attempt waits for nothing and ends; a sleeping one stands in
        request = Sleeping(folder.path, stages("a"), 1, ("cpu0",), ProcessId.current())
        handle = launcher.submit(request)
    assert others.elsewhere(["cpu0"]) == {"cpu0": "sweep a"}
    with others.reserved(["cpu0"]) as reserved:
        assert not reserved
    launcher.cancel(handle, kill=True)
    eventually(lambda: not launcher.poll([handle])[0].alive)
    with others.reserved(["cpu0"]) as reserved:
        assert reserved


def test_one_gpu_under_two_of_its_names_is_one_slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!{sys.executable} -S\nprint({LISTING!r})\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    everything = LocalLauncher.detect(locks=SlotLocks("sweep a", tmp_path / "slots"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-77aa")
    second = LocalLauncher.detect(locks=SlotLocks("sweep b", tmp_path / "slots"))
    assert (everything.slots, second.slots) == (("0", "1"), ("GPU-77aa",))
    with second.reserved(["GPU-77aa"]) as reserved:
        assert reserved
        assert everything.elsewhere(["0", "1"]) == {"1": "sweep b"}
    assert everything.elsewhere(["0", "1"]) == {}


class Sleeping(LaunchRequest):
    def argv(self, python: str = sys.executable) -> list[str]:
        return [python, "-S", "-c", "import time; time.sleep(60)"]


class Sweep:
    """A harness process with a results root of its own, and slots that it shares."""

    def __init__(self, folder: Path, name: str, stages: Stages, count: int, slots: Path) -> None:
        self.name, self.slots = name, slots
        self.folder = folder / name
        self.folder.mkdir()
        self.ledger = Ledger(self.folder / "results")
        config = {"step_seconds": 0.05}
        self.specs = [stages(f"{name}{n}", "rl", total_steps=3, config=config) for n in range(count)]
        (self.folder / "graph.json").write_text(json.dumps([spec.to_json() for spec in self.specs]))

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "tests.support.harness", str(self.ledger.results)]
        argv += [str(self.folder / "graph.json"), "1", "--locks", str(self.slots), "--sweep", self.name]
        with (self.folder / "log.txt").open("ab") as log:
            return subprocess.Popen([*argv, *more], cwd=ROOT, stdout=log, stderr=log)

    def log(self) -> str:
        return (self.folder / "log.txt").read_text()

    def spans(self) -> list[tuple[float, float]]:
        states = [self.ledger.read(spec) for spec in self.specs]
        return [(a.started or 0.0, a.ended or 0.0) for state in states for a in state.attempts]


def wait(*harnesses: subprocess.Popen[bytes]) -> list[int]:
    try:
        return [harness.wait(timeout=120) for harness in harnesses]
    finally:
        for harness in harnesses:
            harness.kill()
            harness.wait()


def test_two_sweeps_with_results_roots_of_their_own_are_never_on_one_slot_at_once(
    tmp_path: Path, stages: Stages
) -> None:
    sweeps = [Sweep(tmp_path, name, stages, 3, tmp_path / "slots") for name in ("one", "two")]
    assert wait(*[sweep.start() for sweep in sweeps]) == [0, 0]
    spans = sorted(span for sweep in sweeps for span in sweep.spans())
    assert len(spans) == 6
    assert all(ended <= started for (_, ended), (started, _) in itertools.pairwise(spans))
    told = "".join(sweep.log() for sweep in sweeps)
    assert "waiting  for CPU slot 0, held by sweep " in told
    assert stages.processes() == []


def test_an_attempt_whose_harness_was_killed_keeps_its_slot_and_kill_9_of_it_frees_it(
    tmp_path: Path, stages: Stages
) -> None:
    first = Sweep(tmp_path, "first", stages, 1, tmp_path / "slots")
    second = Sweep(tmp_path, "second", stages, 1, tmp_path / "slots")
    harness = first.start("--function", "sleep")
    eventually(lambda: first.ledger.read(first.specs[0]).status == "running")
    harness.kill()
    harness.wait()
    other = second.start()
    try:
        eventually(lambda: "held by sweep first" in second.log())
        time.sleep(1.5)
        assert second.ledger.read(second.specs[0]).attempt == 0
        os.kill(first.ledger.read(first.specs[0]).launcher["pid"], signal.SIGKILL)
        assert other.wait(timeout=60) == 0
    finally:
        wait(other)
    assert [row["step"] for row in merge_metrics(second.ledger.folder(second.specs[0]).path)] == [1, 2, 3]


def test_of_many_harnesses_killed_at_random_none_leaves_a_slot_behind(tmp_path: Path, stages: Stages) -> None:
    sweep = Sweep(tmp_path, "often", stages, 2, tmp_path / "slots")
    for pause in (0.2, 0.3, 0.4, 0.5, 0.6):
        harness = sweep.start()
        time.sleep(pause)
        harness.kill()
        harness.wait()
    assert wait(sweep.start()) == [0]
    assert all(sweep.ledger.read(spec).status == "succeeded" for spec in sweep.specs)
    assert SlotLocks("sweep x", tmp_path / "slots").elsewhere(["cpu0"]) == {}


def test_what_a_holder_that_cannot_be_seen_from_here_has_started_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    elsewhere = dataclasses.replace(ProcessId.current(), host="elsewhere", boot="other")
    monkeypatch.setattr(slot_locks, "kill", lambda _: pytest.fail("ended them"))
    Holder("a sweep", elsewhere, "stage", "mark").end_orphans()
