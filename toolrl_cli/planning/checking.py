"""What is wrong with a plan's owed stages before anything runs: what verl would refuse becomes one line each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toolrl_cli.wording import counted

if TYPE_CHECKING:
    from toolrl_cli.planning.plan import Plan
    from toolrl_cli.spec.planned_run import PlannedRun
    from toolrl_cli.spec.sweeps.grid import Grid
    from toolrl_cli.spec.sweeps.resolve import Run
    from toolrl_cli.spec.sweeps.sweep import Document
    from toolrl_cli.training.checking.config_check import Finding


def check_owed(
    plan: Plan,
    grid: Grid,
    document: Document,
    results: Path,
    announce: Callable[[int], None] = lambda sets: None,
) -> list[str]:
    """Check every owed stage: its options against verl's configuration and checks, its adapters, reward and rows.

    Args:
        plan: the stages.
        grid: the cells that they come from.
        document: the sweep, for the place of what is wrong.
        results: the results root.
        announce: told how many sets of options are new to verl, which takes seconds each time.

    Returns:
        Lines on rows that a person should see.

    Raises:
        SpecError: what is not the sweep's to set, or verl would refuse, with the place in the sweep that sets it;
            `Mistakes` where there are several.
    """
    from toolrl_cli.planning.row_checking import check_owed_rows
    from toolrl_cli.spec.sweeps.places import full_place_of
    from toolrl_cli.training.checking.config_check import check_stages
    from toolrl_cli.training.checking.reward_trial import try_rewards

    cells = {cell.arm: cell for cell in grid.cells}
    refused, warnings = check_owed_rows(plan, results)
    findings = [*_adapters(plan), *check_stages(plan.owed, announce), *try_rewards(plan.owed), *refused]
    _raise(plan, findings, lambda key, arm: full_place_of(key, cells[arm], document))
    return warnings


def check_owners(plan: Plan) -> None:
    """Check that no owed stage of a saved sweep sets options of verl that are not its own: an earlier toolrl let it.

    Raises:
        SpecError: as `check_owed`, with the setting.
    """
    from toolrl_cli.training.checking.config_check import claimed

    _raise(plan, claimed(plan.owed), lambda key, arm: f"sweep {plan.sweep}: {key}")


def _raise(plan: Plan, findings: Iterable[Finding], place: Callable[[str, str], str]) -> None:
    """Raise the findings, if there are any; equal ones of one place are one, with its arms."""
    from toolrl_cli.errors import Mistakes, SpecError

    told: dict[tuple[str, str, str], dict[str, None]] = {}
    for finding in findings:
        ids = {stage.id for stage in finding.stages}
        for arm in dict.fromkeys(run.arm for run in plan.runs if any(s.id in ids for s in run.stages)):
            line = (place(finding.setting, arm), finding.fault.what, finding.fault.hint)
            told.setdefault(line, {})[arm] = None
    faults = []
    for (where, what, hint), named in told.items():
        concerned = _concerned(list(named))
        faults.append(SpecError(what, where, f"{hint}; {concerned}" if hint else concerned))
    if faults:
        raise faults[0] if len(faults) == 1 else Mistakes(faults)


def _concerned(arms: Sequence[str]) -> str:
    most = ", ".join(arms[:3]) + (f" and {len(arms) - 3} more" if len(arms) > 3 else "")
    return f"{'arm' if len(arms) == 1 else 'arms'}: {most}"


def _adapters(plan: Plan) -> Iterator[Finding]:
    """What is wrong with LoRA: modules that are not there, wherever a model's modules can be read here.

    For a reference model verl asks actor and critic alike to leave their adapters out
    (`PPOTrainer._compute_ref_log_prob` leaves `no_lora_adapter` in the batch); only the engine for the CPU can.
    """
    from toolrl_cli.spec.kind_configs import RlConfig
    from toolrl_cli.spec.stage_config import TrainingConfig
    from toolrl_cli.spec.stage_kind import settings_of
    from toolrl_cli.training.checking.config_check import Finding
    from toolrl_cli.training.checking.option_fault import OptionFault
    from toolrl_cli.training.device import planned_device
    from toolrl_cli.training.models.lora_modules import lora_fault, modules_of

    for stage in plan.owed:
        config = settings_of(stage)
        if not isinstance(config, TrainingConfig) or config.lora is None:
            continue
        with_reference = isinstance(config, RlConfig) and config.networks == 2 and config.rl.kl != "none"
        if with_reference and planned_device(config.resources.device) == "cuda":
            what = "with LoRA and a KL term, verl 0.9.1's PPO fails on GPUs: its critic has no adapters"
            fault = OptionFault(what, "", "set rl.kl: none, or another algorithm")
            yield Finding((stage,), "rl.kl", fault)
        modules = modules_of(config.model)
        missing = modules and lora_fault(config.lora, modules)
        if missing:
            hint = f"{missing.hint}; model {config.model.name}"
            yield Finding((stage,), missing.setting, OptionFault(missing.what, "", hint))


def twin_warnings(plan: Plan) -> list[str]:
    """Arms whose stages are all the same: what tells them apart changes nothing in any of them.

    Where `--set` gives both one value nothing does, which the grid has told.
    """
    from toolrl_cli.spec.sweeps.settings import ABSENT

    arms: dict[tuple[str, ...], list[PlannedRun]] = {}
    for run in plan.runs:
        arms.setdefault(tuple(stage.id for stage in run.stages), []).append(run)
    found: dict[str, None] = {}
    for first, *others in arms.values():
        for twin in (run for run in others if run.arm != first.arm):  # seeds of an untrained model are one
            keys = first.settings.keys() | twin.settings.keys()
            differing = sorted(
                k for k in keys if first.settings.get(k, ABSENT) != twin.settings.get(k, ABSENT)
            )
            if differing:
                found[
                    f"{first.arm!r} and {twin.arm!r} are the same stages: {', '.join(differing)} changes nothing there "
                    "(`when:` or `exclude:` leaves one out)"
                ] = None
    return list(found)


def unreached_warnings(runs: Sequence[Run], place: Callable[[str, str], str]) -> list[str]:
    """What runs end before they come to; equal lines are one, with its arms.

    Args:
        runs: of all seeds.
        place: setting and arm → where the sweep sets it.
    """
    from toolrl_cli.spec.unreached import Unreached, unreached

    told: dict[str, list[str]] = {}
    known: dict[tuple[int, ...], list[Unreached]] = {}  # cells share their blocks
    for arm, run in {run.arm: run.spec for run in runs}.items():
        key = tuple(id(block) for block in (run.reward, run.rl, run.sft, run.train, run.checkpoint))
        if key not in known:
            known[key] = list(unreached(run))
        for one in known[key]:
            told.setdefault(f"{place(one.setting, arm)}: {one.what}", []).append(arm)
    return [f"{line}; {_concerned(arms)}" for line, arms in told.items()]


def unread_options(runs: Sequence[Run]) -> list[str]:
    """Options of verl for a kind of training that no run has; the tiny model's own pretraining takes none."""
    trained = {kind for run in runs for kind in run.spec.train}
    return [
        f"verl.{kind} changes nothing: no run trains with {kind} (train)"
        for kind in ("sft", "rl")
        if kind not in trained and any(getattr(run.spec.verl, kind) for run in runs)
    ]


