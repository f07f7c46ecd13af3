"""From what an attempt left behind (exit status, log, metrics, notes) to the class and cause of its failure."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from toolrl_cli.attempt.divergence import diverged
from toolrl_cli.attempt.tracebacks import Raised, root_cause
from toolrl_cli.errors import SpecError, StageError, ToolrlError
from toolrl_cli.processes.child import ChildFailed, describe_exit
from toolrl_cli.processes.nodes import NodeLost
from toolrl_cli.store.failures import LEDGER_UNWRITABLE, Failure, FailureClass, failure_class
from toolrl_cli.store.files import open_to_read
from toolrl_cli.store.progress.metrics import FILE as METRICS_FILE
from toolrl_cli.store.schemas import REWARD_FAILURE
from toolrl_cli.wording import cut

LOG = "log.txt"
OWN_WORDS = "toolrl: "  # begin the lines that the attempt itself puts into its log
LOG_TAIL = 2_000_000  # bytes of the log's end that are looked at
LONGEST_MESSAGE = 500  # characters
OUTPUT_UNWRITABLE = 120  # exit status of a Python that could not write its output

_BY_CAUSE: tuple[tuple[FailureClass, str], ...] = (
    (
        "oom",
        r"out of memory|OutOfMemory|OUT_OF_MEMORY|MemoryError|bad_alloc|can't allocate memory|Cannot allocate memory"
        r"|ALLOC_FAILED|No available memory for the cache blocks|less than desired GPU memory utilization",
    ),
    ("reward", r"(?:^|\.)RewardError\b"),
    (
        "infra",
        r"No space left on device|Disk quota exceeded|File too large|Stale file handle|Input/output error"
        r"|Read-only file system|NCCL error|ncclInternalError|ncclSystemError|ncclRemoteError"
        r"|uncorrectable ECC|unspecified launch failure|CUDA driver|device.*unavailable|NodeDiedError"
        r"|RayletDiedError|GcsUnavailable|RpcError|Connection (?:refused|timed out|error|aborted)"
        r"|ConnectionError|ConnectTimeout|ReadTimeout|Max retries exceeded|Temporary failure in name resolution"
        r"|[Aa]ddress already in use|Watchdog caught collective operation timeout|its node has died"
        r"|timed out during startup|Too many open files|Resource temporarily unavailable",
    ),
    ("killed", r"killed by signal: Killed"),
    ("diverged", r"(?:loss|reward|logits|probability tensor) .*(?:nan|inf\b|not finite|non-finite)"),
    (
        "config",
        r"ConfigCompositionException|ConfigAttributeError|ConfigKeyError|MissingMandatoryValue|ValidationError|OverrideParseException"
        r"|is not in struct|HFValidationError|not a valid model identifier|ModuleNotFoundError|ImportError"
        r"|FileNotFoundError|less than total desired GPUs|NotImplementedError|SpecError"
        r"|StageError: rl\.dynamic_sampling",
    ),
)
_BY_CAUSE_COMPILED = [(kind, re.compile(pattern)) for kind, pattern in _BY_CAUSE]
_CONFIG_FRAMES = re.compile(r"/verl/utils/config\.py|/omegaconf/|/hydra/|/verl/.*/config/\w+\.py")
_REWARD_FRAMES = re.compile(r"/toolrl_cli/rewards/")

_PREEMPTED = re.compile(r"^slurmstepd: error: .*CANCELLED .*DUE TO (?:PREEMPTION|TIME LIMIT|NODE FAIL)", re.M)
_SLURM_OOM = re.compile(r"^slurmstepd: error: .*(?:oom[-_ ]kill|memory limit)", re.M | re.I)


def classify(folder: Path, *, error: BaseException | None = None, returncode: int | None = None) -> Failure:
    """Why the attempt in `folder` failed.

    Args:
        folder: `attempts/<n>`, with what the attempt wrote.
        error: what the stage's function raised, where the attempt lived to see it.
        returncode: how the attempt's process ended (minus the signal), where that is known.
    """
    note = _reward_note(folder)
    if note:
        return note
    log = tail(folder / LOG)
    if isinstance(error, NodeLost) and _SLURM_OOM.search(log):
        return Failure.of("oom", f"{error.where}: the job went over its memory limit")
    if error is not None and not isinstance(error, ChildFailed):
        return _of_exception(error)
    if isinstance(error, ChildFailed):
        returncode = error.returncode
    if _PREEMPTED.search(log):
        return Failure.of("preempted", "Slurm took the node back or the time limit was reached")
    if _SLURM_OOM.search(log):
        return Failure.of("oom", "the job went over its memory limit")
    if returncode in (LEDGER_UNWRITABLE, OUTPUT_UNWRITABLE):
        said = log.strip().rpartition("\n")[2].removeprefix(OWN_WORDS) or "is the disk full?"
        return Failure.of("infra", f"the attempt could not write its files: {one_line(said)}")
    how = str(error) if error else f"the attempt {_ending(returncode)}"
    last = log.strip().rpartition("\n")[2]
    if returncode is None and last.startswith(OWN_WORDS) and _by_words(last) == "infra":
        # nobody saw the exit status, but these are the words with which an attempt ends on a failing disk
        return Failure.of("infra", one_line(last.removeprefix(OWN_WORDS)))
    if returncode is None or returncode == -signal.SIGKILL:
        # nothing can be said by a process that is killed so; older trace-backs in its log were survived
        return Failure.of("killed", how)
    cause = root_cause(log)
    if cause is None or cause.is_report:
        return diverged(folder / METRICS_FILE) or _of_last_words(cause, how, log)
    return _of_cause(cause, folder)


def tail(path: Path) -> str:
    """The last `LOG_TAIL` bytes of a log as text; empty when there is none."""
    try:
        with open_to_read(path) as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - LOG_TAIL))
            return file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _reward_note(folder: Path) -> Failure | None:
    """The plugin leaves a note when a reward raised, because verl goes on or reports something else."""
    path = folder / REWARD_FAILURE.name
    note = REWARD_FAILURE.load(path)
    if note is None:
        return None
    hint = f"the completion is kept: toolrl reward explain {path}"
    return Failure.of("reward", one_line(str(note.get("error", "a reward raised"))), hint)


def _of_exception(error: BaseException) -> Failure:
    """A stage that failed in this process: its exception is the cause."""
    if isinstance(error, StageError) and error.failure_class:
        return Failure.of(failure_class(error.failure_class), one_line(_where(error)), error.hint)
    if isinstance(error, ToolrlError):
        kind: FailureClass = (
            "config" if isinstance(error, SpecError) else _by_words(_where(error)) or "unknown"
        )
        return Failure.of(kind, one_line(_where(error)), error.hint)
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Failure.of(_by_words(text) or "unknown", one_line(text))


def _where(error: ToolrlError) -> str:
    return f"{error.where}: {error.what}" if error.where else error.what


def _of_cause(cause: Raised, folder: Path) -> Failure:
    text = one_line(str(cause))
    # a refusal by Hydra is printed without a type
    kind: FailureClass | None = _by_words(cause.words) if cause.kind else "config"
    if kind is None and any(_REWARD_FRAMES.search(frame) for frame in cause.frames):
        kind = "reward"
    if kind is None and any(_CONFIG_FRAMES.search(frame) for frame in cause.frames[-2:]):
        kind = "config"
    if kind is None:
        lost = diverged(folder / METRICS_FILE)
        if lost:
            return lost
    return Failure.of(kind or "unknown", text)


def _of_last_words(report: Raised | None, how: str, log: str) -> Failure:
    """Nothing was raised that explains the end: a process died without a word, or printed a line and left."""
    if report is not None:
        kind = _by_words(report.words) or ("killed" if "Died" in report.kind else "unknown")
        return Failure.of(kind, one_line(f"{how}: {report}"))
    lines = [line for line in log.splitlines() if line.strip() and not line.endswith(how)]
    last = one_line(lines[-1].rpartition("\r")[2]) if lines else ""
    return Failure.of(_by_words(last) or "unknown", f"{how}; its last words: {last}" if last else how)


def _ending(returncode: int | None) -> str:
    return "ended without a word" if returncode is None else describe_exit(returncode)


def _by_words(text: str) -> FailureClass | None:
    return next((kind for kind, pattern in _BY_CAUSE_COMPILED if pattern.search(text)), None)


def one_line(text: str) -> str:
    """`text` on one line of bounded length."""
    return cut(" ".join(text.split()), LONGEST_MESSAGE)
