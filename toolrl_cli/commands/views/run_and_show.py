"""Running a plan from the command line: what `sweep` and `resume` share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from toolrl_cli.api.running import Execution, Watch, execute
from toolrl_cli.commands.exit_status import OK
from toolrl_cli.commands.options import note
from toolrl_cli.commands.report import print_report
from toolrl_cli.commands.views.live import LiveView
from toolrl_cli.harness.events import Observer
from toolrl_cli.planning.plan import Plan


def run_and_show(
    plan: Plan,
    chosen: Plan,
    text: str | None,
    options: Execution,
    set_back: Callable[[], Iterable[tuple[str, str]]] = tuple,
    *,
    as_json: bool = False,
) -> int:
    """Run what `chosen` owes, see `api.running.execute`, with a live view, and print the report; the exit status."""

    @contextmanager
    def live(shown: Plan) -> Iterator[Observer]:
        with LiveView(shown, quiet=as_json) as view:
            yield view.notice

    outcome = execute(plan, chosen, text, options, set_back, Watch(note, live))
    print_report(outcome.report, "json" if as_json else "terminal")
    everything = all(end == "succeeded" for end in outcome.ends.values())
    if everything and not as_json and outcome.folder is not None:
        note(f"tables and curves: {os.path.relpath(outcome.folder)}")
    if outcome.blocked:
        reasons = [f"{why} ({n} stage{'' if n == 1 else 's'})" for why, n in outcome.blocked.items()]
        note(f"{chosen.sweep}: not run: {'; '.join(reasons)}")
    return outcome.exit_status or OK
