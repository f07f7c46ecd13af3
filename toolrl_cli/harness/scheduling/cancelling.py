"""Ends attempts: asked first, killed after a while, and asked again where their launcher did not answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from toolrl_cli.errors import LaunchError
from toolrl_cli.harness.reach import Reach
from toolrl_cli.harness.scheduling.nodes import Watched

AGAIN = 15.0  # seconds until a launcher that did not answer is asked again


class Cancelling:
    """The attempts of one scheduler that are to end.

    Args:
        reach: the launchers.
        clock: seconds.
        tell_once: told why a launcher does not answer.

    Attributes:
        kill_at: when those that still run are killed, by the clock.
    """

    def __init__(self, reach: Reach, clock: Callable[[], float], tell_once: Callable[[str], None]) -> None:
        self._reach, self._clock, self._tell_once = reach, clock, tell_once
        self.kill_at = math.inf
        self._unheard: list[tuple[float, Watched, bool]] = []  # when to ask again, whom, whether to kill

    def ask(self, attempts: Iterable[Watched], grace: float) -> None:
        """Ask all to end, and give them so many seconds."""
        self.kill_at = self._clock() + grace
        for attempt in attempts:
            attempt.asked_to_stop = True
            self._cancel(attempt)

    def kill_now(self) -> None:
        """Give them no more time."""
        self.kill_at = self._clock()

    def go_on(self, attempts: Callable[[], Iterable[Watched]]) -> None:
        """Do what is due: ask those again whose launcher did not answer, kill those that had their time."""
        now = self._clock()
        due = [entry for entry in self._unheard if entry[0] <= now]
        self._unheard = [entry for entry in self._unheard if entry[0] > now]
        for _, attempt, kill in due:
            if attempt.ended is None:
                self._cancel(attempt, kill=kill)
        if self._clock() >= self.kill_at:
            self.kill_at = math.inf
            for attempt in attempts():
                self._cancel(attempt, kill=True)

    def _cancel(self, attempt: Watched, *, kill: bool = False) -> None:
        try:
            self._reach.cancel(attempt.handle, kill=kill)
        except LaunchError as error:  # the others are to stop all the same
            self._unheard.append((self._clock() + AGAIN, attempt, kill))
            self._tell_once(str(error))
