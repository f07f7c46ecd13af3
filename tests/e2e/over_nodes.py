"""Stages over both nodes of a cluster on this machine, and all processes that they have there."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from tests.support.stages import FUNCTIONS, Stages, eventually
from toolrl_cli.harness.launcher import Launcher
from toolrl_cli.harness.starting import AttemptOptions, Started, start_attempt
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.state import Handle, StageState

TAG = "TOOLRL_TEST_TAG"


class OverNodes:
    """Starts them, and sees what becomes of them.

    Args:
        ledger, stages: the test's.
        device: what they run on.

    Attributes:
        tag: value of the variable `TAG` by which their processes are known, and not those of others.
    """

    def __init__(self, ledger: Ledger, stages: Stages, device: str) -> None:
        self.ledger, self.stages, self.device, self.tag = ledger, stages, device, secrets.token_hex(8)

    def launcher(self) -> Launcher:
        raise NotImplementedError

    def start(self, name: str, gpus: int = 1) -> tuple[StageSpec, Handle]:
        """Start one that runs a Ray driver over its nodes until it is ended."""
        config = {"seconds": 600, "resources": {"nodes": 2, "gpus": gpus, "device": self.device}}
        spec = self.stages(name, kind="rl", config=config, total_steps=1, slots=2 * gpus, nodes=2)
        options = AttemptOptions({"rl": f"{FUNCTIONS}:run_over_ray"}, heartbeat=0.5)
        started = start_attempt(self.ledger.folder(spec), spec, self.launcher(), (), options)
        assert isinstance(started, Started) and started.state.launcher is not None
        return spec, started.state.launcher

    def until_up(self, *specs: StageSpec) -> list[str]:
        """Wait until their drivers work; what those say."""
        said = []
        for spec in specs:
            folder = self.ledger.folder(spec).attempt(1)
            eventually((folder / "up").exists, 600, lambda f=folder: _logs(f))  # type: ignore[misc]
            said.append((folder / "up").read_text())
        return said

    def state(self, spec: StageSpec) -> StageState:
        return self.ledger.read(spec)

    def processes(self, words: str = "") -> dict[int, str]:
        """pid → command line of theirs that holds these words."""
        found = {}
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                argv = Path(entry.path, "cmdline").read_text(errors="replace").replace("\0", " ")
                marked = f"{TAG}={self.tag}" in Path(entry.path, "environ").read_text(errors="replace")
            except OSError:
                continue
            if marked and words in argv:
                found[int(entry.name)] = argv
        return found

    def until_all_have_ended(self) -> None:
        eventually(lambda: not self.processes(), 300, lambda: "\n".join(self.processes().values()))


def _logs(folder: Path) -> str:
    return "\n".join(path.read_text() for path in folder.glob("*.txt"))
