"""What became of feeding W&B and the loggers beside it: `wandb_status.json` and `loggers_status.json` of a sweep, which
`toolrl status` shows."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from toolrl_cli.errors import LedgerError
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.store.files import write_json
from toolrl_cli.store.roots import command
from toolrl_cli.store.schemas import LOGGERS_STATUS, WANDB_STATUS, Document
from toolrl_cli.store.sweep_folder import SweepFolder
from toolrl_cli.tracking.file_age import seconds_old

BEAT = 15.0
"""Seconds between two writings of the document by a publisher that lives, at most."""

SILENT = 120.0
"""Seconds without one after which a publisher on another machine counts as dead; NFS may show a file 60 s late."""

LOGGERS = "loggers"
"""The mode of who feeds the loggers beside W&B."""


@dataclass(frozen=True)
class RunStatus:
    """One run.

    Attributes:
        id: of the W&B run.
        rows: that the files have.
        sent: rows that the server was seen to have; offline, that are kept.
        content: a digest of what was told beside the rows, once all of it was seen there.
        fault: why not all of it is there; empty where it is, or is on its way.
        marks: what told its files, when they were read, from what they may be now (`told.marks_of`).
    """

    id: str
    rows: int = 0
    sent: int = 0
    content: str = ""
    fault: str = ""
    marks: str = ""

    @property
    def complete(self) -> bool:
        """Whether all that the files have is there."""
        return bool(self.content) and self.sent >= self.rows and not self.fault


@dataclass(frozen=True)
class PublishingStatus:
    """A sweep's runs in W&B.

    Attributes:
        mode: online or offline; `loggers`: beside W&B.
        process: who feeds it, or did.
        ended: it has told all it could, and is gone or about to be.
        runs: run → how it stands.
        urls: run → where it can be looked at.
        silent: seconds since its process last wrote this, where that is on a machine that cannot be seen from here.
    """

    mode: str
    process: Mapping[str, Any] = field(default_factory=dict)
    ended: bool = False
    runs: Mapping[str, RunStatus] = field(default_factory=dict)
    urls: Mapping[str, str] = field(default_factory=dict)
    silent: float = 0.0

    @property
    def at_work(self) -> bool:
        """Whether somebody feeds W&B now, here or on another machine."""
        alive = None if self.owner is None else self.owner.alive()
        if self.ended or self.owner is None or alive is False:
            return False
        return alive is True or self.silent < SILENT

    @property
    def owner(self) -> ProcessId | None:
        """Who feeds it, or did; None where nothing is known of that."""
        with suppress(KeyError, TypeError, ValueError):
            return ProcessId.from_json(self.process)
        return None

    @property
    def line(self) -> str:
        """What a person should know; empty where all is well."""
        missing = {run: status for run, status in self.runs.items() if not status.complete}
        faults = dict.fromkeys(status.fault for status in missing.values() if status.fault)
        if not missing or (self.at_work and not faults):
            return ""
        why = next(iter(faults), "") or "sending ended before all of it had arrived"
        others = f", and {len(faults) - 1} other reasons" if len(faults) > 1 else ""
        place = {"online": "in W&B", "offline": "kept for W&B"}.get(self.mode, "in the other loggers")
        return f"{len(missing)} of {len(self.runs)} runs are not complete {place}: {why}{others}"


def document_of(mode: str) -> Document:
    """Where it is written down how a sweep stands in W&B, or in the other loggers."""
    return LOGGERS_STATUS if mode == LOGGERS else WANDB_STATUS


def read_status(sweep: Path, mode: str = "") -> PublishingStatus | None:
    """How the sweep in a folder stands; None where nothing was told, or that is not known.

    Args:
        sweep: `RESULTS/sweeps/<sweep>`.
        mode: `loggers` for those beside W&B.

    Raises:
        LedgerError: the file is there and cannot be read.
    """
    document = document_of(mode)
    data = document.load(sweep / document.name)
    if data is None:
        return None
    try:
        runs = {str(run): RunStatus(**entry) for run, entry in data["runs"].items()}
        urls = dict(data.get("urls") or {})
        status = PublishingStatus(str(data["mode"]), data["process"], bool(data["ended"]), runs, urls)
    except (KeyError, TypeError, AttributeError):
        return None
    if status.ended or status.owner is None or status.owner.alive() is not None:
        return status
    return replace(status, silent=seconds_old(sweep / document.name) or 0.0)


def told_of(results: Path, name: str) -> str:
    """What W&B or another logger lacks of a sweep, for `toolrl status`; empty where nothing."""
    lines = []
    for mode, what in (("", "W&B"), (LOGGERS, "loggers")):
        with suppress(LedgerError):
            status = read_status(SweepFolder(results, name).path, mode)
            if status is not None and status.line:
                lines.append(f"{what}: {status.line}")
    return f"{'; '.join(lines)}; `{command('sync', name, results=results)}` sends the rest" if lines else ""


class StatusWriter:
    """Keeps the document up to date; never more than once a second, and a full disk is no reason to end."""

    def __init__(self, sweep: Path, mode: str) -> None:
        self._document = document_of(mode)
        self._path = sweep / self._document.name
        self._mode = mode
        self._lock = threading.Lock()
        self._runs: dict[str, RunStatus] = {}
        self.urls: dict[str, str] = {}
        self._written = self._checked = 0.0
        with suppress(LedgerError):
            known = read_status(sweep, mode)
            if known and known.mode == mode:
                self._runs, self.urls = dict(known.runs), dict(known.urls)

    def __getitem__(self, run: str) -> RunStatus | None:
        return self._runs.get(run)

    def keep(self, runs: set[str]) -> None:
        """Forget runs that the sweep no longer has."""
        with self._lock:
            self._runs = {run: status for run, status in self._runs.items() if run in runs}

    def set(self, run: str, status: RunStatus) -> None:
        """How a run stands now."""
        with self._lock:
            changed = self._runs.get(run) != status
            self._runs[run] = status
        if changed and time.monotonic() - self._written > 1.0:
            self.write()

    def write(self, *, ended: bool = False) -> PublishingStatus:
        """Write it down."""
        with self._lock:
            self._written = time.monotonic()
            me = ProcessId.current().to_json()
            status = PublishingStatus(self._mode, me, ended, dict(self._runs), dict(self.urls))
            told = {key: value for key, value in asdict(status).items() if key != "silent"}
            with suppress(LedgerError):
                write_json(self._path, self._document.stamped(told), durable=False)
            return status

    def beat(self) -> bool:
        """Write it down where that is due, so that other machines see a life sign.

        Returns:
            False where another machine's publisher has taken over, because it saw none of this one.
        """
        now = time.monotonic()
        if now - self._checked < BEAT:
            return True
        self._checked = now
        with suppress(LedgerError):
            known = read_status(self._path.parent, self._mode)
            if known is not None and known.at_work and known.owner != ProcessId.current():
                return False
        self.write()
        return True
