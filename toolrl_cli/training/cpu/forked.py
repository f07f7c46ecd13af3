"""Turns a process forked by the fork host into a rank of a module or a Ray worker."""

from __future__ import annotations

import argparse
import json
import os
import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from toolrl_cli.processes.ports import free_port

#: Variable that names the real interpreter for processes whose `sys.executable` is the launcher.
INTERPRETER = "TOOLRL_HOST_PYTHON"
#: Id of the only job of a Ray that was started by its driver. Ray's core reads it only when the library is loaded,
#: like the pid of the process that a worker must not outlive.
FIRST_JOB = "01000000"
_SET_UP = "setup_worker.py"
_WORKER = "default_worker.py"

Target = Callable[[], None]


def serves(arguments: Sequence[str]) -> bool:
    """Whether a forked process can replace the interpreter that Ray starts with this command line."""
    return bool(arguments) and Path(arguments[0]).name in (_SET_UP, _WORKER)


def module_target(name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Target:
    """A function that acts as `python -m NAME ARGUMENTS…` with some variables set."""

    def run() -> None:
        os.environ.update(environment)
        apply_environment()
        sys.argv = [name, *arguments]
        sys.modules.pop(name, None)  # imported for its own imports; it then runs as the main module
        runpy.run_module(name, run_name="__main__", alter_sys=True)

    return run


def worker_target(arguments: Sequence[str], environment: Mapping[str, str], cwd: str) -> Target:
    """A Ray worker: `python [setup_worker.py] default_worker.py ARGUMENTS…` in a given environment.

    Ray's set-up applies the variables of the runtime environment and then executes the worker's script. Where it
    would do more (a container, another interpreter, another job), the real set-up runs.
    """

    def run() -> None:
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        command, variables = _understood(list(arguments))
        if command is None:
            interpreter = os.environ.get(INTERPRETER, sys.executable)
            os.execv(interpreter, [interpreter, *arguments])
        os.environ.update(variables)
        apply_environment()
        _refresh_ray()
        sys.argv = command
        runpy.run_path(command[0], run_name="__main__")

    return run


def _understood(arguments: list[str]) -> tuple[list[str] | None, dict[str, str]]:
    """The worker's command line and the variables to set; the command line is None where Ray's set-up must run."""
    if os.environ.get("RAY_JOB_ID", FIRST_JOB) != FIRST_JOB:
        return None, {}
    if Path(arguments[0]).name == _WORKER:
        return arguments, {}
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--serialized-runtime-env-context", default="{}")
    parser.add_argument("--language", default="PYTHON")
    options, worker = parser.parse_known_args(arguments[1:])
    context = json.loads(options.serialized_runtime_env_context or "{}")
    special = context.get("command_prefix") or context.get("override_worker_entrypoint")
    other_python = context.get("py_executable") not in (None, os.environ.get(INTERPRETER))
    if options.language != "PYTHON" or special or other_python or not serves(worker):
        return None, {}
    from ray._private.utils import update_envs  # expands ${NAME} as Ray does

    before = dict(os.environ)
    update_envs(context.get("env_vars") or {})
    return worker, {key: value for key, value in os.environ.items() if before.get(key) != value}


def apply_environment() -> None:
    """Apply variables that libraries read when loaded, which happened before this process had the variables."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdigit():
        import torch

        torch.set_num_threads(int(threads))


def _refresh_ray() -> None:
    """Have Ray's core read its configuration and credentials again from the worker's environment."""
    from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def rank_environments(
    ranks: int, nodes: int = 1, node: int = 0, master: str | None = None
) -> list[dict[str, str]]:
    """The variables that torchrun sets, for each of the ranks on this machine.

    Args:
        ranks: on each machine.
        nodes: machines.
        node: which of them this is, from 0 on.
        master: `host:port` on the first where the ranks meet; None for a port of this machine, the only one.
    """
    host, _, port = (master or f"127.0.0.1:{free_port()}").rpartition(":")
    common = {"MASTER_ADDR": host, "MASTER_PORT": port, "WORLD_SIZE": str(ranks * nodes)}
    common |= {"LOCAL_WORLD_SIZE": str(ranks), "GROUP_RANK": str(node), "ROLE_RANK": "0"}
    return [common | {"RANK": str(node * ranks + rank), "LOCAL_RANK": str(rank)} for rank in range(ranks)]
