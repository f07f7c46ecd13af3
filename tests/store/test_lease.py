from __future__ import annotations

import dataclasses
import errno
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.stages import dead_process, leave_lease
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.store import lease as leases
from toolrl_cli.store.lease import LeaseHeld, LeaseInfo, take

ROOT = Path(__file__).parents[2]


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_lease_says_who_has_it_in_plain_json(tmp_path: Path) -> None:
    with take(tmp_path, purpose="attempt", attempt=3, launcher={"kind": "local"}):
        said = json.loads((tmp_path / "lease").read_text())
    assert said["owner"]["pid"] == os.getpid()
    assert said["attempt"] == 3
    assert abs(said["heartbeat"] - time.time()) < 60


def test_a_released_lease_leaves_nothing(tmp_path: Path) -> None:
    take(tmp_path, purpose="attempt").release()
    assert names(tmp_path) == []


def test_a_live_owner_keeps_its_lease(tmp_path: Path) -> None:
    with (
        take(tmp_path, purpose="attempt", attempt=2),
        pytest.raises(LeaseHeld, match=r"runs attempt 2") as caught,
    ):
        take(tmp_path, purpose="launch")
    assert caught.value.alive is True


def test_the_lease_of_a_dead_owner_is_taken_over(tmp_path: Path) -> None:
    leave_lease(tmp_path, dead_process())
    with take(tmp_path, purpose="attempt") as lease:
        assert lease.mine()
        assert names(tmp_path) == ["lease"]


def test_an_owner_that_cannot_be_seen_keeps_its_lease(tmp_path: Path) -> None:
    leave_lease(tmp_path, dataclasses.replace(ProcessId.current(), host="elsewhere", boot="other"))
    with pytest.raises(LeaseHeld, match="as far as can be seen") as caught:
        take(tmp_path, purpose="launch")
    assert caught.value.alive is None


@pytest.mark.parametrize("verdict", [True, None])
def test_the_launcher_is_believed_about_owners_elsewhere(tmp_path: Path, verdict: bool | None) -> None:
    leave_lease(tmp_path, dataclasses.replace(ProcessId.current(), host="elsewhere", boot="other"))
    with pytest.raises(LeaseHeld):
        take(tmp_path, purpose="launch", alive=lambda info: verdict)
    with take(tmp_path, purpose="launch", alive=lambda info: False) as lease:
        assert lease.mine()


def test_a_clock_set_back_takes_no_lease_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with take(tmp_path, purpose="attempt") as lease:
        monkeypatch.setattr(time, "time", lambda: 1.0e9)
        assert lease.beat()
        with pytest.raises(LeaseHeld):
            take(tmp_path, purpose="launch")


def test_a_heartbeat_changes_nothing_else_in_the_file(tmp_path: Path) -> None:
    with take(tmp_path, purpose="attempt") as lease:
        before = json.loads((tmp_path / "lease").read_text())
        time.sleep(0.002)
        assert lease.beat()
        after = json.loads((tmp_path / "lease").read_text())
    assert after.pop("heartbeat") > before.pop("heartbeat")
    assert after == before


def test_an_owner_that_lost_its_lease_is_told_so_and_touches_nothing(tmp_path: Path) -> None:
    lease = take(tmp_path, purpose="attempt")
    (tmp_path / "lease").unlink()
    leave_lease(tmp_path, ProcessId.current(), token="successor")
    content = (tmp_path / "lease").read_bytes()
    assert not lease.mine()
    assert lease.beat() is False
    lease.release()
    assert (tmp_path / "lease").read_bytes() == content


def test_a_taker_that_died_half_way_is_itself_taken_over(tmp_path: Path) -> None:
    leave_lease(tmp_path, dead_process(), token="t1")
    leave_lease(tmp_path, dead_process(), token="t2", name="lease.t1")
    leave_lease(tmp_path, dead_process(), token="t3", name="lease.t2")
    with take(tmp_path, purpose="attempt") as lease:
        assert lease.mine()
        assert names(tmp_path) == ["lease"]


def test_a_live_taker_that_is_half_way_counts_as_the_owner(tmp_path: Path) -> None:
    leave_lease(tmp_path, dead_process(), token="t1")
    leave_lease(tmp_path, ProcessId.current(), token="t2", name="lease.t1")
    with pytest.raises(LeaseHeld) as caught:
        take(tmp_path, purpose="launch")
    assert caught.value.info.token == "t2"


