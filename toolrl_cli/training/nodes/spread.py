"""Runs a trainer of verl on all nodes of an attempt: RL on a Ray over them, SFT as ranks on each.

Source of verl's side: `ResourcePoolManager` makes one placement group a node (verl 0.9.1); `sft_trainer` reads its
ranks from where `torchrun` writes them.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolrl_cli.processes.nodes import Nodes
from toolrl_cli.processes.ports import free_port
from toolrl_cli.processes.process_id import LINUX
from toolrl_cli.training.cpu.cpu_options import cpu_command, hydra_arguments
from toolrl_cli.training.device import Device
from toolrl_cli.training.nodes.part import NODE_RANK, TEMPORARY
from toolrl_cli.training.nodes.parts import JOINING, Parts
from toolrl_cli.training.trainer import Trainer
from toolrl_cli.training.verl_options import Options

RAY = "toolrl_cli.training.nodes.ray_start"
RAY_INIT = "ray_kwargs.ray_init."
OF_EACH_NODE = {
    "num_cpus": "--num-cpus",
    "num_gpus": "--num-gpus",
    "object_store_memory": "--object-store-memory",
}
"""Arguments of `ray.init` that a Ray which is there already refuses, and what says the same to `ray start`."""
OF_THE_FIRST = {"include_dashboard": "--include-dashboard", "dashboard_port": "--dashboard-port"}
RAY_FOLDER = "_temp_dir"
ADDRESS_FILE = "ray_current_cluster"
"""What `ray start` writes into its folder: the address of the Ray."""


def run_over_nodes(
    trainer: Trainer,
    nodes: Nodes,
    *,
    env: Mapping[str, str],
    cwd: Path,
    stop_requested: Callable[[], bool],
) -> None:
    """Run a trainer to its end.

    Args:
        trainer: what to run.
        nodes: of the attempt.
        env: environment of all processes; with a token for Ray, whose ports others can reach (`own_ray`).
        cwd: folder of all processes.
        stop_requested: whether the attempt was asked to stop.

    Raises:
        StageError: it failed, was stopped, or a node was lost (`Parts.run`).
    """
    with Parts(nodes, stop_requested, cwd) as parts:
        if trainer.torchrun:
            argv = _ranks(trainer, parts)
            parts.start_there(argv, env)
            parts.run(argv, {**env, NODE_RANK: "0"}, trainer.name)
            parts.finish()
            return
        options, flags = ray_flags(trainer.options, trainer.gpus)
        environment = {key: value for key, value in env.items() if key != "RAY_ADDRESS"}
        with _folder(flags, env.get("RAY_TMPDIR")) as (folder, there):
            address = _start_ray(parts, trainer.device, flags, folder, environment, {**environment, **there})
            argv = [sys.executable, "-m", trainer.module, *hydra_arguments(options)]
            parts.run(argv, {**environment, "RAY_ADDRESS": address}, trainer.name)


@dataclass(frozen=True)
class RayFlags:
    """How a Ray is started.

    Attributes:
        each: flags of `ray start` on each node.
        first: further ones on the first.
        folder: for its files; empty for one that is made and removed.
    """

    each: tuple[str, ...]
    first: tuple[str, ...]
    folder: str


@contextmanager
def _folder(flags: RayFlags, below: str | None) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder for Ray's files, and what tells the parts to remove theirs, of the same name on their machines.

    Args:
        flags: may name one, which is kept.
        below: where else one is made; None for where temporary files are.
    """
    if flags.folder:
        yield Path(flags.folder), {}
        return
    made = tempfile.mkdtemp(prefix="toolrl-ray-", dir=below)
    try:
        yield Path(made), {TEMPORARY: made}
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _start_ray(
    parts: Parts,
    device: Device,
    flags: RayFlags,
    folder: Path,
    here: Mapping[str, str],
    there: Mapping[str, str],
) -> str:
    """Start Ray here and on the other nodes, in these environments; its address, once all of them have joined."""
    known = folder / ADDRESS_FILE
    known.unlink(missing_ok=True)
    head = ["start", "--head", "--block", "--port=0", *flags.first, *flags.each, f"--temp-dir={folder}"]
    parts.start_here("Ray on the first node", _ray(head, device), here)
    parts.until(lambda: bool(_text(known)), JOINING, "Ray has not begun on the first node")
    address = _text(known)
    parts.start_there(_ray(["start", "--block", f"--address={address}", *flags.each], device), there)
    waiting = [sys.executable, "-m", "toolrl_cli.training.nodes.ray_joined"]
    parts.run([*waiting, address, str(parts.nodes.count), str(JOINING)], here, "waiting for Ray")
    return address


def ray_flags(options: Options, gpus: int) -> tuple[Options, RayFlags]:
    """What of verl's options is the Ray's own where a driver joins one, and the options that are left.

    Args:
        options: of verl.
        gpus: on each node.
    """
    left = dict(options)
    found: dict[str, Any] = {"num_gpus": gpus, "include_dashboard": False}
    for key in options:
        _, is_one, argument = key.lstrip("+").partition(RAY_INIT)
        if is_one and argument in {*OF_EACH_NODE, *OF_THE_FIRST, RAY_FOLDER}:
            value = left.pop(key)
            found |= {} if value is None else {argument: value}
    # ports of workers are taken as they come: a fixed range is also that of another attempt on the same node
    each = ["--min-worker-port=0", "--max-worker-port=0"]
    each += [f"{flag}={found[argument]}" for argument, flag in OF_EACH_NODE.items() if argument in found]
    first = [f"{flag}={str(found[a]).lower()}" for a, flag in OF_THE_FIRST.items() if a in found]
    return left, RayFlags(tuple(each), ("--disable-usage-stats", *first), str(found.get(RAY_FOLDER, "")))


def _ranks(trainer: Trainer, parts: Parts) -> list[str]:
    """The command of the ranks on each node, which differ by `NODE_RANK`."""
    arguments, port, nodes = hydra_arguments(trainer.options), free_port(), parts.nodes.count
    host = parts.lifeline.host
    if trainer.device == "cpu" and LINUX:
        return cpu_command(
            trainer.module, arguments, ranks=trainer.gpus, nodes=nodes, master=f"{host}:{port}"
        )
    torchrun = [sys.executable, "-m", "torch.distributed.run", f"--nnodes={nodes}"]
    torchrun += [f"--nproc_per_node={trainer.gpus}", f"--master_addr={host}", f"--master_port={port}"]
    return [*torchrun, "-m", trainer.module, *arguments]


def _ray(arguments: list[str], device: Device) -> list[str]:
    """A command of `ray`; on a CPU by the fork host, because Ray starts workers with what it was started by."""
    if device == "cpu" and LINUX:
        return cpu_command(RAY, arguments)
    return [sys.executable, "-m", RAY, *arguments]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
