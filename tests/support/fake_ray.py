"""Stands in for a Ray cluster in fast tests: the dashboard's job interface, jobs as processes of this machine.

Its words and habits are those that Ray 2.60 was seen to have; tests/e2e has the real one.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from toolrl_cli.processes.tree import descendants, send

TOKEN = "let-me-in"


class FakeRay:
    """The cluster.

    Attributes:
        hold: jobs that are submitted wait.
        lost: submissions are taken, and not answered.
        down: nothing is answered.
        calls: method and path of every request.
    """

    def __init__(self, nodes: tuple[Mapping[str, float], ...] = ({"CPU": 8, "GPU": 2},)) -> None:
        self.hold = self.lost = self.down = False
        self.nodes, self.calls = nodes, list[str]()
        self.jobs: dict[str, dict[str, Any]] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.RLock()
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(length)) if length else {}
                cluster.calls.append(f"{self.command} {self.path}")
                if cluster.down:
                    return self.reply(503, "no head")
                if self.headers.get("authorization") != f"Bearer {TOKEN}":
                    return self.reply(401, "Unauthorized: Missing authentication token")
                with cluster._lock:
                    status, said = cluster._answer(self.command, self.path.partition("?")[0].strip("/"), body)
                if cluster.lost and self.command == "POST":
                    return self.connection.close()
                self.reply(status, said if isinstance(said, str) else json.dumps(said))

            def reply(self, status: int, text: str) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def release(self) -> None:
        """Start what waits."""
        with self._lock:
            self.hold = False
            for job in self.jobs.values():
                if job["status"] == "PENDING":
                    self._start(job)

    def restart_head(self) -> None:
        """Forget all jobs; their processes run on."""
        with self._lock:
            self.jobs.clear()
            self._processes.clear()

    def give_up(self, job: str) -> None:
        """What Ray does to a job that waits for too long."""
        said = "Job supervisor actor failed to start within 900 seconds."
        self._over(job, "FAILED", said, "JOB_SUPERVISOR_ACTOR_START_TIMEOUT")

    def close(self) -> None:
        for process in self._processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "api/v0/nodes":
            rows = [{"state": "ALIVE", "resources_total": dict(node)} for node in self.nodes]
            return 200, {"result": True, "data": {"result": {"result": rows}}}
        if path == "api/jobs":
            for known in self.jobs:
                self._look(known)
            return self._submit(body) if method == "POST" else (200, list(self.jobs.values()))
        name = path.split("/")[2]
        if name not in self.jobs:
            return 404, f"Job {name} does not exist"
        job = self._look(name)
        if path.endswith("/stop"):
            if job["status"] == "RUNNING":
                threading.Thread(target=self._stop, args=(name,), daemon=True).start()
            return 200, {"stopped": True}
        if method == "DELETE":
            if job["status"] in ("PENDING", "RUNNING"):
                return (
                    500,
                    f"RuntimeError: Attempted to delete job '{name}', but it is in a non-terminal state",
                )
            del self.jobs[name]
            return 200, {"deleted": True}
        return 200, job

    def _submit(self, body: dict[str, Any]) -> tuple[int, Any]:
        name = body["submission_id"]
        if name in self.jobs:
            said = f"ValueError: Job with submission_id {name} already exists. Please use a different submission_id."
            inner = f"Request failed with status code 400: Traceback (most recent call last):\n{said}\n."
            return 500, f"Traceback (most recent call last):\nRuntimeError: {inner}\n"
        told = {key: body.get(key) for key in ("entrypoint", "metadata", "runtime_env")}
        job = {"submission_id": name, "type": "SUBMISSION", "status": "PENDING", "message": "", **told}
        self.jobs[name] = {**job, "error_type": None, "driver_exit_code": None}
        if not self.hold:
            self._start(self.jobs[name])
        return 200, {"submission_id": name}

    def _start(self, job: dict[str, Any]) -> None:
        given = {"RAY_ADDRESS": "127.0.0.1:6379", "RAY_JOB_CONFIG_JSON_ENV_VAR": "{}", "OMP_NUM_THREADS": "1"}
        env = {**os.environ, **given, **job["runtime_env"]["env_vars"]}
        quiet = subprocess.DEVNULL
        self._processes[job["submission_id"]] = subprocess.Popen(
            ["/bin/sh", "-c", job["entrypoint"]], env=env, start_new_session=True, stdout=quiet, stderr=quiet
        )
        job["status"] = "RUNNING"

    def _look(self, name: str) -> dict[str, Any]:
        process = self._processes.get(name)
        code = process.poll() if process else None
        if code is not None and self.jobs[name]["status"] == "RUNNING":
            kind = "JOB_ENTRYPOINT_COMMAND_ERROR" if code else None
            self._over(
                name,
                "FAILED" if code else "SUCCEEDED",
                f"exit code {code}\nRunning entrypoint:\n{self.jobs[name]['entrypoint']}",
                kind,
                code,
            )
        return self.jobs[name]

    def _over(self, name: str, status: str, said: str, kind: str | None, code: int | None = None) -> None:
        self.jobs[name] |= {"status": status, "message": said, "error_type": kind, "driver_exit_code": code}

    def _stop(self, name: str) -> None:
        process = self._processes[name]
        for below in descendants(process.pid):
            send(below, signal.SIGTERM)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        self._over(name, "STOPPED", "", None)


@contextlib.contextmanager
def fake_ray(**options: Any) -> Iterator[FakeRay]:
    """A cluster that is gone afterwards."""
    cluster = FakeRay(**options)
    try:
        yield cluster
    finally:
        cluster.close()
