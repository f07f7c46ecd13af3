"""`toolrl reward`: why a completion got its score, and which rewards there are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolrl_cli.commands import completing
from toolrl_cli.commands.examples import epilog
from toolrl_cli.commands.options import AsJson, print_json
from toolrl_cli.commands.views.consoles import stdout_console
from toolrl_cli.store.schemas import PRINTED

DESIGNS = ("original", "equal_max", "finegrained", "intermediate", "coarse")

app = typer.Typer(help="Explain, list and compare rewards.", epilog=epilog("reward"), no_args_is_help=True)


@app.command("explain", epilog=epilog("reward explain"))
def explain(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[COMPLETION [GROUND_TRUTH]]",
            help="Text files, - for standard input; or one reward_failure.json.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="FILE.parquet",
            help="Take the ground truth from RL rows; without COMPLETION it is scored against itself.",
            show_default=False,
        ),
    ] = None,
    rollouts: Annotated[
        Path | None,
        typer.Option("--rollouts", metavar="FILE.jsonl", help="Take both from a dump.", show_default=False),
    ] = None,
    row: Annotated[
        int | None,
        typer.Option("--row", min=0, help="Which row of --data or --rollouts, from 0.", show_default=False),
    ] = None,
    rewards: Annotated[
        list[str] | None,
        typer.Option(
            "--reward",
            metavar="NAME|FILE.yaml",
            help="Repeatable: side by side (`toolrl reward list`). Default: the run's own where the file lies in "
            "a run, else original.",
            autocompletion=completing.rewards,
            show_default=False,
        ),
    ] = None,
    step: Annotated[
        int | None,
        typer.Option(
            "--step", min=0, help="verl's global step; default: the row's, else 0.", show_default=False
        ),
    ] = None,
    total_steps: Annotated[
        int | None,
        typer.Option("--total-steps", min=1, help="Length of the run; runs know theirs.", show_default=False),
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option(
            "--tokens",
            min=0,
            help="Length of the completion in tokens, for rewards that ask for it.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Explain a score: parse, alignment of calls, every term of every part, and where code and paper differ."""
    from toolrl_cli.commands.views import reward_views as views
    from toolrl_cli.commands.views.exit_status import FAILED
    from toolrl_cli.commands.views.reward_cases import find_case
    from toolrl_cli.rewards import RewardError, get_reward
    from toolrl_cli.rewards.explain import explain as explain_score

    case = find_case(files or [], data, rollouts, row)
    at = case.step if step is None else step
    length = total_steps or case.total_steps
    long = case.tokens if tokens is None else tokens
    chosen = [get_reward(name) for name in rewards or ()] or [case.reward or get_reward("original")]
    explanations, faults = [], []
    for reward in chosen:
        try:
            explanations.append(
                explain_score(
                    *(reward, case.completion, case.ground_truth, at, length, long, case.row),
                    *(case.others, case.place),
                )
            )
        except RewardError as error:
            if error.completion is None:  # about the reward or the ground truth
                raise
            faults.append((reward.name, str(error)))
    if as_json:
        print_json(
            {
                "schema": PRINTED,
                "source": case.source,
                "completion": case.completion,
                "ground_truth": case.ground_truth,
                "logged": case.logged,
                "failure": case.failure or None,
                "explanations": [explanation.to_dict() for explanation in explanations],
                "faults": [{"reward": name, "error": error} for name, error in faults],
            }
        )
    else:
        views.show_case(stdout_console(), case, explanations, faults)
    if faults:
        raise typer.Exit(FAILED)


@app.command("list", epilog=epilog("reward list"))
def list_designs(
    fidelity: Annotated[
        str,
        typer.Option(
            "--fidelity",
            metavar="WHICH",
            help="released (as the code computes it) or paper (its formulas).",
            autocompletion=completing.one_of("released", "paper"),
        ),
    ] = "released",
    field: Annotated[
        bool, typer.Option("--field", help="Other papers' designs that look at one turn.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the named designs: formula, range at the first and the last step of the paper's runs, source."""
    from toolrl_cli.commands.views import reward_views as views
    from toolrl_cli.errors import SpecError
    from toolrl_cli.rewards.catalogue import catalogue, field_catalogue
    from toolrl_cli.rewards.components import FIDELITIES
    from toolrl_cli.spec.suggest import hint_for

    if field:
        if fidelity != "released":
            raise SpecError("is of ToolRL's own designs", "--fidelity", "leave it out, or --field")
        found = field_catalogue()
        if as_json:
            print_json({"schema": PRINTED, "designs": [design.to_dict() for design in found]})
        else:
            views.show_field(stdout_console(), found)
        return
    if fidelity not in FIDELITIES:
        raise SpecError(
            f"unknown fidelity {fidelity!r}", "--fidelity", hint_for(fidelity, FIDELITIES, "fidelities")
        )
    designs = catalogue(fidelity)
    if as_json:
        print_json({"schema": PRINTED, "fidelity": fidelity, "designs": [d.to_dict() for d in designs]})
    else:
        views.show_designs(stdout_console(), designs)


@app.command("compare", epilog=epilog("reward compare"))
def compare(
    rewards: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[REWARD]...",
            help="Names or files; default: ToolRL's designs of scale and granularity.",
            show_default=False,
            autocompletion=completing.rewards,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="FILE.parquet", help="RL rows; default: ToolWorld's.", show_default=False
        ),
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Most rows to look at.")] = 50,
    step: Annotated[int, typer.Option("--step", min=0, help="Where schedules are.")] = 1,
    total_steps: Annotated[
        int | None, typer.Option("--total-steps", min=1, help="Length of the run.", show_default=False)
    ] = None,
    rollouts: Annotated[int, typer.Option("--rollouts", min=2, help="Responses of a group.")] = 4,
    as_json: AsJson = False,
) -> None:
    """Score gold answers with one mistake each: what designs tell apart, before a GPU is spent.

    A wrong value, a missing parameter, an extra call, no call, broken JSON, a cut: each is scored on every row. A
    mistake that earns as much as the gold answer is one that training may learn.
    """
    from toolrl_cli.commands.views import reward_views as views
    from toolrl_cli.datasets.prepare import first_rows
    from toolrl_cli.rewards import get_reward
    from toolrl_cli.rewards.catalogue import PAPER_STEPS
    from toolrl_cli.rewards.comparing.compare import profile
    from toolrl_cli.rewards.reading import row_facts
    from toolrl_cli.training.rollout_dumps import gold_rows

    chosen = [get_reward(name) for name in rewards or DESIGNS]
    if data is None:
        made = first_rows("toolworld", {}, "val", rows)
        golds = [(str(row["reward_model"]["ground_truth"]), row_facts(row)) for row in made]
    else:
        golds = [(truth, row) for _, truth, row in gold_rows(data)[:rows]]
    length = total_steps if total_steps is not None else PAPER_STEPS
    profiles = [profile(reward, golds, step=step, total_steps=length, rollouts=rollouts) for reward in chosen]
    if as_json:
        told = {"rows": len(golds), "step": step, "total_steps": length, "rollouts": rollouts}
        print_json({"schema": PRINTED, **told, "designs": [profile.to_dict() for profile in profiles]})
    else:
        views.show_profiles(stdout_console(), profiles, len(golds), rollouts)
