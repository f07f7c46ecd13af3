"""One module a command; each parses, calls one function and prints."""

from __future__ import annotations

from collections.abc import Callable

import typer


def register_all(app: typer.Typer) -> None:
    """Add every command to the root, in the order in which `--help` lists them."""
    from toolrl_cli.commands import data, doctor, gc, init, plan, report, resume, schema, stop, sweep, sync
    from toolrl_cli.commands.examples import epilog
    from toolrl_cli.commands.models import evaluate, serve
    from toolrl_cli.commands.rewards import rescore, reward
    from toolrl_cli.commands.seeing import diff, listing, logs, show, status

    def add(name: str, function: Callable[..., None]) -> None:
        app.command(name, epilog=epilog(name))(function)

    add("init", init.init)
    add("sweep", sweep.sweep)
    add("plan", plan.plan)
    add("list", listing.list_sweeps)
    add("status", status.status)
    add("resume", resume.resume)
    add("stop", stop.stop)
    add("logs", logs.logs)
    add("show", show.show)
    add("diff", diff.diff)
    add("report", report.report)
    add("rescore", rescore.rescore)
    app.add_typer(reward.app, name="reward")
    app.add_typer(data.app, name="data")
    add("evaluate", evaluate.evaluate)
    add("serve", serve.serve)
    add("sync", sync.sync)
    add("gc", gc.gc)
    add("doctor", doctor.doctor)
    add("schema", schema.schema)
