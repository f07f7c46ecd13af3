"""`toolrl rescore`: the same rollouts under several rewards, without a GPU."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolrl_cli.commands import completing
from toolrl_cli.commands.options import AsJson, Results, note, print_json, results_root
from toolrl_cli.commands.views.consoles import stdout_console

if TYPE_CHECKING:
    from toolrl_cli.commands.views.rescore_views import Comparison
    from toolrl_cli.rewards import Reward, RewardError
    from toolrl_cli.spec.planned_run import PlannedRun
    from toolrl_cli.training.rollout_dumps import Dump

FORMATS = ("terminal", "csv", "json", "markdown")


def rescore(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|FILE.jsonl…",
            help="Runs, or files.",
            autocompletion=completing.runs,
            show_default=False,
        ),
    ],
    rewards: Annotated[
        list[str] | None,
        typer.Option(
            "--reward",
            metavar="NAME|FILE.yaml",
            help="A reward to compare (`toolrl reward list`); repeatable. Default: every named design.",
            autocompletion=completing.rewards,
            show_default=False,
        ),
    ] = None,
    validation: Annotated[
        bool, typer.Option("--validation", help="Of runs: the validation responses, not the training ones.")
    ] = False,
    fields: Annotated[
        list[str] | None,
        typer.Option(
            "--field",
            metavar="OURS=THEIRS",
            help="Name of a field in the files: completion, ground_truth, group, step, logged or tokens; repeatable.",
            show_default=False,
        ),
    ] = None,
    logged_by: Annotated[
        str | None,
        typer.Option(
            "--logged-by",
            metavar="NAME|FILE.yaml",
            help="The reward that gave the logged scores of files; runs know theirs.",
            autocompletion=completing.rewards,
            show_default=False,
        ),
    ] = None,
    total_steps: Annotated[
        int | None,
        typer.Option("--total-steps", min=1, help="Length of the run; runs know theirs.", show_default=False),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="terminal, csv, json or markdown.",
            autocompletion=completing.one_of("terminal", "csv", "json", "markdown"),
        ),
    ] = "terminal",
    output: Annotated[
        Path | None,
        typer.Option("--output", help="Write every format and a PNG heat map to this folder."),
    ] = None,
    results: Results = None,
    as_json: AsJson = False,
) -> None:
    """Compare rewards on the same rollouts, without training.

    Of each reward: mean, spread, share of groups without gradient, agreement with exact match; of each pair: rank
    correlation, and how often their advantages have the same sign. The reward that a run was trained with must
    reproduce the scores that the run logged to 1e-6. Rows that cannot be read or scored are named and left out. Exit
    status 1 where either is the case.
    """
    from toolrl_cli.commands.views import rescore_views as views
    from toolrl_cli.commands.views.exit_status import FAILED

    _check_format(form)
    named = _fields(fields or ())
    root = results_root(results)
    found = [_found(source, root) for source in sources]
    _check_read(found, {"--field": named, "--logged-by": logged_by}, validation)
    dumps = [_without_tokens(_dump(source, root, validation, named, logged_by)) for source in found]
    comparison = _compare(dumps, _arms(rewards, dumps), total_steps)
    if output is not None:
        for path in views.write(comparison, output):
            note(f"wrote {path}")
    if as_json or form == "json":
        print_json(comparison.to_json())
    elif form == "terminal":
        views.show(stdout_console(), comparison)
    else:
        sys.stdout.write(views.RENDERERS[form](comparison))
    for source in comparison.sources:
        for line in source.notes:
            note(f"note: {source.name}: {line}")
    faults = [fault for source in comparison.sources for fault in source.faults()]
    for fault in faults:
        note(f"error: {fault}")
    if faults:
        raise typer.Exit(FAILED)


def _check_format(form: str) -> None:
    from toolrl_cli.errors import SpecError
    from toolrl_cli.spec.suggest import hint_for

    if form not in FORMATS:
        raise SpecError(f"unknown format {form!r}", "--format", hint_for(form, FORMATS, "formats"))


def _found(source: str, root: Path) -> Path | PlannedRun:
    """The file or the run that is meant.

    Raises:
        SpecError: there is no such file or run.
    """
    from toolrl_cli.errors import SpecError
    from toolrl_cli.store.sweep_folder import find_run

    path = Path(source)
    if path.is_file():
        return path
    if path.suffix in (".jsonl", ".json"):
        raise SpecError("no such file", source, "check the path")
    return find_run(root, source)


def _check_read(
    sources: Sequence[Path | PlannedRun], of_files: Mapping[str, object], validation: bool
) -> None:
    """Refuse an option that none of the sources reads.

    Raises:
        SpecError: it is of files, or of runs, and there is none.
    """
    from toolrl_cli.errors import SpecError

    files = [isinstance(source, Path) for source in sources]
    for option in (option for option, given in of_files.items() if given and not any(files)):
        raise SpecError(f"{option} is of files of rollouts", "rescore", "leave it out: a run knows its own")
    if validation and all(files):
        raise SpecError("--validation is of runs", "rescore", "name the file with the rollouts of validation")


def _fields(given: Sequence[str]) -> dict[str, str]:
    """`completion=text` … as a mapping.

    Raises:
        SpecError: it is no OURS=THEIRS, or OURS is no field.
    """
    from toolrl_cli.errors import SpecError
    from toolrl_cli.rewards.comparing.rescore import FIELDS
    from toolrl_cli.spec.suggest import hint_for

    fields = {}
    for text in given:
        ours, equals, theirs = text.partition("=")
        if not equals or not theirs:
            raise SpecError(f"{text!r} is not OURS=THEIRS", "--field", "for example --field completion=text")
        if ours not in FIELDS:
            raise SpecError(f"unknown field {ours!r}", f"--field {text}", hint_for(ours, FIELDS, "fields"))
        fields[ours] = theirs
    return fields


def _dump(
    source: Path | PlannedRun, root: Path, validation: bool, fields: dict[str, str], logged_by: str | None
) -> Dump:
    """The rollouts of a file, or of the RL stage of a run.

    Raises:
        SpecError: it has no rollouts.
    """
    from toolrl_cli.errors import SpecError
    from toolrl_cli.rewards import get_reward
    from toolrl_cli.store.ledger import Ledger
    from toolrl_cli.training.rollout_dumps import read_file, read_stage

    if isinstance(source, Path):
        dump = read_file(source, fields, bad=[])
        return replace(dump, reward=get_reward(logged_by)) if logged_by else dump
    stage = next((stage for stage in source.stages if stage.kind == "rl"), None)
    if stage is None:
        raise SpecError(f"run {source.id!r} has no RL stage", source.sweep, "only RL makes rollouts")
    return read_stage(Ledger(root).folder(stage).path, source.id, "validation" if validation else "rollouts")


def _without_tokens(dump: Dump) -> Dump:
    """A dump whose own reward cannot be asked again, because it lacks the responses' lengths, without that reward."""
    if (
        dump.reward is None
        or not dump.reward.needs_tokens
        or all(r.tokens is not None for r in dump.rollouts)
    ):
        return dump
    note = (
        f"{dump.reward.name} asks for each response's length in tokens, which is not among the rows: "
        "the logged scores are not compared"
    )
    return replace(dump, reward=None, notes=(*dump.notes, note))


