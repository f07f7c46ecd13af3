"""Stages for tests, and what dead owners leave behind."""

from __future__ import annotations

import dataclasses
import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support.configs import whole_config
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.lease import LeaseInfo

FUNCTIONS = "tests.support.stage_functions"
ROOT = Path(__file__).parents[2]


ATTEMPTS = ("toolrl_cli.attempt.execution", "toolrl_cli.harness.slurm.job")


class Stages:
    """Makes stages whose ids no other test has, so that their processes can be told from those of others."""

    def __init__(self) -> None:
        self.tag = secrets.token_hex(5)

    def __call__(
        self,
        name: str,
        kind: str = "export",
        *,
        after: tuple[StageSpec, ...] = (),
        config: Mapping[str, Any] | None = None,
        **rest: Any,
    ) -> StageSpec:
        return StageSpec(
            id=f"{name}-{self.tag}",
            kind=kind,
            identity={"name": name},
            inputs={f"input{n}": spec.id for n, spec in enumerate(after)},
            config=whole_config(kind, config),
            **rest,
        )

    def processes(self) -> list[ProcessId]:
        """Processes on this machine that belong to attempts of these stages."""
        return [process for process, _ in self.processes_with_argv()]

    def processes_with_argv(self) -> list[tuple[ProcessId, str]]:
        found = []
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit():
                continue
            try:
                argv = Path(entry.path, "cmdline").read_text(errors="replace").replace("\0", " ")
                environment = Path(entry.path, "environ").read_text(errors="replace")
            except OSError:
                continue
            attempt = any(module in argv for module in ATTEMPTS) and self.tag in argv
            if attempt or f"-{self.tag}/" in environment:
                process = ProcessId.of(int(entry.name))
                if process:
                    found.append((process, argv))
        return found


def eventually(
    condition: Callable[[], object],
    seconds: float = 300.0,
    told: Callable[[], str] = lambda: "it did not happen",
) -> None:
    """Wait for something that another process does; `told` says how things stand when it does not happen.

    The limit is for a hang, and no measure of speed: other work may keep the machine busy.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.01)


def dead_process() -> ProcessId:
    """One whose pid another process has now."""
    me = ProcessId.current()
    return dataclasses.replace(me, start_time=me.start_time - 1)


def leave_lease(folder: Path, owner: ProcessId | None, *, token: str = "t1", name: str = "lease") -> None:
    """Put a lease there as its owner would have left it; None: an owner on no machine."""
    (folder / name).write_bytes(LeaseInfo(owner, "attempt", 1, {}, token, 1.0, 1.0).encode())
