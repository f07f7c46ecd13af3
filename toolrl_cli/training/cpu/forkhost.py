"""Runs a verl training with all its processes forked from one that has imported everything.

    python -m toolrl_cli.training.cpu.forkhost [--ranks N] MODULE ARGUMENTS…

A verl run is nine Python processes, each of which imports torch, Transformers, Ray and verl: 6 to 8 seconds
of processor time each, most of a short run's start-up. The host imports them once and forks: the process
that runs MODULE (or N ranks of it, as torchrun would), and, through `forklaunch.py`, every Ray worker.

It also owns the processes: it is killed with its parent, kills its children when it ends, and adopts what
they leave behind, so that nothing survives a training. Linux only, and CPU only: a forked process cannot
use CUDA. MODULE does not notice the host, apart from `sys.executable`, which names the launcher.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib
import json
import os
import runpy
import shlex
import shutil
import signal
import socket
import sys
import tempfile
import time
import warnings
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

#: Imported before the first fork. Missing ones only cost speed, so they are skipped.
PRELOAD = (
    "verl.trainer.main_ppo",
    "verl.trainer.ppo.v1",
    "verl.trainer.sft_trainer",
    "verl.workers.engine_workers",
    "verl.experimental.agent_loop",
    "verl.experimental.reward_loop",
    "verl.utils.dataset.rl_dataset",
    "toolrl_cli.training.reward_manager",
    "toolrl_cli.training.replay_buffer",
    "toolrl_cli.training.rollout.adapter",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.qwen2.modeling_qwen2",
    "torch.distributed.checkpoint.state_dict",
    "uvicorn",
    "ray.dashboard.utils",
)
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_GRACE_SECONDS = 5.0
#: Id of the only job of a Ray that was started by its driver. Ray's core reads it, and the pid of the process
#: a worker shall not outlive, when the library is loaded.
_FIRST_JOB = "01000000"


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")


def die_with_parent(parent: int, how: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal when its parent ends.

    Args:
        parent: the parent's pid, to notice that it ended before this call.
        how: signal to send.
    """
    _prctl(_PR_SET_PDEATHSIG, how)
    if os.getppid() != parent:
        os.kill(os.getpid(), how)


class ForkHost:
    """The process that has imported everything, and the parent of all others."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="toolrl-host-"))
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.directory / "s"))
        self._listener.listen(64)
        self.launcher = self._write_launcher()
        self._children: dict[int, int] = {}
        self._main: set[int] = set()

    def _write_launcher(self) -> Path:
        words = [sys.executable, "-I", "-S", str(Path(__file__).with_name("forklaunch.py"))]
        words += [str(self.directory / "s"), sys.executable]
        path = self.directory / "python"
        path.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
        path.chmod(0o700)
        return path

    def run(self, targets: Sequence[Callable[[], None]]) -> int | Callable[[], None]:
        """Fork one process per target and serve forks until all of them have ended.

        Returns:
            In the host, the first exit status that is not 0, or 0. In a forked process, what it has to run:
            it is returned rather than called so that the process ends like any other Python process.
        """
        gc.collect()
        gc.freeze()  # the collector would otherwise write to, and so copy, every shared page
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._forward)
        for target in targets:
            pid = self._fork()
            if pid == 0:
                sys.executable = str(self.launcher)
                return target
            self._main.add(pid)
        return self._serve(reader)

    def _fork(self) -> int:
        host = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            self._children[pid] = -1
            return pid
        signal.set_wakeup_fd(-1)
        for name in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(name, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        die_with_parent(host)
        self._listener.close()
        _reseed()
        return 0

    def _serve(self, wakeups: int) -> int | Callable[[], None]:
        import selectors

        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(wakeups, selectors.EVENT_READ)
            while self._main & self._children.keys():
                for key, _ in selector.select():
                    if key.fileobj is self._listener:
                        target = self._accept()
                        if target is not None:
                            return target
                    else:
                        os.read(wakeups, 4096)
                self._reap()
        codes = [self._ended.get(pid, 1) for pid in sorted(self._main)]
        return next((code for code in codes if code), 0)

    _ended: dict[int, int] = {}

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._children.pop(pid, None)
            if pid in self._main:
                code = os.waitstatus_to_exitcode(status)
                self._ended[pid] = code if code >= 0 else 128 - code
                if code:
                    self._stop_main()

    def _stop_main(self) -> None:
        """End the other ranks: they would wait for the one that failed."""
        for pid in self._main & self._children.keys():
            os.kill(pid, signal.SIGTERM)

    def _forward(self, number: int, _: FrameType | None) -> None:
        for pid in self._main & self._children.keys():
            os.kill(pid, number)

    def _accept(self) -> Callable[[], None] | None:
        """Fork a worker as a launcher asks; in the worker, return what it runs."""
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(10)
            try:
                arguments, environment, cwd, streams = _receive(connection)
            except (OSError, ValueError):
                return None  # the launcher gets no answer and starts the worker itself
            pid = self._fork()
            if pid:
                connection.sendall(b"+")
                for stream in streams:
                    os.close(stream)
                return None
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        return lambda: _ray_worker(arguments)

    def close(self) -> None:
        """End every process that the training left, first politely, and remove the host's files."""
        self._listener.close()
        deadline = time.monotonic() + _GRACE_SECONDS
        while (left := _descendants(os.getpid())) and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.05)
        for pid in left:
            _kill(pid)
        while _descendants(os.getpid()):
            self._reap()
            time.sleep(0.01)
        shutil.rmtree(self.directory, ignore_errors=True)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it ended by itself meanwhile