def _arms(names: Sequence[str] | None, dumps: Sequence[Dump]) -> list[Reward]:
    """The rewards to compare, each once: those asked for, and before them those that the runs were trained with."""
    from toolrl_cli.rewards import get_reward
    from toolrl_cli.rewards.catalogue import catalogue

    wanted = [get_reward(name) for name in names or [design.name for design in catalogue()]]
    own = [dump.reward for dump in dumps if dump.reward is not None and dump.reward not in wanted]
    arms: list[Reward] = []
    for reward in [*own, *wanted]:
        if reward not in arms:
            taken = sum(other.name.partition(" #")[0] == reward.name for other in arms)
            arms.append(replace(reward, name=f"{reward.name} #{taken + 1}") if taken else reward)
    return arms


def _compare(dumps: Sequence[Dump], arms: Sequence[Reward], total_steps: int | None) -> Comparison:
    from toolrl_cli.commands.views.rescore_views import Comparison, Source
    from toolrl_cli.errors import SpecError
    from toolrl_cli.rewards.comparing import rescore as room
    from toolrl_cli.training.rollout_dumps import reproduce

    dumps = [replace(dump, total_steps=total_steps or dump.total_steps) for dump in dumps]
    # a group is a group within its source: two files may well name their prompts alike
    rollouts = [
        replace(rollout, group=f"{position}:{rollout.group}")
        for position, dump in enumerate(dumps)
        for rollout in dump.rollouts
    ]
    length = _length_of(dumps, arms)
    scored = room.score_rollouts(rollouts, arms, length)
    if not scored.totals:
        position, fault = next(iter(scored.faults.items()))
        place = [place for dump in dumps for place in dump.places][position]
        tried = f"none of {len(scored.faults)} rows can be scored"
        raise SpecError(fault.what, f"{place}: {fault.where}", f"{fault.hint}; {tried}")
    dumps = _scorable(dumps, scored.faults)
    kept = [rollouts[position] for position in scored.totals]
    result = room.rescore(kept, arms, length, list(scored.totals.values()))
    sources, begin = [], 0
    for dump in dumps:
        end = begin + len(dump.rollouts)
        means = {
            arm.name: sum(totals[begin:end]) / max(1, end - begin)
            for arm, totals in zip(arms, result.totals, strict=True)
        }
        checked = None
        if dump.reward is not None:
            own = next(arm for arm in arms if arm == dump.reward)
            checked = reproduce(dump, own, result.totals[arms.index(own)][begin:end])
        dump = replace(dump, notes=(*dump.notes, *_too_short(dump, arms)))
        sources.append(Source.of(dump, means, checked))
        begin = end
    return Comparison(result, tuple(sources))


