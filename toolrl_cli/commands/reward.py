"""`toolrl reward`: why a completion got its score, and which rewards there are."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolrl_cli.commands.options import AsJson, print_json

if TYPE_CHECKING:
    from toolrl_cli.rewards import Reward

app = typer.Typer(help="Explain and list rewards.", no_args_is_help=True)


@dataclass(frozen=True)
class Case:
    """What is to be explained.

    Attributes:
        source: where it was taken from, for people.
        reward: that it was scored with, where that is known: the default for `--reward`.
        logged: the score that was logged, if any.
        failure: the fault that ended the run on it; empty where there was none.
    """

    source: str
    completion: str
    ground_truth: str
    step: int = 0
    total_steps: int | None = None
    reward: Reward | None = None
    logged: float | None = None
    failure: str = ""


@app.command("explain")
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
            help="Repeatable: side by side. Default: the run's own where the file lies in a run, else original.",
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
    as_json: AsJson = False,
) -> None:
    """Explain a score: parse, alignment of calls, every term of every part, and where code and paper differ."""
    from toolrl_cli.commands import reward_views as views
    from toolrl_cli.commands.failures import FAILED
    from toolrl_cli.rewards import RewardError, get_reward
    from toolrl_cli.rewards.explain import explain as explain_score

    case = _case(files or [], data, rollouts, row)
    at = case.step if step is None else step
    length = total_steps or case.total_steps
    chosen = [get_reward(name) for name in rewards or ()] or [case.reward or get_reward("original")]
    explanations, faults = [], []
    for reward in chosen:
        try:
            explanations.append(explain_score(reward, case.completion, case.ground_truth, at, length))
        except RewardError as error:
            if error.completion is None:  # about the reward or the ground truth
                raise
            faults.append((reward.name, str(error)))
    if hasattr(sys.stdout, "reconfigure"):  # a completion may hold half a surrogate pair, which is no UTF-8
        sys.stdout.reconfigure(errors="backslashreplace")
    if as_json:
        print_json(
            {
                "schema": 1,
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
        from rich.console import Console

        views.show_case(Console(highlight=False), case, explanations, faults)
    if faults:
        raise typer.Exit(FAILED)


@app.command("list")
def list_designs(
    fidelity: Annotated[
        str, typer.Option("--fidelity", help="released (as the code computes it) or paper (its formulas).")
    ] = "released",
    as_json: AsJson = False,
) -> None:
    """List the named designs: formula, range at the first and the last step of the paper's runs, source."""
    from toolrl_cli.commands import reward_views as views
    from toolrl_cli.errors import SpecError
    from toolrl_cli.rewards.catalogue import catalogue
    from toolrl_cli.rewards.components import FIDELITIES
    from toolrl_cli.spec.suggest import hint_for

    if fidelity not in FIDELITIES:
        raise SpecError(
            f"unknown fidelity {fidelity!r}", "--fidelity", hint_for(fidelity, FIDELITIES, "fidelities")
        )
    designs = catalogue(fidelity)
    if as_json:
        print_json({"schema": 1, "fidelity": fidelity, "designs": [d.to_dict() for d in designs]})
    else:
        from rich.console import Console

        views.show_designs(Console(highlight=False), designs)


def _case(files: list[str], data: Path | None, rollouts: Path | None, row: int | None) -> Case:
    """Find the completion and its ground truth.

    Raises:
        SpecError: the arguments do not say which, or it is not there.
    """
    from toolrl_cli.errors import SpecError

    if (row is None) != (data is None and rollouts is None):
        raise SpecError(
            "--row goes with --data or --rollouts",
            "reward explain",
            "for example --data train.parquet --row 3",
        )
    if data is not None and rollouts is None and row is not None and len(files) < 2:
        return _of_data(data, row, files)
    if rollouts is not None and data is None and row is not None and not files:
        return _of_rollouts(rollouts, row)
    if data is None and rollouts is None and len(files) == 2:
        return Case(" against ".join(files), _text(files[0]), _text(files[1]))
    if data is None and rollouts is None and len(files) == 1:
        return _of_failure(Path(files[0]))
    raise SpecError(
        "give one completion and its ground truth",
        "reward explain",
        "COMPLETION GROUND_TRUTH, or [COMPLETION] --data FILE --row N, or --rollouts FILE --row N, "
        "or a reward_failure.json",
    )


def _of_data(data: Path, row: int, files: list[str]) -> Case:
    from toolrl_cli.training.rollout_dumps import gold_answers

    answers = gold_answers(data)
    _check_row(row, len(answers), data)
    name, gold = answers[row]
    source = f"{files[0]} against row {name} of {data}" if files else f"row {name} of {data} against itself"
    return Case(source, _text(files[0]) if files else gold, gold)


def _of_rollouts(path: Path, row: int) -> Case:
    from toolrl_cli.training.rollout_dumps import read_file

    dump = read_file(path)
    _check_row(row, len(dump.rollouts), path)
    rollout = dump.rollouts[row]
    return Case(
        source=f"row {row} of {path}",
        completion=rollout.completion,
        ground_truth=rollout.ground_truth,
        step=rollout.step,
        total_steps=dump.total_steps,
        reward=dump.reward,
        logged=rollout.logged,
    )


def _of_failure(path: Path) -> Case:
    from toolrl_cli.errors import SpecError
    from toolrl_cli.training.rollout_dumps import origin_of

    try:
        saved = json.loads(_text(str(path)))
    except ValueError:
        saved = None
    if not _is_failure(saved):
        hint = "give the ground truth as the second file, or --data FILE --row N"
        raise SpecError("is no reward_failure.json, and a completion alone has no score", str(path), hint)
    return Case(
        source=str(path),
        completion=saved["completion"],
        ground_truth=saved["ground_truth"],
        step=saved["step"],
        total_steps=saved.get("total_steps"),
        reward=origin_of(path).reward,
        failure=str(saved.get("error", "")),
    )


def _is_failure(saved: Any) -> bool:
    texts = isinstance(saved, dict) and all(
        isinstance(saved.get(key), str) for key in ("completion", "ground_truth")
    )
    return texts and isinstance(saved.get("step"), int)


def _check_row(row: int, rows: int, path: Path) -> None:
    from toolrl_cli.errors import SpecError

    if row >= rows:
        raise SpecError(f"there is no row {row}", str(path), f"its rows are 0 to {rows - 1}")


def _text(name: str) -> str:
    """A file's text or standard input's, to the last carriage return: the reward sees those too.

    Raises:
        SpecError: it cannot be read.
    """
    from toolrl_cli.errors import SpecError

    try:
        raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return raw.decode("utf-8")
    except OSError as error:
        raise SpecError(f"cannot be read: {error.strerror}", name, "check the path") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"is not UTF-8: {error.reason} at byte {error.start}", name) from error
