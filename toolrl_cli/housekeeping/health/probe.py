"""What the probe of `toolrl doctor --launcher` finds where it was sent; `launcher_checks` reads it."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from toolrl_cli.processes.gpus import DEVICES, visible_gpus
from toolrl_cli.processes.process_id import host_name
from toolrl_cli.spec.stage import StageContext
from toolrl_cli.store.files import write_json

FOUND = "probe.json"
ASKED = "asked.txt"
LOCKED = "locked"
HUB = ("huggingface.co", 443)
PATIENCE = 5.0


def run(ctx: StageContext) -> None:
    """Look at the file system, the clock, the devices and the network, and write it down."""
    folder = ctx.results
    asked = folder / ASKED
    found = {
        "host": host_name(),
        "python": list(sys.version_info[:3]),
        "executable": sys.executable,
        "asked": asked.read_text(encoding="utf-8") if asked.exists() else None,
        "lock": _lock(folder / LOCKED),
        "link": _link(ctx.attempt_dir),
        "devices": os.environ.get(DEVICES),
        "gpus": visible_gpus(),
        "hub": _reaches(*HUB),
        "scratch": {"folder": tempfile.gettempdir(), "free": shutil.disk_usage(tempfile.gettempdir()).free},
        "clock": offset(ctx.attempt_dir / "clock"),
    }
    # the last: whoever waits for the file sees from its time how late it sees it
    write_json(ctx.attempt_dir / FOUND, {**found, "written": time.time()})


def offset(path: Path) -> float:
    """Seconds by which this machine's clock is ahead of that of the file's server."""
    before = time.time()
    path.write_bytes(b"")
    after = time.time()
    return (before + after) / 2 - path.stat().st_mtime


def _lock(path: Path) -> str:
    """What a lock that the asking machine holds looks like from here: `held`, `free`, or why it cannot be asked."""
    try:
        with path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return "free"
    except BlockingIOError:
        return "held"
    except OSError as error:
        return "held" if error.errno in (errno.EACCES, errno.EAGAIN) else error.strerror or str(error)


def _link(folder: Path) -> str:
    """Whether a stage can be claimed and a state replaced: hard link and atomic rename; empty, or what fails."""
    one, two = folder / ".one", folder / ".two"
    try:
        one.write_text("1", encoding="utf-8")
        os.link(one, two)
        one.write_text("2", encoding="utf-8")
        one.replace(two)
        return "" if two.read_text(encoding="utf-8") == "2" else "rename leaves the old content"
    except OSError as error:
        return error.strerror or str(error)
    finally:
        two.unlink(missing_ok=True)


def _reaches(host: str, port: int) -> str:
    """Empty where the host answers, else why not."""
    try:
        socket.create_connection((host, port), PATIENCE).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def figures(data: dict[str, Any], key: str) -> str:
    """A version as people write it."""
    return ".".join(str(part) for part in data.get(key) or ())
