"""The fork host with small programs in the place of verl's: real processes, real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from toolrl_cli.processes.process_id import ProcessId

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the fork host is for Linux")

HOST = """
import sys
from toolrl_cli.training.cpu import forkhost
real = forkhost.preload
forkhost.preload = lambda modules: real(("torch", "numpy", "no_such_module"))
forkhost.GRACE_SECONDS = 0.5
forkhost.main(sys.argv[1:])
"""


@pytest.fixture
def host(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a host for a program given as source; the host's files go below the test's folder."""

    def start(program: str, *arguments: str, ranks: int | None = None) -> subprocess.Popen[str]:
        (tmp_path / "program.py").write_text(program, encoding="utf-8")
        (tmp_path / "tmp").mkdir(exist_ok=True)
        options = [] if ranks is None else ["--ranks", str(ranks)]
        return subprocess.Popen(
            [sys.executable, "-c", HOST, *options, "program", *arguments],
            env=os.environ
            | {
                "PYTHONPATH": f"{tmp_path}:{ROOT}",
                "TMPDIR": str(tmp_path / "tmp"),
                "OMP_NUM_THREADS": "1",
            },
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def test_the_module_runs_as_a_main_program_with_its_arguments(
    host: Callable[..., subprocess.Popen[str]],
) -> None:
    code, out, _ = finished(host("import sys\nprint(__name__, sys.argv[1:])", "a=1", "--b"))
    assert (code, out) == (0, "__main__ ['a=1', '--b']\n")


def test_its_exit_status_is_the_hosts(host: Callable[..., subprocess.Popen[str]]) -> None:
    assert finished(host("raise SystemExit(7)"))[0] == 7
    code, _, err = finished(host("1 / 0"))
    assert code == 1
    assert "ZeroDivisionError" in err
    assert finished(host("import os\nos.kill(os.getpid(), 9)"))[0] == 128 + 9


def test_imports_were_made_before_and_threads_are_as_the_environment_says(
    host: Callable[..., subprocess.Popen[str]],
) -> None:
    program = "import sys\nprint('torch' in sys.modules)\nimport torch\nprint(torch.get_num_threads())"
    assert finished(host(program))[:2] == (0, "True\n1\n")


def test_atexit_and_threads_end_as_in_an_ordinary_process(host: Callable[..., subprocess.Popen[str]]) -> None:
    program = """
import atexit, threading, time
atexit.register(print, "at exit")
threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
print("main")
"""
    assert finished(host(program))[:2] == (0, "main\nthread\nat exit\n")


def test_ranks_can_form_a_process_group(host: Callable[..., subprocess.Popen[str]]) -> None:
    program = """
import torch, torch.distributed as dist
dist.init_process_group("gloo")
value = torch.tensor([dist.get_rank() + 1.0])
dist.all_reduce(value)
if dist.get_rank() == 0:
    print(dist.get_world_size(), value.item())
dist.destroy_process_group()
"""
    assert finished(host(program, ranks=2))[:2] == (0, "2 3.0\n")


def test_a_failing_rank_ends_the_others(host: Callable[..., subprocess.Popen[str]]) -> None:
    program = "import os, sys, time\nsys.exit(3) if os.environ['RANK'] == '1' else time.sleep(300)"
    assert finished(host(program, ranks=2))[0] in (3, 128 + 15)


def test_ranks_draw_different_random_numbers(host: Callable[..., subprocess.Popen[str]]) -> None:
    program = "import random, numpy\nprint(random.random(), numpy.random.random(), flush=True)"
    numbers = finished(host(program, ranks=2))[1].split()
    assert len(set(numbers)) == 4


def test_a_termination_signal_reaches_the_module(host: Callable[..., subprocess.Popen[str]]) -> None:
    program = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("stopping", flush=True), sys.exit(5)))