def test_a_taker_that_slept_cannot_take_a_lease_that_was_taken_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_lease(tmp_path, dead_process(), token="t1")
    create = leases._create
    faster: list[leases.Lease] = []

    def sleep_first(path: Path, info: LeaseInfo) -> bool:
        if path.name == "lease.t1" and not faster:
            monkeypatch.setattr(leases, "_create", create)
            faster.append(take(tmp_path, purpose="attempt", attempt=7))
        return create(path, info)

    monkeypatch.setattr(leases, "_create", sleep_first)
    with pytest.raises(LeaseHeld, match="attempt 7"):
        take(tmp_path, purpose="attempt", attempt=8)
    assert faster[0].mine()
    faster[0].release()
    assert names(tmp_path) == []


def test_a_lease_that_names_nobody_is_left_alone_until_nobody_can_still_be_writing_it(tmp_path: Path) -> None:
    (tmp_path / "lease").write_bytes(b"")
    with pytest.raises(LeaseHeld) as caught:
        take(tmp_path, purpose="launch")
    assert caught.value.alive is None
    os.utime(tmp_path / "lease", (time.time() - 120, time.time() - 120))
    with take(tmp_path, purpose="launch") as lease:
        assert lease.mine()


def test_a_file_system_without_hard_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    leave_lease(tmp_path, dead_process())
    with take(tmp_path, purpose="attempt") as lease:
        assert lease.mine()
        with pytest.raises(LeaseHeld):
            take(tmp_path, purpose="launch")
    assert names(tmp_path) == []


def test_a_lease_whose_making_was_answered_late_is_ours_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def repeated(source: Path, target: Path) -> None:
        """NFS: the answer is lost, the client asks again, and the server finds the link there."""
        link(source, target)
        raise FileExistsError(errno.EEXIST, "File exists", str(target))

    monkeypatch.setattr(os, "link", repeated)
    with take(tmp_path, purpose="attempt") as lease:
        assert lease.mine()
        with monkeypatch.context() as patch:
            patch.setattr(os, "link", link)
            with pytest.raises(LeaseHeld):
                take(tmp_path, purpose="launch")
    assert names(tmp_path) == []


CONTENDER = """
import os, random, sys, time
from pathlib import Path
from toolrl_cli.store.lease import LeaseHeld, take
from toolrl_cli.processes.process_id import ProcessId

folder, marker, dice = Path(sys.argv[1]), Path(sys.argv[2]), random.Random(int(sys.argv[3]))
end = time.monotonic() + 60
while time.monotonic() < end:
    try:
        lease = take(folder, purpose="attempt")
    except LeaseHeld:
        continue
    inside = marker.read_text() if marker.exists() else ""
    if inside and ProcessId.of(int(inside)) is not None:
        print(f"{inside} and {os.getpid()} both have it", flush=True)
        os._exit(1)
    marker.write_text(str(os.getpid()))
    if dice.random() < 0.3:
        os.kill(os.getpid(), 9)
    time.sleep(dice.random() / 500)
    marker.unlink()
    lease.release()
"""


def test_of_many_takers_that_are_killed_at_random_never_two_have_the_lease(tmp_path: Path) -> None:
    folder = tmp_path / "stage"
    folder.mkdir()
    dice = random.Random(7)
    takers: list[subprocess.Popen[str]] = []

    def start() -> None:
        argv = [
            sys.executable,
            "-c",
            CONTENDER,
            str(folder),
            str(tmp_path / "inside"),
            str(dice.random())[2:12],
        ]
        takers.append(subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True))

    deaths = 0
    try:
        for _ in range(4):
            start()
        while deaths < 40:
            time.sleep(0.01)
            if dice.random() < 0.2:
                dice.choice(takers).kill()
            for taker in [taker for taker in takers if taker.poll() is not None]:
                said = taker.communicate()[0]
                assert taker.returncode == -9, said
                takers.remove(taker)
                deaths += 1
                start()
    finally:
        for taker in takers:
            taker.kill()
            taker.communicate()
    with take(folder, purpose="attempt"):
        assert names(folder) == ["lease"]
