"""A trainer of verl, and what runs it."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from toolrl_cli.training.cpu.cpu_options import cpu_command, hydra_arguments
from toolrl_cli.training.device import Device
from toolrl_cli.training.verl_options import Options


@dataclass(frozen=True)
class Trainer:
    """A trainer.

    Attributes:
        module: its program.
        options: of verl.
        device: where it runs.
        gpus: of each node that it takes; on CPUs, ranks.
        torchrun: whether it consists of ranks that torchrun starts (SFT), and is no driver of a Ray (RL).
        name: what messages call it; on the CPU, the program is the fork host.
    """

    module: str
    options: Options
    device: Device
    gpus: int
    torchrun: bool
    name: str

    def command(self) -> list[str]:
        """What runs it on this machine alone."""
        arguments = hydra_arguments(self.options)
        if self.device == "cpu":
            return cpu_command(self.module, arguments, ranks=self.gpus if self.torchrun else None)
        start = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={self.gpus}"]
        return [sys.executable, *(start if self.torchrun else ()), "-m", self.module, *arguments]
