"""Runs a program as part of an attempt: it ends when the attempt is asked to stop or dies."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import toolrl_cli
from toolrl_cli.errors import StageError
from toolrl_cli.processes.tree import descendants, kill

SAFE_PATH, _OURS = "PYTHONSAFEPATH", "toolrl"  # any text has that effect
POLL = 0.1  # seconds between looks at `stop_requested`


class ChildFailed(StageError):
    """The program ended with a status other than 0; the reason is in its output.

    Attributes:
        returncode: exit status, or minus the signal that ended it (as in `subprocess`).
    """

    def __init__(self, program: str, returncode: int) -> None:
        self.returncode = returncode
        super().__init__(f"{program} {describe_exit(returncode)}")


class ChildStopped(StageError):
    """The program was ended because the attempt was asked to stop."""

    def __init__(self, program: str) -> None:
        super().__init__(f"{program} was stopped")


def run_child(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
    grace: float = 30.0,
    name: str | None = None,
) -> None:
    """Run `argv` to its end, with this process's standard output and error.

    Call it from the main thread: on Linux the program is killed when the *thread* that started it ends.

    Args:
        argv: the command; no shell is involved.
        env: its whole environment; None for this process's own.
        cwd: its working directory; None for this process's own.
        stop_requested: asked ten times a second; once True the program gets SIGTERM.
        grace: seconds from that SIGTERM to SIGKILL for the program and everything below it.
        name: what messages call it; None for its module or file name.

    Raises:
        ChildFailed: it was not asked to stop and ended with a status other than 0.
        ChildStopped: it was asked to stop and did not end with status 0.
    """
    program = name or program_name(argv)
    process = start_child(argv, env=env, cwd=cwd)
    deadline: float | None = None
    try:
        while process.poll() is None:
            if deadline is None and stop_requested():
                deadline = time.monotonic() + grace
                process.terminate()
            elif deadline is not None and time.monotonic() > deadline:
                kill(descendants(process.pid))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(POLL)
    finally:
        end_child(process)  # on an exception, leave no process behind
    if process.returncode == 0:
        return
    if deadline is not None:
        raise ChildStopped(program)
    raise ChildFailed(program, process.returncode)


def start_child(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdout: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program that `end_child` has to be called for; arguments and thread as for `run_child`.

    Args:
        argv, env, cwd: as there.
        stdout: where its output and errors go together, as for `subprocess`; None for this process's own.
    """
    guard = [sys.executable, "-m", "toolrl_cli.processes.guard", str(os.getpid()), *argv]
    errors = None if stdout is None else subprocess.STDOUT
    return subprocess.Popen(
        guard, env=importable(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=stdout, stderr=errors
    )


def end_child(process: subprocess.Popen[bytes], grace: float = 0.0) -> int:
    """End what `start_child` started, and all below it: SIGTERM, up to `grace` seconds, then SIGKILL.

    Returns:
        Its exit status, or minus the signal that ended it.
    """
    if process.poll() is None and grace > 0:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    if process.poll() is None:
        kill(descendants(process.pid))
        process.kill()
    return process.wait()


def program_name(argv: Sequence[str]) -> str:
    """Readable name of a command: `verl.trainer.main_ppo` for `/usr/bin/python -m verl.trainer.main_ppo …`."""
    if "-m" in argv[1:-1]:
        return argv[argv.index("-m") + 1]
    scripts = [word for word in argv[1:] if word.endswith(".py")]
    return Path(scripts[0] if scripts else argv[0]).name


def describe_exit(returncode: int) -> str:
    """`ended with status 3`, `died of SIGKILL`."""
    if returncode >= 0:
        return f"ended with status {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    return f"died of {name}"


def users_environment() -> dict[str, str]:
    """This process's environment for a command of the user's, without what `importable` has set for toolrl alone."""
    return {k: v for k, v in os.environ.items() if (k, v) != (SAFE_PATH, _OURS)}


def leave_to_users() -> None:
    """Have what a user's code starts from this process import from its own folder, as Python does."""
    if os.environ.get(SAFE_PATH) == _OURS:
        del os.environ[SAFE_PATH]


def importable(env: Mapping[str, str] | None) -> dict[str, str]:
    """`env` (None for this process's own), changed so that another Python can import this toolrl, installed or not.

    A user's `json.py` or `datasets.py` in the working directory is not imported in place of the real one: `toolrl` does
    not import it either. (Python 3.10 does not know the variable.)
    """
    result = {SAFE_PATH: _OURS, **(os.environ if env is None else env)}
    root = str(Path(toolrl_cli.__file__).resolve().parent.parent)
    paths = [path for path in result.get("PYTHONPATH", "").split(os.pathsep) if path]
    if Path(root).name not in ("site-packages", "dist-packages") and root not in paths:
        result["PYTHONPATH"] = os.pathsep.join([*paths, root])
    return result