def inert_ranges(runs: Sequence[Run]) -> list[str]:
    """Arms of GDPO whose rewards differ in the ranges of their parts alone: it normalises every part in its group."""
    alike: dict[str, dict[str, str]] = {}
    for run in runs:
        if run.spec.algorithm == "gdpo" and "rl" in run.spec.train:
            parts = {
                name: {key: value for key, value in part.items() if key not in ("range", "schedule")}
                for name, part in run.spec.reward["components"].items()
            }
            rest = {
                **run.spec.model_dump(mode="json"),
                "reward": {**run.spec.reward, "name": "", "components": parts},
                "seed": 0,
            }
            alike.setdefault(json.dumps(rest, sort_keys=True), {})[str(run.spec.reward["name"])] = run.arm
    return [
        f"{', '.join(map(repr, arms.values()))} train alike: GDPO normalises each part of the reward in its group, and "
        f"{', '.join(arms)} differ in ranges alone (weights and rl.gdpo_weights count)"
        for arms in alike.values()
        if len(arms) > 1
    ]


def data_warnings(plan: Plan, results: Path) -> list[str]:
    """What the data's folder lacks for the trainings that are owed, before anything is spent on them."""
    from toolrl_cli.datasets import mapped_rows
    from toolrl_cli.datasets.own_rows import count
    from toolrl_cli.datasets.prepare import read_manifest
    from toolrl_cli.datasets.rlla import most_train_rows
    from toolrl_cli.spec.kind_configs import RlConfig
    from toolrl_cli.spec.run.data_settings import JsonlData, RllaData, ToolWorldData
    from toolrl_cli.spec.stage_config import TrainingConfig
    from toolrl_cli.spec.stage_kind import settings_of
    from toolrl_cli.training.inputs import data_name

    rows: dict[str, int] = {}
    taken: dict[str, int] = {}
    found: Counter[str] = Counter()
    for stage in plan.stages.values():
        config = settings_of(stage.spec)
        if not (stage.owed and isinstance(config, TrainingConfig)) or isinstance(config.data, ToolWorldData):
            continue
        if isinstance(config.data, JsonlData) and (told := config.data.model_dump_json()) not in taken:
            made = read_manifest(results / "data" / data_name(config.data))  # its name has the files' content
            if made is not None and made.params.get("files") == config.data.files():  # its notes name them
                taken[told], notes = made.files["train"].rows, made.notes
            else:
                limit = {str(split): most for split, most in config.data.limit.items()}
                splits, notes = mapped_rows.load(config.data.files(), config.data.fields.named(), limit)
                taken[told] = len(splits["train"])
            found.update(notes)
        if not isinstance(config, RlConfig) and config.amount(None).what != "train":
            continue
        rlla = isinstance(config.data, RllaData)
        path = str(config.data.path if isinstance(config.data, RllaData) else config.data.train)
        if isinstance(config.data, JsonlData):
            rows[path] = taken[config.data.model_dump_json()]
        elif path not in rows:
            rows[path], notes = most_train_rows(Path(path)) if rlla else (count(Path(path)), ())
            found.update(f"{path}: {note}" for note in notes)
        there = min(rows[path], config.data.limit.get("train", rows[path]))
        wanted = config.data.at_least.get("train", 0) if isinstance(config.data, RllaData) else 0
        prompts = config.rl.prompts if isinstance(config, RlConfig) else 0
        if there < wanted:
            found[
                f"{path} has {there} train rows, and data.at_least.train asks for {wanted}: {{}} will refuse"
            ] += 1
        elif there < prompts:
            found[
                f"{path} has {there} train rows, too few for a step of {prompts} prompts (rl.prompts): {{}}"
            ] += 1
    return [line.replace("{}", counted(n, "stage")) for line, n in found.items()]


