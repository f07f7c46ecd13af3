"""Runs a verl training with all its processes forked from one that has imported everything.

    python -m toolrl_cli.training.cpu.forkhost [--ranks N [--nodes N --master HOST:PORT]] MODULE ARGUMENTS…

A verl run has nine Python processes, and each imports torch, Transformers, Ray and verl: 6 to 8 seconds of
processor time, most of a short run's start-up. The host imports them once and then forks the process that runs
MODULE (or N ranks of it, as torchrun would) and, through `forklaunch.py`, every Ray worker.

The processes are the host's children: they die with it, and when MODULE ends, the host ends them and the
processes that they left. Linux and CPU only: a forked process cannot use CUDA. The only difference for MODULE is
`sys.executable`, which names the launcher.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import os
import selectors
import shlex
import shutil
import signal
import socket
import sys
import tempfile
import time
import warnings
from array import array
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from toolrl_cli.processes.kernel import adopt_orphans, signal_on_parent_death
from toolrl_cli.processes.sockets import folder_for_sockets
from toolrl_cli.processes.tree import descendants, kill
from toolrl_cli.training.cpu.forked import (
    FIRST_JOB,
    INTERPRETER,
    Target,
    module_target,
    rank_environments,
    worker_target,
)

#: Modules that the workers of an RL run import. A missing one costs only speed.
WORKERS_IMPORT = (
    "verl.trainer.ppo.v1",
    "verl.workers.engine_workers",
    "verl.experimental.agent_loop",
    "verl.experimental.reward_loop",
    "verl.utils.dataset.rl_dataset",
    "toolrl_cli.training.reward_manager",
    "toolrl_cli.training.replay_buffer",
    "toolrl_cli.training.rollout.adapter",
    "toolrl_cli.training.rollout.agent_loop",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.qwen2.modeling_qwen2",
)
#: Seconds that processes left by MODULE have to end by themselves.
GRACE_SECONDS = 5.0


class ForkHost:
    """The parent process, which has imported everything and forks all others."""

    def __init__(self) -> None:
        place = folder_for_sockets(len("/toolrl-host-12345678/s"))
        self.directory = Path(tempfile.mkdtemp(prefix="toolrl-host-", dir=place))
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.directory / "s"))
        self._listener.listen(64)
        self.launcher = self._write_launcher()
        self._main: set[int] = set()
        self._status: dict[int, int] = {}

    def _write_launcher(self) -> Path:
        words = [sys.executable, "-I", "-S", str(Path(__file__).with_name("forklaunch.py"))]
        words += [str(self.directory / "s"), sys.executable]
        path = self.directory / "python"
        path.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
        path.chmod(0o700)
        return path

    def run(self, targets: Sequence[Target]) -> int | Target:
        """Fork a process for each target and serve forks until all of them have ended.

        Returns:
            In the host, the first exit status that is not 0, or 0. In a forked process, the function that it must run;
            it is returned and not called, so that the process ends like any other Python process.
        """
        gc.collect()
        gc.freeze()  # the collector would otherwise write to, and so copy, every shared page
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._forward)
        for target in targets:
            pid = self._fork()
            if pid == 0:
                # Ray starts its workers with the interpreter that its driver names
                sys.executable = str(self.launcher)
                return target
            self._main.add(pid)
        return self._serve(reader)

    def _fork(self) -> int:
        host = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            # Python 3.12 warns of threads; that of pyarrow's allocator handles forks itself
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid:
            return pid
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal_on_parent_death(signal.SIGKILL)
        if os.getppid() != host:
            os._exit(1)
        self._listener.close()
        _reseed()
        return 0

    def _serve(self, wakeups: int) -> int | Target:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(wakeups, selectors.EVENT_READ)
            while self._main - self._status.keys():
                for key, _ in selector.select():
                    if key.fileobj is not self._listener:
                        os.read(wakeups, 4096)
                        continue
                    target = self._accept()
                    if target is not None:
                        return target
                self._reap()
        return next((self._status[pid] for pid in sorted(self._main) if self._status[pid]), 0)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._main:
                code = os.waitstatus_to_exitcode(status)
                self._status[pid] = code if code >= 0 else 128 - code
                if code:
                    # the other ranks would wait for the one that failed
                    self._forward(signal.SIGTERM, None)

    def _forward(self, number: int, _: FrameType | None) -> None:
        for pid in self._main - self._status.keys():
            with contextlib.suppress(ProcessLookupError):  # it ended a moment ago
                os.kill(pid, number)

    def _accept(self) -> Target | None:
        """Fork the worker that a launcher requests; in the worker, return the function to run."""
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(10)
            try:
                arguments, environment, cwd, streams = _receive(connection)
            except (OSError, ValueError):
                return None  # the launcher gets no answer and becomes the interpreter itself
            pid = self._fork()
            if pid:
                connection.sendall(b"+")
                for stream in streams:
                    os.close(stream)
                return None
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        return worker_target(arguments, environment, cwd)

    def close(self) -> None:
        """End processes that the training left, after a grace period, and remove the host's files."""
        self._listener.close()
        deadline = time.monotonic() + GRACE_SECONDS
        while descendants(os.getpid()):
            self._reap()
            if time.monotonic() > deadline:
                kill(descendants(os.getpid()))
            time.sleep(0.02)
        shutil.rmtree(self.directory, ignore_errors=True)


def _receive(connection: socket.socket) -> tuple[list[str], dict[str, str], str, list[int]]:
    """A launcher's request: arguments, environment, working directory and open streams.

    Raises:
        ValueError: it is incomplete.
    """
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
            break
        body += part
    if len(body) != size or len(streams) != 3:
        for stream in streams:
            os.close(stream)
        raise ValueError("the request is not whole")
    message = json.loads(body)
    return message["arguments"], message["environment"], message["cwd"], list(streams)


def _reseed() -> None:
    """Seed this process's random generators anew; Python's `random` does so by itself."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


def preload(modules: Sequence[str]) -> None:
    """Import what the forked processes need; no import may start a thread, because threads do not survive a fork."""
    # Ray's core takes these from the environment when it is loaded, and a worker checks the pid now and then
    os.environ |= {"RAY_JOB_ID": FIRST_JOB, "RAY_RAYLET_PID": str(os.getpid())}
    for name in modules:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                importlib.import_module(name)
            except ImportError:
                continue
    del os.environ["RAY_JOB_ID"], os.environ["RAY_RAYLET_PID"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line, see the module's description."""
    parser = argparse.ArgumentParser(prog="python -m toolrl_cli.training.cpu.forkhost")
    parser.add_argument("--ranks", type=int, help="run MODULE as this many torch.distributed ranks")
    parser.add_argument("--nodes", type=int, default=1, help="machines with so many ranks each")
    parser.add_argument("--master", help="host:port on the first of them")
    parser.add_argument("module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    parent = os.getppid()
    signal_on_parent_death(signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)
    adopt_orphans()
    os.environ[INTERPRETER] = sys.executable
    preload([options.module, *(() if options.ranks else WORKERS_IMPORT)])
    place = options.nodes, int(os.environ.get("PET_NODE_RANK", "0")), options.master
    environments = rank_environments(options.ranks, *place) if options.ranks else [{}]
    host = ForkHost()
    outcome = host.run([module_target(options.module, options.arguments, own) for own in environments])
    if callable(outcome):
        outcome()
        return
    host.close()
    sys.exit(outcome)


if __name__ == "__main__":
    main()
