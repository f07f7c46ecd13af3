"""The stages `sft`, `rl` and `export`; each writes its files to its stage's folder."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from toolrl_cli.errors import StageError
from toolrl_cli.log import LOG
from toolrl_cli.processes.child import ChildStopped, run_child
from toolrl_cli.processes.nodes import Nodes
from toolrl_cli.rewards import RewardError, get_reward
from toolrl_cli.rewards.gold import check_gold
from toolrl_cli.rewards.user_code.runner import close as end_user_code
from toolrl_cli.spec.algorithms.catalogue import ALGORITHMS
from toolrl_cli.spec.evaluations.over_steps import best_candidates
from toolrl_cli.spec.kind_configs import ExportConfig, RlConfig, SftConfig
from toolrl_cli.spec.run.training_settings import LoraSpec
from toolrl_cli.spec.stage import StageContext
from toolrl_cli.spec.stage_config import TrainingConfig
from toolrl_cli.store.files import write_json
from toolrl_cli.store.ledger import StageFolder
from toolrl_cli.store.progress.metrics import merge_metrics
from toolrl_cli.store.schemas import CHECKPOINT, OPTIONS
from toolrl_cli.training.checkpointing.best_checkpoint import (
    BestKeeper,
    CheckpointWatch,
    validation_judge,
)
from toolrl_cli.training.checkpointing.checkpoints import Resume, prepare_resume, prune
from toolrl_cli.training.checkpointing.chosen_checkpoint import (
    best_to_export,
    last_to_export,
    step_to_export,
)
from toolrl_cli.training.checkpointing.kept_steps import StepKeeper, wanted_steps
from toolrl_cli.training.checkpointing.last_save import SAVE_IN, LastSave, saves_when_asked
from toolrl_cli.training.cpu.cpu_options import cpu_environment
from toolrl_cli.training.cuda.cuda_options import cuda_environment
from toolrl_cli.training.data_identity import check_data
from toolrl_cli.training.device import Device, device_for
from toolrl_cli.training.inputs import data_folder, model_path
from toolrl_cli.training.models.lora_modules import (
    folder_modules,
    loaded_modules,
    lora_fault,
)
from toolrl_cli.training.nodes.own_ray import own_ray
from toolrl_cli.training.nodes.spread import run_over_nodes
from toolrl_cli.training.preflight.row_checks import check_before_start
from toolrl_cli.training.rollout_dumps import gold_rows
from toolrl_cli.training.scoring_failure import ScoringFailure
from toolrl_cli.training.seeding import seed_environment
from toolrl_cli.training.sft_rows import FOLDER, sft_files
from toolrl_cli.training.trainer import Trainer
from toolrl_cli.training.verl_options import (
    REWARD_FAILURE_FILE,
    REWARD_FILE,
    Paths,
    rl_options,
    sft_options,
)
from toolrl_cli.wording import first_line

METRICS_FILE = "metrics.jsonl"


def run_sft(ctx: StageContext) -> None:
    """Fine-tune on one split of the data with verl's SFT trainer; leaves `checkpoints/`.

    Raises:
        StageError: the trainer failed, or ended without its last checkpoint.
        SpecError: data or model cannot be used.
    """
    config = ctx.spec.settings(SftConfig)
    device, sft = device_for(config), config.sft
    paths = _paths(ctx, config, train=sft.split, val=None)
    rows, shuffle = ctx.stage_dir / FOLDER, config.shuffle == "seed"
    train, val = sft_files(paths.train, sft.val_share, config.seed, sft.batch_size, rows, shuffle=shuffle)
    paths = replace(paths, train=train, val=val)
    options = sft_options(config, paths, device)
    keep = options["trainer.max_ckpt_to_keep"]
    resume = prepare_resume(paths.checkpoints, keep=keep, read=True)
    if _finished(resume, ctx.spec.total_steps):
        return
    write_json(ctx.attempt_dir / OPTIONS.name, OPTIONS.stamped({"options": options}))
    watch = CheckpointWatch(paths.checkpoints, ctx.attempt_dir, None, keep)
    trainer = Trainer(
        "verl.trainer.sft_trainer", options, device, config.resources.gpus, True, "verl's sft trainer"
    )
    _train(ctx, config, trainer, paths, resume, watch)


def run_rl(ctx: StageContext) -> None:
    """Train with the stage's algorithm, from the newest whole checkpoint if there is one; leaves `checkpoints/`.

    Raises:
        StageError: a gold answer falls short of its maximum, the trainer failed, or ended without its last
            checkpoint.
        SpecError: data or model cannot be used.
    """
    config = ctx.spec.settings(RlConfig)
    device = device_for(config)
    paths = _paths(ctx, config, train="train", val="val")
    options = rl_options(config, paths, device)
    resume = prepare_resume(paths.checkpoints, read=True)
    keeper = _best_keeper(config, paths.checkpoints)
    keeper.go_on_from(resume.step)
    rows = merge_metrics(ctx.stage_dir)
    keeper.catch_up(rows)
    steps = StepKeeper(paths.checkpoints, lambda: wanted_steps(ctx.results, ctx.spec.id))
    steps.go_on_from(resume.step)
    steps.look()
    keep = config.rl.keep_checkpoints
    prune(paths.checkpoints, keep)  # only now: what the last attempt had no time to judge or to keep is
    finished = _finished(resume, ctx.spec.total_steps)
    if resume.path is not None and resume.step not in {row["step"] for row in rows}:
        LOG.warning(
            "step %d was saved and not logged: it is validated now, its other metrics are lost", resume.step
        )
        options |= {"trainer.val_before_train": True, "trainer.val_only": finished}
    elif finished:
        return
    write_json(ctx.attempt_dir / REWARD_FILE, config.reward)
    write_json(ctx.attempt_dir / OPTIONS.name, OPTIONS.stamped({"options": options}))
    _check_gold(config, paths.train, ctx.attempt_dir / REWARD_FAILURE_FILE)
    own = ALGORITHMS[config.algorithm].own_trainer
    program = "toolrl_cli.training.trainers.program" if own else "verl.trainer.main_ppo"
    watch = CheckpointWatch(paths.checkpoints, ctx.attempt_dir, keeper, keep, steps)
    trainer = Trainer(program, options, device, config.resources.gpus, False, "verl's rl trainer")
    _train(ctx, config, trainer, paths, resume, watch)


def run_export(ctx: StageContext) -> None:
    """Merge a checkpoint of the input stage to a Hugging Face folder: `output/model`.

    `checkpoint` in the stage's config decides which one; `output/checkpoint.json` names its step.

    Raises:
        StageError: there is no such checkpoint, or it holds another model than it says.
        InterruptedError: asked to stop; nothing is exported.
    """
    source = ctx.inputs["checkpoint"] / "checkpoints"
    trained = StageFolder(source.parent).spec()
    config = ctx.spec.settings(ExportConfig)
    if config.step is not None:
        chosen = step_to_export(source, trained, config.step)
    elif config.checkpoint == "best":
        chosen = best_to_export(source, trained, config)
    else:
        chosen = last_to_export(source, trained)
    output = ctx.stage_dir / "output"
    target = output / "model"
    temporary = output / ".model.partial"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.parent.mkdir(parents=True, exist_ok=True)
    from toolrl_cli.training.checkpointing.merging import merge_checkpoint  # imports torch

    merge_checkpoint(chosen.model, temporary, config.dtype, ctx.stop_requested)
    shutil.rmtree(target, ignore_errors=True)
    temporary.replace(target)
    write_json(output / CHECKPOINT.name, chosen.to_json())
    LOG.info("exported %s", chosen)


def _best_keeper(config: RlConfig, checkpoints: Path) -> BestKeeper:
    try:
        reward = get_reward(config.reward)
    except RewardError as error:  # of a component that the user wrote
        raise StageError(error.what, error.where, error.hint, failure_class="reward") from error
    judge = validation_judge(reward, config.rl.steps)
    return BestKeeper(checkpoints, judge, best_candidates(config.rl, config.rl.save_every))


def _check_gold(config: RlConfig, rows: Path, failure_file: Path) -> None:
    """Refuse rows whose gold answer does not earn the maximum, or report their number if they are allowed."""
    try:
        report = check_gold(get_reward(config.reward), gold_rows(rows), config.rl.steps)
    except RewardError as error:  # of a component that the user wrote
        hint = error.hint
        if error.completion is not None and error.ground_truth is not None:
            known = (
                error.completion,
                error.ground_truth,
                error.step or 1,
                config.rl.steps,
                error.tokens,
                error.row or {},
            )
            ScoringFailure.of(error, *known).save(failure_file)
            hint = f"{hint}; the completion is kept: toolrl reward explain {failure_file}"
        raise StageError(error.what, error.where, hint, failure_class="reward") from error
    finally:
        end_user_code()
    try:
        report.raise_if_imperfect(str(rows))
    except RewardError as error:
        if not config.rl.allow_imperfect_gold:
            raise StageError(error.what, error.where, error.hint, failure_class="config") from error
        LOG.info("allowed: %s: %s", error.where, error.what)


def _train(
    ctx: StageContext,
    config: TrainingConfig,
    trainer: Trainer,
    paths: Paths,
    resume: Resume,
    watch: CheckpointWatch,
) -> None:
    nodes = _nodes(config)
    check_before_start(ctx.spec, ctx.results, str(paths.model))
    LOG.info("%s", resume)
    watch.start()
    cwd, stop = ctx.attempt_dir, ctx.stop_requested
    if saves_when_asked(trainer.options):
        stop = LastSave(ctx.attempt_dir, stop)
    try:
        with TemporaryDirectory(prefix="toolrl-", ignore_cleanup_errors=True) as scratch:
            env = _environment(ctx, config, trainer.device, Path(scratch))
            if nodes.count > 1:
                run_over_nodes(trainer, nodes, env=env, cwd=cwd, stop_requested=stop)
            else:
                run_child(trainer.command(), env=env, cwd=cwd, stop_requested=stop, name=trainer.name)
    finally:
        watch.finish()
    after = prepare_resume(paths.checkpoints)
    if after.path is None or (ctx.spec.total_steps is not None and after.step < ctx.spec.total_steps):
        if ctx.stop_requested():  # and ended by itself before it was told to
            raise ChildStopped(trainer.name)
        reached = f"step {after.step}" if after.path else "none"
        raise StageError(
            f"the trainer ended well but its last whole checkpoint is {reached}",
            str(paths.checkpoints),
            "see the attempt's log; the next attempt goes on from there",
        )


def _finished(resume: Resume, total_steps: int | None) -> bool:
    """Whether no step is left: an earlier attempt died after its last checkpoint and before it recorded success."""
    return total_steps is not None and resume.path is not None and resume.step >= total_steps


def _paths(ctx: StageContext, config: TrainingConfig, train: str, val: str | None) -> Paths:
    check_data(ctx.spec, config)
    data = data_folder(config, ctx.results)
    checkpoints = ctx.stage_dir / "checkpoints"
    checkpoints.mkdir(exist_ok=True)
    model = model_path(ctx, config.model)
    if config.lora is not None:
        check_lora(config.lora, model)
    return Paths(
        model=model,
        train=data / f"{train}.parquet",
        val=None if val is None else data / f"{val}.parquet",
        checkpoints=checkpoints,
        attempt=ctx.attempt_dir,
    )


def check_lora(lora: LoraSpec, model: str) -> None:
    """Refuse modules that the model does not have, which peft passes over where it finds others.

    Args:
        lora: the settings.
        model: a folder, or a hub name whose configuration is read.

    Raises:
        StageError: with the first of them.
    """
    folder = Path(model)
    try:
        modules = (folder_modules(folder) if folder.is_dir() else None) or loaded_modules(model)
    except (OSError, ValueError) as error:
        what = f"the model's configuration cannot be read: {first_line(error)}"
        raise StageError(what, model) from error
    fault = lora_fault(lora, modules)
    if fault is not None:
        raise StageError(fault.what, f"{fault.setting}, model {model}", fault.hint, failure_class="config")


def _nodes(config: TrainingConfig) -> Nodes:
    """The machines that the launcher gave, which have to be as many as were planned for."""
    wanted, nodes = config.resources.nodes, Nodes.given()
    if wanted > 1 and nodes.count != wanted:
        what = f"is planned for {wanted} nodes (resources.nodes), and its attempt was given {nodes.count}"
        raise StageError(what, hint="--launcher slurm gives several", failure_class="config")
    return nodes if wanted > 1 else Nodes()


def _environment(ctx: StageContext, config: TrainingConfig, device: Device, scratch: Path) -> dict[str, str]:
    env = dict(os.environ)
    # verl's data sets write every file that they read once more, and by default into the home, for good
    env.setdefault("HF_DATASETS_CACHE", str(scratch / "datasets"))
    env["VERL_FILE_LOGGER_PATH"] = str(ctx.attempt_dir / METRICS_FILE)
    env[SAVE_IN] = str(ctx.attempt_dir)
    env["HYDRA_FULL_ERROR"] = "1"
    env |= own_ray()
    env["WANDB_MODE"] = "disabled"  # `tracking` feeds W&B from the files
    env |= seed_environment(config.seed)
    if device == "cpu":
        env |= cpu_environment(ranks=config.resources.gpus)
    else:
        env |= cuda_environment()
    return env