def lost_points(plan: Plan, results: Path) -> list[str]:
    """Points of curves that cannot be scored any more: a training has passed those steps and did not keep them."""
    from toolrl_cli.errors import LedgerError
    from toolrl_cli.spec.evaluations.over_steps import kept_for_export
    from toolrl_cli.spec.kind_configs import ExportConfig
    from toolrl_cli.store.ledger import Ledger
    from toolrl_cli.training.checkpointing.checkpoints import saved_steps
    from toolrl_cli.training.checkpointing.chosen_checkpoint import lost_checkpoint

    missing: dict[str, list[int]] = {}
    for stage in plan.stages.values():
        need = kept_for_export(stage.spec) if stage.owed else None
        trained = plan.stages[need[0]] if need is not None else None
        if need is None or trained is None or trained.state is None or trained.loss is not None:
            continue
        checkpoints = Ledger(results).folder(trained.spec).path / "checkpoints"
        try:
            passed = (
                trained.status == "succeeded"
                or max((n for n, _ in saved_steps(checkpoints)), default=0) > need[1]
            )
            lost = lost_checkpoint(checkpoints, trained.spec, stage.spec.settings(ExportConfig))
        except (OSError, LedgerError):
            continue  # whoever needs the folder says so
        if passed and lost is not None:
            missing.setdefault(need[0], []).append(need[1])
    return [
        f"{trained} has passed the checkpoints of {_steps(steps)} without keeping them, so a curve will lack those "
        f"points; `toolrl resume {plan.sweep} --stage {trained} --fresh` trains it again"
        for trained, steps in missing.items()
    ]


def _steps(steps: Sequence[int]) -> str:
    return f"step{'s' if len(steps) > 1 else ''} {', '.join(map(str, sorted(steps)))}"