def _descendants(pid: int) -> list[int]:
    """Living descendants of a process, zombies not counted."""
    import psutil

    found = []
    for child in psutil.Process(pid).children(recursive=True):
        try:
            if child.status() != psutil.STATUS_ZOMBIE:
                found.append(child.pid)
        except psutil.NoSuchProcess:
            continue
    return found


def _receive(connection: socket.socket) -> tuple[list[str], dict[str, str], str, list[int]]:
    header, ancillary, _, _ = connection.recvmsg(4, socket.CMSG_SPACE(3 * array("i").itemsize))
    streams = array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            streams.frombytes(data[: len(data) - len(data) % streams.itemsize])
    size = int.from_bytes(header, "big")
    body = bytearray()
    while len(body) < size:
        part = connection.recv(size - len(body))
        if not part:
            raise ValueError("the launcher closed the connection")
        body += part
    message = json.loads(body)
    if len(streams) != 3:
        raise ValueError("the launcher sent no streams")
    return message["arguments"], message["environment"], message["cwd"], list(streams)


def _ray_worker(arguments: list[str]) -> None:
    """What `setup_worker.py DEFAULT_WORKER ARGUMENTS…` does for a worker of this interpreter.

    Ray's set-up applies the runtime environment's variables and then executes the worker script. Where the
    environment asks for more (a container, another interpreter) the real set-up runs.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--serialized-runtime-env-context", default="{}")
    parser.add_argument("--language", default="PYTHON")
    options, worker = parser.parse_known_args(arguments[1:])
    context = json.loads(options.serialized_runtime_env_context or "{}")
    own_python = (None, os.environ.get("TOOLRL_HOST_PYTHON", ""))
    if (
        os.environ.get("RAY_JOB_ID", _FIRST_JOB) != _FIRST_JOB
        or options.language != "PYTHON"
        or context.get("command_prefix")
        or context.get("override_worker_entrypoint")
        or context.get("py_executable") not in own_python
    ):
        python = os.environ.get("TOOLRL_HOST_PYTHON", sys.executable)
        os.execv(python, [python, *arguments])
    from ray._private.utils import update_envs

    update_envs(context.get("env_vars") or {})
    _apply_environment()
    _refresh_ray()
    sys.argv = worker
    runpy.run_path(worker[0], run_name="__main__")


def _apply_environment() -> None:
    """Apply variables that libraries read when they are loaded, which was before this process had them."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdigit():
        import torch

        torch.set_num_threads(int(threads))


def _refresh_ray() -> None:
    """Have Ray's core read its configuration and credentials again: both came with the worker's environment."""
    from ray._raylet import AuthenticationTokenLoader, Config

    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def _reseed() -> None:
    """Give this process random numbers of its own; Python's `random` does so by itself."""
    import numpy as np

    np.random.seed()


def preload(modules: Sequence[str] = PRELOAD) -> None:
    """Import what the forked processes need. Nothing here may start a thread: threads do not survive a fork."""
    for name in modules:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                importlib.import_module(name)
            except ImportError:
                continue


def _module(name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Callable[[], None]:
    def run() -> None:
        os.environ.update(environment)
        _apply_environment()
        sys.argv = [name, *arguments]
        runpy.run_module(name, run_name="__main__", alter_sys=True)

    return run


def _rank_environments(ranks: int) -> list[dict[str, str]]:
    """The variables torchrun sets, for ranks on this machine; none for Ray drivers, which are one process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks)}
    common |= {"LOCAL_WORLD_SIZE": str(ranks), "GROUP_RANK": "0", "ROLE_RANK": "0"}
    return [common | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(ranks)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line, see the module's description."""
    parser = argparse.ArgumentParser(prog="forkhost")
    parser.add_argument("--ranks", type=int, help="run MODULE as this many torch.distributed ranks")
    parser.add_argument("module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    die_with_parent(os.getppid(), signal.SIGTERM)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    os.environ["TOOLRL_HOST_PYTHON"] = sys.executable
    os.environ |= {"RAY_JOB_ID": _FIRST_JOB, "RAY_RAYLET_PID": str(os.getpid())}
    preload()
    del os.environ["RAY_JOB_ID"], os.environ["RAY_RAYLET_PID"]
    environments = _rank_environments(options.ranks) if options.ranks else [{}]
    host = ForkHost()
    outcome = host.run([_module(options.module, options.arguments, own) for own in environments])
    if callable(outcome):
        outcome()
        return
    host.close()
    sys.exit(outcome)


if __name__ == "__main__":
    main()
