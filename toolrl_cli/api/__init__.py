"""toolrl from Python: everything that the command line does, quiet, typed, and without a process exit.

    from toolrl_cli import api

    api.init("my-folder")                          # a sweep, a reward, an evaluation and a table to start from
    plan = api.plan("sweeps/quickstart.yaml")      # what would run, why, and what it takes
    outcome = api.run(plan)                        # run what is owed
    api.status("quickstart")                       # where its runs stand, from any other process
    api.results(sweeps=["quickstart"])             # a DataFrame: a row for each run, benchmark and column
    api.curves(sweeps=["quickstart"])              # a DataFrame: a row for each run, step and metric
    api.machine(sweeps=["quickstart"])             # a DataFrame: processors, memory and GPUs that training used
    api.report(["quickstart"])                     # the comparison tables
    api.trial()                                    # what this machine does with a small one, in two minutes

A sweep is a file, a mapping with what would be in it, or the name of one that was started before. Plans, outcomes and
reports show themselves in a notebook. What a user can mend is raised as a `ToolrlError`, whose text is the one line
that a command would print; what a command would say meanwhile goes to the logger `toolrl`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolrl_cli.api.frames import curves, machine, results
    from toolrl_cli.api.listing import list_runs, list_sweeps
    from toolrl_cli.api.looking import diff, show
    from toolrl_cli.api.plans import SweepPlan, plan, plan_resume
    from toolrl_cli.api.reports import report
    from toolrl_cli.api.running import Outcome, resume, run
    from toolrl_cli.api.starting import init
    from toolrl_cli.api.sweeps import Stopped, status, stop
    from toolrl_cli.api.trials import Trial, trial
    from toolrl_cli.errors import ToolrlError
    from toolrl_cli.planning.sweep_status import SweepStatus
    from toolrl_cli.report.computed import Report
    from toolrl_cli.rewards import get_reward as reward

__all__ = [
    "Outcome",
    "Report",
    "Stopped",
    "SweepPlan",
    "SweepStatus",
    "ToolrlError",
    "Trial",
    "curves",
    "diff",
    "init",
    "list_runs",
    "list_sweeps",
    "machine",
    "plan",
    "plan_resume",
    "report",
    "results",
    "resume",
    "reward",
    "run",
    "show",
    "status",
    "stop",
    "trial",
]
_MODULES = {
    "api.frames": ("curves", "machine", "results"),
    "api.listing": ("list_runs", "list_sweeps"),
    "api.looking": ("diff", "show"),
    "api.plans": ("SweepPlan", "plan", "plan_resume"),
    "api.reports": ("report",),
    "api.running": ("Outcome", "resume", "run"),
    "api.starting": ("init",),
    "api.sweeps": ("Stopped", "status", "stop"),
    "api.trials": ("Trial", "trial"),
    "errors": ("ToolrlError",),
    "planning.sweep_status": ("SweepStatus",),
    "report.computed": ("Report",),
}
_PLACES = {name: (module, name) for module, names in _MODULES.items() for name in names}
_PLACES["reward"] = ("rewards", "get_reward")


def __getattr__(name: str) -> Any:
    """A function or class, imported when it is asked for: where a sweep stands is shown without the scheduler."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, there = _PLACES[name]
    return getattr(import_module(f"toolrl_cli.{module}"), there)


def __dir__() -> list[str]:
    return sorted(__all__)