def _too_short(dump: Dump, arms: Sequence[Reward]) -> list[str]:
    """What a reader must know of rewards that change over a run, where these rollouts end before they have."""
    from toolrl_cli.rewards.stretch import still_ahead

    last = max((rollout.step for rollout in dump.rollouts), default=0)
    ahead = {arm.name: steps for arm in arms if (steps := still_ahead(arm, last, dump.total_steps))}
    told = ", ".join(f"{name} (at step {' and '.join(map(str, steps))})" for name, steps in ahead.items())
    return [f"ends at step {last}, before rewards that change later have: {told}"] if ahead else []


def _scorable(dumps: Sequence[Dump], faults: Mapping[int, RewardError]) -> list[Dump]:
    """The dumps without the rollouts that cannot be scored, which are counted over all of them."""
    kept, begin = [], 0
    for dump in dumps:
        own = {at - begin: fault for at, fault in faults.items() if 0 <= at - begin < len(dump.rollouts)}
        begin += len(dump.rollouts)
        left = [at for at in range(len(dump.rollouts)) if at not in own]
        kept.append(
            replace(
                dump,
                rollouts=tuple(dump.rollouts[at] for at in left),
                places=tuple(dump.places[at] for at in left),
                bad=(*dump.bad, *(f"{dump.places[at]}: {fault}" for at, fault in own.items())),
            )
        )
    return kept


def _length_of(dumps: Sequence[Dump], arms: Sequence[Reward]) -> int | None:
    """Steps of the runs, where they agree.

    Raises:
        SpecError: they do not, and some reward has a schedule over a share of the run.
    """
    from toolrl_cli.errors import SpecError

    lengths = {dump.total_steps for dump in dumps}
    if len(lengths) == 1:
        return lengths.pop()
    needing = [arm.name for arm in arms if _needs_length(arm)]
    if needing:
        told = ", ".join(f"{dump.name}: {dump.total_steps or 'unknown'}" for dump in dumps)
        raise SpecError(
            f"{needing[0]!r} has a schedule over a share of the run, and the runs differ in length ({told})",
            "rescore",
            "rescore them one at a time, or give --total-steps",
        )
    return None


def _needs_length(reward: Reward) -> bool:
    from toolrl_cli.rewards import RewardError

    try:
        reward.total_range(1, None)
    except RewardError:
        return True
    return False
