"""A training's parts on other nodes, over a stand-in for `srun` that runs them on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stages import ROOT, eventually
from toolrl_cli.errors import StageError
from toolrl_cli.processes.child import ChildFailed, ChildStopped
from toolrl_cli.processes.nodes import NodeLost, Nodes
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.processes.tree import descendants
from toolrl_cli.training.cpu.forked import rank_environments
from toolrl_cli.training.nodes import parts as parts_module
from toolrl_cli.training.nodes.lifeline import Lifeline, join, wait_for_end
from toolrl_cli.training.nodes.parts import Parts
from toolrl_cli.training.nodes.spread import ray_flags

SRUN = Nodes(2, ("env", "SLURMD_NODENAME=n2"))
SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]


def ending(status: int, after: str = "") -> list[str]:
    return [sys.executable, "-S", "-c", f"import sys, time; {after or 'pass'}; sys.exit({status})"]


EARLIER = set[ProcessId]()


@pytest.fixture(autouse=True)
def earlier() -> None:
    """What other tests of this process keep, such as the one that runs users' rewards."""
    EARLIER.clear()
    EARLIER.update(descendants(os.getpid()))


def left() -> list[ProcessId]:
    return [process for process in descendants(os.getpid()) if process not in EARLIER]


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Parts:
    monkeypatch.setattr(parts_module, "JOINING", 20.0)
    monkeypatch.setattr(parts_module, "LAST_WORD", 2.0)
    return Parts(SRUN, lambda: False, tmp_path)


def test_a_part_knows_its_number_and_ends_with_the_trainer(parts: Parts, tmp_path: Path) -> None:
    told = tmp_path / "rank"
    words = f"import os, time; open({str(told)!r}, 'w').write(os.environ['PET_NODE_RANK']); time.sleep(60)"
    with parts:
        parts.start_there([sys.executable, "-S", "-c", words], os.environ)
        assert parts.lifeline.names == ["n2"]
        eventually(lambda: told.exists() and told.read_text() == "1")
        parts.run(ending(0), os.environ, "the trainer")
    assert left() == []


def test_a_part_that_fails_ends_the_trainer_and_is_named(parts: Parts) -> None:
    with parts, pytest.raises(ChildFailed, match="the part on node n2 ended with status 3"):
        parts.start_there(ending(3, "time.sleep(0.5)"), os.environ)
        parts.run(SLEEP, os.environ, "the trainer")
    assert left() == []


def test_a_part_that_is_killed_is_a_node_that_is_lost(parts: Parts) -> None:
    with parts, pytest.raises(NodeLost, match="gone without a word") as lost:
        parts.start_there(SLEEP, os.environ)
        part = next(
            p
            for p in descendants(os.getpid())
            if b"nodes.part" in argv(p.pid) and b"guard" not in argv(p.pid)
        )
        os.kill(part.pid, signal.SIGKILL)
        parts.run(SLEEP, os.environ, "the trainer")
    assert (lost.value.where, lost.value.failure_class) == ("node n2", "infra")
    assert left() == []


def test_parts_that_end_well_are_waited_for_and_are_no_loss(parts: Parts) -> None:
    with parts:
        parts.start_there(ending(0, "time.sleep(0.3)"), os.environ)
        parts.run(ending(0, "time.sleep(0.6)"), os.environ, "the trainer")
        parts.finish()


def test_a_trainer_that_fails_by_itself_is_told_as_ever(parts: Parts) -> None:
    with parts, pytest.raises(ChildFailed, match="the trainer ended with status 5"):
        parts.start_there(SLEEP, os.environ)
        parts.run(ending(5), os.environ, "the trainer")


def test_a_stop_is_heeded_while_the_nodes_begin(tmp_path: Path) -> None:
    with Parts(Nodes(3, SRUN.run), lambda: True, tmp_path) as parts, pytest.raises(ChildStopped):
        parts.start_there(SLEEP, os.environ)
    assert left() == []


def test_nodes_that_do_not_begin_are_told(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "JOINING", 0.5)
    parts.nodes = Nodes(3, SRUN.run)
    with parts, pytest.raises(StageError, match="2 other nodes have not begun within 0 s") as late:
        parts.start_there(SLEEP, os.environ)
    assert late.value.failure_class == "infra"


def test_a_part_ends_although_its_attempt_was_killed(tmp_path: Path) -> None:
    """Nobody tells it: the connection breaks."""
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from toolrl_cli.processes.nodes import Nodes\n"
        "from toolrl_cli.training.nodes.parts import Parts\n"
        f"nodes = Nodes(2, ('setsid', '-f', 'env', 'SLURMD_NODENAME=n2'))\n"
        "with Parts(nodes, lambda: False, Path('.')) as parts:\n"
        f"    parts.start_there({[*SLEEP, str(tmp_path)]!r}, os.environ)\n"
        "    print('up', flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("up\n", -9), done.stderr
    eventually(
        lambda: not any(str(tmp_path).encode() in argv(int(p.name)) for p in Path("/proc").glob("[0-9]*"))
    )


def test_the_lifeline_takes_nobody_who_does_not_know_its_word() -> None:
    lifeline = Lifeline()
    host, port, _ = lifeline.address.rsplit(":", 2)
    with pytest.raises(ConnectionError, match="does not know this node"):
        join(f"{host}:{port}:guessed", "stranger")
    line, number = join(lifeline.address, "n2")
    assert (number, lifeline.names) == (1, ["n2"])
    lifeline.close()
    wait_for_end(line)
    line.close()


def test_nodes_of_one_name_are_told_apart() -> None:
    lifeline = Lifeline()
    lines = [join(lifeline.address, "localhost")[0] for _ in range(2)]
    lines[0].sendall(b"0\n")
    for line in lines:
        line.close()
    eventually(lambda: len(lifeline.ended) == 2)
    assert sorted(lifeline.ended, key=str) == [("localhost", 0), ("localhost", None)]
    lifeline.close()


def test_what_is_the_rays_own_is_said_to_it_and_not_to_the_driver() -> None:
    options = {
        "ray_kwargs.ray_init.num_cpus": 32,
        "+ray_kwargs.ray_init.num_gpus": 2,
        "+ray_kwargs.ray_init._temp_dir": "/tmp/x",
        "+ray_kwargs.ray_init.include_dashboard": None,
        "+ray_kwargs.ray_init.log_to_driver": False,
        "trainer.nnodes": 2,
    }
    left, flags = ray_flags(options, 2)
    assert left == {"+ray_kwargs.ray_init.log_to_driver": False, "trainer.nnodes": 2}
    assert {"--num-cpus=32", "--num-gpus=2", "--min-worker-port=0"} <= set(flags.each)
    assert "--include-dashboard=false" in flags.first and flags.folder == "/tmp/x"
    assert "--num-gpus=4" in ray_flags({}, 4)[1].each


def test_ranks_are_counted_over_the_nodes() -> None:
    ranks = rank_environments(2, nodes=3, node=1, master="10.0.0.1:1234")
    assert [(r["RANK"], r["LOCAL_RANK"], r["WORLD_SIZE"], r["GROUP_RANK"]) for r in ranks] == [
        ("2", "0", "6", "1"),
        ("3", "1", "6", "1"),
    ]
    assert {(r["MASTER_ADDR"], r["MASTER_PORT"]) for r in ranks} == {("10.0.0.1", "1234")}


def argv(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
