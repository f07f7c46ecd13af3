"""toolrl from Python: everything that the command line does, quiet, typed, and without a process exit.

    from toolrl_cli import api

    plan = api.plan("sweeps/quickstart.yaml")      # what would run, why, and what it takes
    outcome = api.run(plan)                        # run what is owed
    api.results(sweeps=["quickstart"])             # a DataFrame: a row for each run, benchmark and column
    api.curves(sweeps=["quickstart"])              # a DataFrame: a row for each run, step and metric
    api.report(["quickstart"])                     # the comparison tables

Plans, outcomes and reports show themselves in a notebook. What a user can mend is raised as a `ToolrlError`, whose text
is the one line that a command would print.
"""

from toolrl_cli.api.frames import curves, results
from toolrl_cli.api.plans import SweepPlan, plan, plan_resume
from toolrl_cli.api.reports import report
from toolrl_cli.api.running import Outcome, resume, run
from toolrl_cli.errors import ToolrlError
from toolrl_cli.report.api import Report
from toolrl_cli.rewards import get_reward as reward

__all__ = [
    "Outcome",
    "Report",
    "SweepPlan",
    "ToolrlError",
    "curves",
    "plan",
    "plan_resume",
    "report",
    "results",
    "resume",
    "reward",
    "run",
]
