"""A real Ray cluster on this machine for the tests: nodes with two made-up GPUs each, a token, ports of its own.

Nothing of another Ray on this machine is touched: its files are in its own folder, and only processes that bear its
mark are ended.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from tests.support.nodes_program import NAME
from toolrl_cli.processes.ports import free_port
from toolrl_cli.training.nodes.spread import RAY

MARK = "TOOLRL_TEST_RAY"
GPUS, CPUS = 2, 8


class RayCluster:
    """Runs from `start` to `stop`.

    Args:
        folder: where its files are; the path is short, because it holds a socket.
        nodes: how many.
        variables: of their environment.
    """

    def __init__(self, folder: Path, nodes: int = 1, **variables: str) -> None:
        self.folder, self.nodes = folder, nodes
        self.token_file = folder / "token"
        self.token_file.write_text(secrets.token_hex(24))
        self.token_file.chmod(0o600)
        self._gcs, self._dashboard, self._agent = (free_port() for _ in range(3))
        self.address = f"http://127.0.0.1:{self._dashboard}"
        self._environment = {
            **os.environ,
            **{"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token_file)},
            **{"RAY_USAGE_STATS_ENABLED": "0", MARK: str(folder)},
            **({"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"} if nodes == 1 else {}),
            **variables,
        }

    def start(self) -> None:
        """Start the head and the other nodes, and wait until it takes jobs."""
        head = ["--head", f"--port={self._gcs}", f"--dashboard-port={self._dashboard}"]
        head += [f"--dashboard-agent-listen-port={self._agent}", f"--temp-dir={self.folder}/ray"]
        self._start(*head, "--include-dashboard=true", "--disable-usage-stats")
        for number in range(1, self.nodes):
            self._start(f"--address=127.0.0.1:{self._gcs}", number=number)
        deadline = time.monotonic() + 300  # a hang
        while not self._answers():
            assert time.monotonic() < deadline, "the dashboard does not answer"
            time.sleep(0.2)

    def _start(self, *options: str, number: int = 0) -> None:
        argv = [sys.executable, "-m", RAY, "start", "--node-ip-address=127.0.0.1", *options]
        argv += [f"--num-cpus={CPUS}", f"--num-gpus={GPUS}", f"--object-store-memory={80 * 2**20}"]
        # Ray's own 15 leaves jobs, and the Ray that a training over nodes starts, next to nothing of busy processors
        env = {**self._environment, NAME: f"n{number}", "RAY_worker_niceness": "0"}
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def kill_head(self) -> None:
        """End all of Ray as a crash does; what the jobs run is left to Ray's own guards."""
        for pid, argv in self._processes():
            if "toolrl_cli" not in argv and ("/ray/" in argv or argv.startswith(("ray::", "ray-"))):
                _signal(pid, signal.SIGKILL)

    def stop(self) -> None:
        """End everything that it started."""
        for signum in (signal.SIGTERM, signal.SIGKILL):
            for pid, _ in self._processes():
                _signal(pid, signum)
            deadline = time.monotonic() + 5
            while self._processes() and time.monotonic() < deadline:
                time.sleep(0.1)

    def _answers(self) -> bool:
        headers = {"Authorization": f"Bearer {self.token_file.read_text()}"}
        try:
            return httpx.get(f"{self.address}/api/jobs/", headers=headers, timeout=5).is_success
        except httpx.HTTPError:
            return False

    def _processes(self) -> list[tuple[int, str]]:
        """Pid and command of all that bear the mark."""
        mark, found = f"{MARK}={self.folder}\0", list[tuple[int, str]]()
        for entry in os.scandir("/proc"):
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    if mark in Path(entry.path, "environ").read_text(errors="replace"):
                        argv = Path(entry.path, "cmdline").read_text(errors="replace").replace("\0", " ")
                        found.append((int(entry.name), argv))
                except OSError:
                    continue
        return [(pid, argv) for pid, argv in found if argv]  # not those that have ended


def _signal(pid: int, signum: signal.Signals) -> None:
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return
