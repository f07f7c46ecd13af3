"""Attempts as jobs of a Slurm cluster; see `toolrl_cli.harness.slurm`."""

from __future__ import annotations

from toolrl_cli.harness.launcher import LauncherKind, LaunchPlan
from toolrl_cli.harness.slurm.launcher import SlurmLauncher
from toolrl_cli.harness.slurm.preview import preview
from toolrl_cli.harness.slurm.script import check_devices
from toolrl_cli.harness.slurm.settings import SlurmSettings


def open_cluster(plan: LaunchPlan) -> SlurmLauncher:
    """A launcher with the plan's settings.

    Raises:
        LaunchError: stages were planned for another device than their jobs would get.
    """
    settings = plan.settings if isinstance(plan.settings, SlurmSettings) else SlurmSettings()
    check_devices(plan.stages, settings)
    return SlurmLauncher(settings)


SLURM = LauncherKind(
    "slurm",
    open_cluster,
    reach=SlurmLauncher,
    settings=SlurmSettings,
    preview=preview,
    chains=True,
    several_nodes=True,
)
