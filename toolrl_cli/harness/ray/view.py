"""What one cluster says, asked no oftener than is of use."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from toolrl_cli.errors import LaunchError
from toolrl_cli.harness.ray.jobs_api import JobsApi, NoAnswer, Site

FRESH = 1.0
"""Seconds for which an answer serves those who ask again."""

DOWN = 15.0
"""The same of no answer, which may take the time limit to find out."""

NODES_FRESH = 60.0

DELETED = 0.3
"""Seconds after which a job that is missing is looked for again: one that is submitted again is deleted first."""


class View:
    """One cluster, as this command sees it."""

    def __init__(self, site: Site) -> None:
        self.api = JobsApi(site)
        self._jobs: dict[str, dict[str, Any]] = {}
        self._listed = -1e9
        self._down: tuple[float, str] = (-1e9, "")
        self._totals: tuple[float, list[dict[str, float]]] = (-1e9, [])

    def jobs(self, wanted: Iterable[str]) -> Mapping[str, Mapping[str, Any]]:
        """All jobs by id: from the last answer, if it is fresh and has all that are wanted.

        Raises:
            LaunchError: the cluster does not answer, or refuses.
        """
        wanted = list(wanted)
        found = self._listing(wanted)
        if not all(job in found for job in wanted):
            time.sleep(DELETED)
            found = self._listing(wanted)
        return found

    def _listing(self, wanted: Iterable[str]) -> Mapping[str, Mapping[str, Any]]:
        now = time.monotonic()
        if now - self._down[0] < DOWN:
            raise NoAnswer(self._down[1])
        if now - self._listed >= FRESH or not all(job in self._jobs for job in wanted):
            try:
                self._jobs = self.api.jobs()
            except LaunchError as error:
                self._down = (time.monotonic(), error.what)
                raise
            self._listed = time.monotonic()
        return self._jobs

    def forget(self) -> None:
        """Have the next question asked."""
        self._listed = -1e9

    def totals(self) -> list[dict[str, float]]:
        """What each node has; empty where that is not told."""
        at, totals = self._totals
        if time.monotonic() - at >= NODES_FRESH:
            try:
                totals = self.api.totals()
            except LaunchError:  # an older Ray, or a dashboard without this part: it only explains a wait
                totals = []
            self._totals = (time.monotonic(), totals)
        return totals
