"""One module a command; each parses, calls one function and prints."""

from __future__ import annotations

import typer


def register_all(app: typer.Typer) -> None:
    """Add every command to the root, in the order in which `--help` lists them."""
    from toolrl_cli.commands import (
        data,
        doctor,
        gc,
        init,
        plan,
        report,
        rescore,
        resume,
        reward,
        schema,
        stop,
        sweep,
        sync,
    )
    from toolrl_cli.commands.models import evaluate, serve
    from toolrl_cli.commands.seeing import diff, listing, logs, show, status

    app.command("init")(init.init)
    app.command("sweep")(sweep.sweep)
    app.command("plan")(plan.plan)
    app.command("list")(listing.list_sweeps)
    app.command("status")(status.status)
    app.command("resume")(resume.resume)
    app.command("stop")(stop.stop)
    app.command("logs")(logs.logs)
    app.command("show")(show.show)
    app.command("diff")(diff.diff)
    app.command("report")(report.report)
    app.command("rescore")(rescore.rescore)
    app.add_typer(reward.app, name="reward")
    app.add_typer(data.app, name="data")
    app.command("evaluate")(evaluate.evaluate)
    app.command("serve")(serve.serve)
    app.command("sync")(sync.sync)
    app.command("gc")(gc.gc)
    app.command("doctor")(doctor.doctor)
    app.command("schema")(schema.schema)
