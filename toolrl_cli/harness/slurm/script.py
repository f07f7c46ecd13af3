"""What is given to `sbatch`: the options of a job, and its script."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from toolrl_cli.errors import LaunchError
from toolrl_cli.harness.launcher import LaunchRequest
from toolrl_cli.harness.launcher_settings import gpus_of
from toolrl_cli.harness.slurm.settings import SlurmSettings
from toolrl_cli.spec.stage import StageSpec

LOG = "slurm.txt"
"""In the attempt's folder: what Slurm, the prologue, and an attempt before its own log begins have to say."""

_SAME = ("partition", "account", "qos", "reservation", "constraint", "time")


def job_name(spec: StageSpec) -> str:
    """What `squeue` shows, and what jobs are looked up by."""
    return f"{spec.kind}:{spec.id}"


def options(spec: StageSpec, settings: SlurmSettings, excluded: tuple[str, ...] = ()) -> list[str]:
    """The options of `sbatch` by which a stage asks for what it needs.

    Args:
        spec: the stage.
        settings: the user's.
        excluded: nodes that have failed.
    """
    asked = settings.of(spec.kind)
    argv = [f"--{name}={asked[name]}" for name in _SAME if asked[name] is not None]
    if nodes := off(spec.kind, settings, excluded):
        argv.append(f"--exclude={nodes}")
    gpus = gpus_of(spec, asked["gpus"])
    if gpus:
        argv.append(f"--gres=gpu:{asked['gpu_type']}:{gpus}" if asked["gpu_type"] else f"--gres=gpu:{gpus}")
    cores = asked["cpus"] or (asked["cpus_per_gpu"] or 0) * gpus
    if cores:
        argv.append(f"--cpus-per-task={cores}")
    memory = memory_of(spec, settings)
    if memory:
        argv.append(f"--mem={round(1024 * memory)}M")
    return [*argv, f"--nodes={spec.nodes}", f"--ntasks={spec.nodes}", *asked["flags"]]


def off(kind: str, settings: SlurmSettings, excluded: tuple[str, ...]) -> str:
    """The nodes that no stage of a kind may have: the user's, and those that have failed."""
    own = settings.of(kind)["exclude"]
    return ",".join([*([own] if own else []), *excluded])


def memory_of(spec: StageSpec, settings: SlurmSettings) -> float:
    """GiB that a stage asks for of each of its nodes; 0 for what the site gives."""
    asked = settings.of(spec.kind)
    return asked["memory"] or (asked["memory_per_gpu"] or 0.0) * gpus_of(spec, asked["gpus"])


def check_devices(stages: Sequence[StageSpec], settings: SlurmSettings) -> None:
    """Refuse stages that were planned for a CPU, because there is no GPU here, and whose jobs would get GPUs.

    They would fail on their nodes, after all the waiting: what they compute in is part of their ids.

    Raises:
        LaunchError: there is one.
    """
    for spec in stages:
        wanted = spec.config.get("asked_precision")
        if (
            wanted is not None
            and spec.resources.get("device") != "cpu"
            and gpus_of(spec, settings.of(spec.kind)["gpus"])
        ):
            raise LaunchError(
                f"planned for a CPU, where {wanted} becomes fp32 for want of a GPU here, and its job asks for one",
                f"stage {spec.id}",
                "--set resources.device=cuda plans for the nodes' GPUs, or `gpus: false` asks for none",
            )


def fixed(request: LaunchRequest, settings: SlurmSettings) -> list[str]:
    """The options that are toolrl's own: by them a job is found, told to stop, and goes on."""
    after = ":".join(str(handle["job"]) for handle in request.after)
    wish = f"afterok:{after}" if after else ""
    return found_by(job_name(request.spec), request.id, _plain(request.attempt_dir / LOG), wish, settings)


def fixed_of_array(name: str, array: str, folder: Path, wish: str, settings: SlurmSettings) -> list[str]:
    """The same for an array, each of whose tasks has a log of its number in the folder."""
    return found_by(name, array, f"{_plain(folder.absolute())}/%a", wish, settings)


def found_by(name: str, comment: str, output: str, wish: str, settings: SlurmSettings) -> list[str]:
    """The same for any job; `wish` is what it waits for, as `--dependency` has it, or empty."""
    return [
        *([f"--dependency={wish}", "--kill-on-invalid-dep=yes"] if wish else []),
        "--parsable",
        f"--job-name={name}",
        f"--comment={comment}",
        f"--chdir={Path.cwd()}",
        f"--output={output}",
        "--open-mode=append",
        "--requeue",
        f"--signal=B:USR1@{settings.warn}",
        "--export=ALL",
    ]


def _plain(path: Path) -> str:
    return str(path).replace("%", "%%")


def script(request: LaunchRequest, settings: SlurmSettings) -> str:
    """The batch script."""
    argv = [settings.python or sys.executable, "-m", "toolrl_cli.harness.slurm.job"]
    return script_of(request.id, [*argv, *job_arguments(request, settings)], settings)


def array_script(array: str, folder: Path, settings: SlurmSettings) -> str:
    """The batch script of all tasks of an array."""
    argv = [settings.python or sys.executable, "-m", "toolrl_cli.harness.slurm.task", str(folder.absolute())]
    return script_of(array, argv, settings)


def script_of(name: str, argv: Sequence[str], settings: SlurmSettings) -> str:
    """A batch script.

    It becomes the attempt, so that signals to the batch step reach it; until the attempt listens, the one by which
    Slurm announces the end of the job's time is ignored.
    """
    lines = ["#!/bin/bash", f"# {name}", "trap '' USR1", "set -e"]
    lines += [*settings.prologue, f"exec {shlex.join([*settings.container, *argv])}"]
    return "\n".join(lines) + "\n"


def job_arguments(request: LaunchRequest, settings: SlurmSettings) -> list[str]:
    """What `harness.slurm.job` is given for an attempt."""
    argv = request.argv()
    own = ["--restarts", str(settings.restarts), "--warn", str(settings.warn)]
    own += ["--alone"] if request.alone else []
    if request.spec.nodes > 1:
        own += [f"--container={word}" for word in settings.container]
    return [*argv[argv.index("-m") + 2 :], *own]
