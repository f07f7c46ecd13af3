"""`toolrl evaluate`: a model scored on benchmarks, without a sweep file."""

from __future__ import annotations

from typing import Annotated

import typer

from toolrl_cli.commands import completing
from toolrl_cli.commands.options import AsJson, Launcher, Results, WandbMode, announce_check, note


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|URL",
            help="A model folder, a name on the hub, or the URL of an OpenAI-compatible endpoint.",
            show_default=False,
        ),
    ],
    benchmarks: Annotated[
        list[str],
        typer.Option(
            "--benchmark",
            metavar="NAME",
            help="toolworld, api_bank, bamboogle, bfcl, bfcl_native, bfcl_v4 or bfcl_v4_native, "
            "or FILE.py; repeatable.",
            autocompletion=completing.benchmarks,
            show_default=False,
        ),
    ],
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="At most so many items of each category.", show_default=False),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--label",
            metavar="NAME",
            help="Models with one label share a table; `toolrl report NAME` shows it.",
            show_default=False,
        ),
    ] = None,
    key_env: Annotated[
        str,
        typer.Option("--key-env", metavar="VAR", help="Environment variable with the endpoint's key."),
    ] = "",
    model_name: Annotated[
        str | None,
        typer.Option(
            "--model-name",
            metavar="NAME",
            help="What the endpoint calls the model (default: its only one), or tables call the one in a folder.",
            show_default=False,
        ),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Such as evaluation.batch_size=8.",
            autocompletion=completing.settings,
            show_default=False,
        ),
    ] = None,
    launcher: Launcher = "local",
    wandb: WandbMode = "disabled",
    results: Results = None,
    as_json: AsJson = False,
) -> None:
    """Score a model on benchmarks. Killed and issued again, it asks only what is owed."""
    from toolrl_cli.api import plan
    from toolrl_cli.api.evaluating import evaluation_sweep, remember
    from toolrl_cli.commands.views.run_and_show import run_and_show
    from toolrl_cli.store.roots import results_root

    root = results_root(results)
    sweep, notes = evaluation_sweep(
        model, benchmarks, results=root, label=label, limit=limit, key_env=key_env, model_name=model_name
    )
    planned = plan(sweep, results=root, sets=sets or (), announce=announce_check, fetch=True)
    for line in (*notes, *planned.notes):
        note(line)
    remember(sweep, root)
    raise typer.Exit(run_and_show(planned, launcher=launcher, wandb=wandb, fail_fast=False, as_json=as_json))
