"""Attempts as jobs of a Ray cluster; see `toolrl_cli.harness.ray`."""

from __future__ import annotations

from toolrl_cli.harness.launcher import LauncherKind, LaunchPlan
from toolrl_cli.harness.ray.launcher import RayLauncher
from toolrl_cli.harness.ray.preview import preview
from toolrl_cli.harness.ray.settings import RaySettings


def open_cluster(plan: LaunchPlan) -> RayLauncher:
    """A launcher with the plan's settings."""
    return RayLauncher(plan.settings if isinstance(plan.settings, RaySettings) else RaySettings())


RAY = LauncherKind(
    "ray", open_cluster, reach=RayLauncher, settings=RaySettings, preview=preview, several_nodes=True
)
