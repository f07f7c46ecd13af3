"""A job over several nodes: it holds its share of each by a placement group, and runs the attempt on the first.

Ray lets it wait for all of them at once, so that two such jobs never hold halves of what each needs. The job itself
takes nothing of the cluster. On each node an actor has the GPUs and runs programs as its children; the attempt, on the
first, has them run on the others by `harness.ray.there`. All of it ends with the job, whose actors Ray ends.
"""

from __future__ import annotations

import os
import secrets
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

import ray
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from toolrl_cli.attempt.execution import STOPPED
from toolrl_cli.harness.ray.states import NODE_LOST
from toolrl_cli.harness.ray.stopping import ask_to_stop, asked_to_stop
from toolrl_cli.harness.ray.there import ADDRESS
from toolrl_cli.log import LOG
from toolrl_cli.processes.child import end_child, start_child
from toolrl_cli.processes.gpus import DEVICES
from toolrl_cli.processes.nodes import Nodes

LOOK = 2.0
"""Seconds between two looks whether a job that waits was asked to stop."""

CHUNK = 65536


class Place:
    """The job's share of one node; the class of a Ray actor."""

    def environment(self) -> dict[str, str]:
        """This node's: its GPUs, its libraries, its network, and what Ray and the job's settings say."""
        own = dict(os.environ)
        if not own.get(DEVICES):  # on a CPU, where Ray refuses logical GPUs if it is empty
            own.pop(DEVICES, None)
        return own

    def run(self, argv: Sequence[str], changes: Mapping[str, str | None], cwd: str) -> Iterator[bytes | int]:
        """Run a program on the share's GPUs; what it writes, and in the end its exit status.

        Args:
            argv: the program.
            changes: to `environment`; None where a variable is taken out.
            cwd: its folder.
        """
        env = {k: v for k, v in {**self.environment(), **changes}.items() if v is not None}
        child = start_child(argv, env=env, cwd=Path(cwd), stdout=subprocess.PIPE)
        try:
            assert child.stdout is not None
            while data := os.read(child.stdout.fileno(), CHUNK):
                yield data
            yield child.wait()
        finally:
            end_child(child)


def run_over(
    bundle: Mapping[str, float],
    labels: Mapping[str, str],
    nodes: int,
    prologue: Sequence[str],
    attempt_dir: Path,
    command: Sequence[str],
) -> int:
    """Wait for the nodes and run the attempt; its exit status, or `STOPPED` where it was asked to stop before.

    Args:
        bundle: what it takes of each node, by Ray's names.
        labels: of each node.
        nodes: how many.
        prologue: shell lines before the attempt, on the first node: what they set there is known to all nodes.
        attempt_dir: its folder.
        command: what runs the attempt.
    """
    ray.init(log_to_driver=False, logging_level="warning")
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: ask_to_stop(attempt_dir, at_once=False))
    selectors = {"bundle_label_selector": [dict(labels)] * nodes} if labels else {}
    group = placement_group([dict(bundle)] * nodes, strategy="STRICT_SPREAD", **selectors)
    LOG.info(
        "waits for %d nodes with %s each", nodes, ", ".join(f"{n:g} {name}" for name, n in bundle.items())
    )
    ready = group.ready()
    while not ray.wait([ready], timeout=LOOK)[0]:
        if asked_to_stop(attempt_dir):
            LOG.info("the attempt was cancelled while its job waited; nothing to do")
            return STOPPED
    first, *others = (_place(bundle, group, number) for number in range(nodes))
    try:
        server = Server(others, ray.get(first.environment.remote()))
    except ray.exceptions.RayError as error:
        LOG.error("the first of its nodes is gone: %s", _last_line(error))
        return NODE_LOST
    there = Nodes(nodes, (sys.executable, "-m", "toolrl_cli.harness.ray.there")).variable()
    changes = {**there, ADDRESS: server.address}
    status = NODE_LOST
    argv = ["bash", "-c", "\n".join(["set -e", *prologue, f"exec {shlex.join(command)}"])]
    for said in _answers(first, argv, changes, str(Path.cwd()), lost=NODE_LOST):
        if isinstance(said, int):
            status = said
        else:
            sys.stdout.buffer.write(said)
            sys.stdout.flush()
    return status if status >= 0 else 128 - status


class Server:
    """Runs programs on the other nodes for the attempt, which asks by `harness.ray.there`.

    Args:
        places: actors on them.
        base: environment of the attempt's own node before the attempt has set anything.

    Attributes:
        address: value of `there.ADDRESS` for the attempt.
    """

    def __init__(self, places: Sequence[Any], base: Mapping[str, str]) -> None:
        self._places, self._base = places, base
        key = secrets.token_hex(16)
        self._listener = Listener(("", 0), authkey=key.encode())
        port = self._listener.address[1]
        self.address = f"{ray.util.get_node_ip_address()}:{port}:{key}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                asked = self._listener.accept()
            except Exception:  # whoever does not know the key, or went away
                continue
            threading.Thread(target=self._run, args=(asked,), daemon=True).start()

    def _run(self, asked: Connection[Any, Any]) -> None:
        argv, environment, cwd = asked.recv()
        changes = changed(self._base, environment)
        lock = threading.Lock()

        def relay(place: Any) -> None:
            for said in _answers(place, argv, changes, cwd):
                with lock:
                    asked.send(said)

        for place in self._places:
            threading.Thread(target=relay, args=(place,), daemon=True).start()


def changed(base: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str | None]:
    """What an attempt has set (or taken out: None) since its node's `base`; another node keeps its own of the rest."""
    names = (base.keys() | environment.keys()) - {DEVICES}
    return {n: environment.get(n) for n in sorted(names) if base.get(n) != environment.get(n)}


def _answers(
    place: Any, argv: Sequence[str], changes: Mapping[str, str | None], cwd: str, *, lost: int = 1
) -> Iterator[bytes | int]:
    """See `Place.run`; `lost` at the end of one whose node is gone."""
    try:
        for answer in place.run.options(num_returns="streaming").remote(argv, changes, cwd):
            yield ray.get(answer)
    except ray.exceptions.RayError as error:
        yield f"toolrl: a node is gone: {_last_line(error)}\n".encode()
        yield lost


def _last_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _place(bundle: Mapping[str, float], group: Any, number: int) -> Any:
    """The actor of one bundle, by this interpreter."""
    rest = {name: amount for name, amount in bundle.items() if name not in ("CPU", "GPU", "memory")}
    strategy = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=number)
    options = {
        "num_cpus": bundle.get("CPU", 0),
        "num_gpus": bundle.get("GPU", 0),
        "memory": bundle.get("memory") or None,
        "resources": rest or None,
        "scheduling_strategy": strategy,
        "runtime_env": {"py_executable": sys.executable},
    }
    return ray.remote(Place).options(**options).remote()
