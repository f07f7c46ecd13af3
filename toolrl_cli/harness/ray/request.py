"""What is asked of Ray for an attempt: the job's resources, environment and command."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolrl_cli.attempt.environment import HARMLESS
from toolrl_cli.harness.launcher import LaunchRequest
from toolrl_cli.harness.launcher_settings import gpus_of
from toolrl_cli.harness.ray.settings import RaySettings
from toolrl_cli.processes.child import importable
from toolrl_cli.spec.secrets import LOGIN
from toolrl_cli.spec.stage import StageSpec

LOG = "ray.txt"
"""In the attempt's folder: what the shell, the prologue, and an attempt before its own log begins have to say."""

RESOURCES = "toolrl_resources"
"""Key of the job's metadata: what it asked for, which Ray does not tell, so that anybody can submit it again."""

NODES = "toolrl_nodes"
"""The same of how many nodes it takes so much of."""

HERE = re.compile(r"(CUDA|SLURM|SLURMD|RAY|OMP|MKL)_.*|TOOLRL_(ATTEMPT|SLOTS|HOST_PYTHON|CUDA_ENGINES)")
"""Variables of this machine, or of what runs on it, that say nothing of a node."""

GIB = 2**30


def resources(spec: StageSpec, settings: RaySettings) -> dict[str, Any]:
    """What a job asks for of each of its nodes, under the names of Ray's interface.

    A job that asked for nothing would run on the head at once, beside all others; so it asks for one core.
    """
    asked = settings.of(spec.kind)
    gpus = gpus_of(spec, asked["gpus"])
    memory = asked["memory"] or (asked["memory_per_gpu"] or 0) * gpus
    wanted = {
        "entrypoint_num_cpus": asked["cpus"] or (asked["cpus_per_gpu"] or 0) * gpus or 1,
        "entrypoint_num_gpus": gpus,
        "entrypoint_memory": round(memory * GIB),
        "entrypoint_resources": asked["resources"],
        "entrypoint_label_selector": asked["labels"],
    }
    return {name: value for name, value in wanted.items() if value}


def variables(settings: RaySettings) -> dict[str, str]:
    """Those that an attempt is given: what is known to be harmless of this process's own, and the user's."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if HARMLESS.fullmatch(name) and not HERE.fullmatch(name) and not LOGIN.search(value)
    }
    python = {k: v for k, v in importable(None).items() if k in ("PYTHONPATH", "PYTHONSAFEPATH")}
    return {
        **ours,
        **python,
        **settings.env,
        "RAY_JOB_STOP_WAIT_TIME_S": str(settings.stop_wait),
    }


def job_request(request: LaunchRequest, settings: RaySettings) -> dict[str, Any]:
    """The body of a submission.

    The shell becomes the attempt. Its words go to a file beside the attempt's log, because those that Ray keeps are
    on the node, and are gone with the cluster.
    """
    argv = request.argv(settings.python or sys.executable)
    argv[argv.index("-m") + 1] = "toolrl_cli.harness.ray.job"
    if request.spec.nodes > 1:
        argv += ["--places", json.dumps(places_of(request.spec, settings))]
    log = shlex.quote(str(request.attempt_dir / LOG))
    kept = [f"--keep={name}" for name in settings.env if name.startswith("RAY_") or name == "OMP_NUM_THREADS"]
    lines = [
        "set -e",
        f"cd {shlex.quote(str(Path.cwd()))}",
        f"echo toolrl: see {log} and log.txt beside it",
        f"exec >> {log} 2>&1",
        *settings.prologue,
        f"exec {shlex.join([*argv, *kept])}",
    ]
    wanted, nodes = resources(request.spec, settings), request.spec.nodes
    return {
        "submission_id": request.id,
        # Ray runs it by /bin/sh, which knows neither `source` nor `module`
        "entrypoint": "exec bash -c " + shlex.quote("\n".join(lines)),
        "runtime_env": {"env_vars": variables(settings)},
        "metadata": {"toolrl_stage": request.spec.id, RESOURCES: json.dumps(wanted), NODES: str(nodes)},
        **(wanted if nodes == 1 else {}),
    }


def places_of(spec: StageSpec, settings: RaySettings) -> dict[str, Any]:
    """What a job over several nodes holds by itself, as `places.run_over` takes it."""
    wanted = resources(spec, settings)
    amounts = {"CPU": wanted["entrypoint_num_cpus"], "GPU": wanted.get("entrypoint_num_gpus", 0)}
    amounts |= {"memory": wanted.get("entrypoint_memory", 0), **wanted.get("entrypoint_resources", {})}
    bundle = {name: amount for name, amount in amounts.items() if amount}
    labels = wanted.get("entrypoint_label_selector", {})
    return {"bundle": bundle, "labels": labels, "nodes": spec.nodes, "prologue": settings.prologue}


def request_of(job: Mapping[str, Any]) -> dict[str, Any]:
    """The body of the submission that made this job, to make it again."""
    metadata = dict(job.get("metadata") or {})
    return {
        "submission_id": job["submission_id"],
        "entrypoint": job["entrypoint"],
        "runtime_env": job.get("runtime_env") or {},
        "metadata": metadata,
        **(asked_of(job) if nodes_of(job) == 1 else {}),
    }


def asked_of(job: Mapping[str, Any]) -> dict[str, Any]:
    """What a job asked for, as `resources` gives it; empty for one of another hand."""
    return dict(json.loads((job.get("metadata") or {}).get(RESOURCES, "{}")))


def nodes_of(job: Mapping[str, Any]) -> int:
    """Of how many nodes."""
    return int((job.get("metadata") or {}).get(NODES, "1"))


def lacking(asked: Mapping[str, Any], nodes: int, totals: list[dict[str, float]]) -> str:
    """What the cluster lacks for a job that asks so much of each of its nodes, in words; empty for nothing."""
    fit = sum(not no_node_has(asked, [node]) for node in totals)
    if nodes == 1 or fit == 0:
        return no_node_has(asked, totals)
    return "" if fit >= nodes else f"it asks for {nodes} nodes, and {fit} could run its part"


def no_node_has(asked: Mapping[str, Any], totals: list[dict[str, float]]) -> str:
    """What no node has as much of as a job asks for, in words; empty where one has all."""
    wanted = {
        "GPU": asked.get("entrypoint_num_gpus", 0),
        "CPU": asked.get("entrypoint_num_cpus", 0),
        "memory": asked.get("entrypoint_memory", 0),
        **asked.get("entrypoint_resources", {}),
    }
    if any(all(node.get(name, 0) >= amount for name, amount in wanted.items()) for node in totals):
        return ""
    for name, amount in wanted.items():
        most = max((node.get(name, 0) for node in totals), default=0)
        if most < amount:
            unit = GIB if name == "memory" else 1
            called = "GiB of memory" if name == "memory" else name
            return f"it asks for {amount / unit:g} {called}, and no node has more than {most / unit:g}"
    return "no node has all that it asks for"