print("ready", flush=True)
time.sleep(300)
"""
    process = host(program)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert finished(process)[:2] == (5, "stopping\n")


LEAVES_A_CHILD = """
import os, pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
pathlib.Path("pids").write_text(f"{os.getpid()} {child.pid}")
print("ready", flush=True)
"""


def pids(folder: Path) -> list[ProcessId]:
    found = [ProcessId.of(int(pid)) for pid in (folder / "pids").read_text().split()]
    return [process for process in found if process is not None]


def test_what_the_module_leaves_running_is_ended(
    host: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = host(LEAVES_A_CHILD)
    assert finished(process)[0] == 0
    assert pids(tmp_path) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_module_dies_with_a_host_that_is_killed(
    host: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = host(LEAVES_A_CHILD.replace("start_new_session=True", "") + "time.sleep(300)")
    assert process.stdout is not None
    process.stdout.readline()
    module, child = pids(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    wait_for(lambda: not module.alive())
    os.kill(child.pid, signal.SIGKILL)  # the child of a killed process is its grandparent's to end


def test_the_host_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import time\nprint('ready', flush=True)\ntime.sleep(300)")
    start = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {HOST!r}, 'program'])"
    parent = subprocess.Popen(
        [sys.executable, "-c", start],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}", "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    host = next(Path(f"/proc/{parent.pid}/task/{parent.pid}").glob("children")).read_text().split()
    running = ProcessId.of(int(host[0]))
    assert running is not None
    parent.kill()
    parent.wait(10)
    wait_for(lambda: not running.alive())
    wait_for(lambda: not list(tmp_path.glob("toolrl-host-*")))


WORKER = """
import json, os, sys
print(json.dumps({
    "argv": sys.argv[1:], "parent": os.getppid(), "torch": "torch" in sys.modules, "cwd": os.getcwd(),
    "value": os.environ.get("VALUE"), "session": os.environ.get("FROM_CONTEXT"), "name": __name__,
}))
print("to stderr", file=sys.stderr)
"""
STARTS_WORKERS = """
import json, os, pathlib, subprocess, sys
here = pathlib.Path.cwd()
context = json.dumps({"env_vars": {"FROM_CONTEXT": "yes"}, "py_executable": os.environ["TOOLRL_HOST_PYTHON"]})
def start(*arguments, **environment):
    # like Ray: through the interpreter's name, without waiting for the process behind it
    log = open(here / "worker.log", "w+")
    subprocess.run([sys.executable, *arguments], stdout=log, stderr=log, cwd="/",
                   env=os.environ | {"VALUE": "7"} | environment, check=True)
    import time
    for _ in range(1000):
        text = (here / "worker.log").read_text()
        if "to stderr" in text: break
        time.sleep(0.02)
    return json.loads(next(line for line in text.splitlines() if line.startswith("{")))
plain = start(str(here / "default_worker.py"), "--a")
set_up = start("/ray/setup_worker.py", str(here / "default_worker.py"), "--b",
               f"--serialized-runtime-env-context={context}", "--language=PYTHON")
other = start(str(here / "agent.py"), "--c")
print(json.dumps({"host": os.getppid(), "me": os.getpid(), "plain": plain, "set_up": set_up, "other": other}))
"""


def test_rays_workers_are_forked_and_other_programs_are_not(
    host: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    for name in ("default_worker.py", "agent.py"):
        (tmp_path / name).write_text(WORKER, encoding="utf-8")
    code, out, err = finished(host(STARTS_WORKERS))
    assert code == 0, err
    found = json.loads(out)
    common = {"value": "7", "cwd": "/", "name": "__main__"}
    assert found["plain"] == common | {
        "argv": ["--a"],
        "parent": found["host"],
        "torch": True,
        "session": None,
    }
    assert found["set_up"] == common | {
        "argv": ["--b"],
        "parent": found["host"],
        "torch": True,
        "session": "yes",
    }
    assert found["other"] == common | {
        "argv": ["--c"],
        "parent": found["me"],
        "torch": False,
        "session": None,
    }


def test_the_launcher_becomes_the_interpreter_where_no_host_answers(tmp_path: Path) -> None:
    worker = tmp_path / "default_worker.py"
    worker.write_text("import sys\nprint('alone', sys.argv[1:])", encoding="utf-8")
    launcher = ROOT / "toolrl_cli/training/cpu/forklaunch.py"
    command = [sys.executable, "-I", "-S", launcher, tmp_path / "gone", sys.executable, worker, "x"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    assert done.stdout == "alone ['x']\n"
