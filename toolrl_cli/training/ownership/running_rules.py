"""Rules about options of how a stage runs: rollout, reward, trainer, checkpoints. See `rules`."""

from __future__ import annotations

from typing import Any

from toolrl_cli.training.ownership.learning_rules import V0
from toolrl_cli.training.ownership.rule import Rule, Situation, either, has_all, one_of, with_vllm

ROLLOUT = "actor_rollout_ref.rollout"
REWARD = "set `reward`; a function of your own is a component {kind: python, path: rewards.py, function: f}"
OTHER_TRAINERS = "belongs to trainers of verl that toolrl does not start"
NEEDED = ("model", "optimizer", "extra")


def _as_saved(value: Any, situation: Situation) -> bool:
    """Whether what is loaded is what is saved; by itself, both are verl's default."""
    saved = next(
        (v for name, v in situation.given.items() if name.endswith("checkpoint.save_contents")), NEEDED
    )
    return isinstance(value, (list, tuple)) and sorted(map(str, value)) == sorted(map(str, saved))


RUNNING: tuple[Rule, ...] = (
    # rollout
    Rule(
        f"{ROLLOUT}.{{prompt_length,response_length,max_model_len}}",
        "follows from the lengths of prompt and response",
        "set rl.max_prompt_length or rl.max_response_length",
    ),
    Rule(
        f"{ROLLOUT}.calculate_log_probs",
        "is needed: the difference between rollout and training is measured by them",
        "leave it out",
        passes=one_of(True),
    ),
    Rule(
        f"{ROLLOUT}.{{tensor,data,pipeline}}_{{model_,}}parallel_size",
        "is 1 with the Transformers rollout, whose engines have a GPU each",
        "set resources.rollout: vllm",
        kinds=("rl",),
        passes=either(with_vllm, one_of(1)),
    ),
    Rule(f"{ROLLOUT}.mode", OTHER_TRAINERS, "leave it out", passes=one_of("async")),
    Rule(
        f"{ROLLOUT}.{{nnodes,n_gpus_per_node,checkpoint_manager_class,disaggregation.**}}",
        OTHER_TRAINERS,
        "set resources.gpus or resources.nodes",
    ),
    Rule(f"{ROLLOUT}.custom.**", OTHER_TRAINERS),
    Rule(
        f"{ROLLOUT}.{{agent.agent_loop_manager_class,agent.default_agent_loop,agent.agent_loop_config_path}}",
        "has no place in the Transformers rollout, which answers in one turn and in bundles",
        "set resources.rollout: vllm",
        passes=either(with_vllm, one_of("single_turn_agent")),
    ),
    Rule(
        f"{ROLLOUT}.multi_turn.**",
        "has no place in the Transformers rollout, which answers in one turn",
        "set resources.rollout: vllm",
        passes=either(with_vllm, one_of(False)),
    ),
    # reward
    Rule("reward.{reward_manager,toolrl}.**", "is toolrl's reward", REWARD),
    Rule("{reward.,}custom_reward_function.**", "is never called: the reward is toolrl's", REWARD),
    Rule("reward.reward_model.**", "takes the place of toolrl's reward, or has no effect", REWARD),
    Rule("reward.{reward_kwargs,sandbox_fusion}.**", "is read by reward managers of verl alone", REWARD),
    Rule("{reward_model,sandbox_fusion}.**", V0, REWARD),
    # trainer
    Rule("trainer.use_v1", "false starts a trainer without toolrl's replay buffer", passes=one_of(True)),
    Rule(
        "trainer.v1.trainer_mode", "other than sync is not for toolrl's replay buffer", passes=one_of("sync")
    ),
    Rule("trainer.v1.sampler.**", "is toolrl's replay buffer, or is not read by it", "leave it out"),
    Rule("trainer.v1.{colocate_async,separate_async}.**", OTHER_TRAINERS),
    Rule("trainer.total_epochs", setting="rl.steps", kinds=("rl",)),
    Rule("trainer.remove_previous_ckpt_in_save", setting="rl.keep_checkpoints"),
    Rule(
        "trainer.max_ckpt_to_keep",
        "is 2: a kill while the newest is written leaves the one before",
        "leave it out",
        kinds=("sft",),
    ),
    Rule(
        "trainer.del_local_ckpt_after_load",
        "takes the checkpoint away that the next attempt needs",
        "leave it out",
        passes=one_of(False),
    ),
    Rule(
        "trainer.{default_local_dir,resume_mode,resume_from_path}",
        "is toolrl's: resume, export and status look into the stage's folder",
        "leave it out; --results moves all folders",
    ),
    Rule(
        "trainer.{rollout_data_dir,validation_data_dir}",
        "is toolrl's: `show` and `rescore` read what is written there",
        "leave it out; --results moves all folders",
    ),
    Rule(
        "trainer.val_only", "ends without a checkpoint", "set train: [] for a raw model", passes=one_of(False)
    ),
    Rule(
        "trainer.logger",
        "is toolrl's: curves, the best checkpoint and the check for hangs read the metrics file",
        "leave it out; toolrl feeds W&B from that file",
    ),
    Rule("trainer.device", setting="resources.device", same=True),
    Rule(
        "**.checkpoint.save_contents",
        "has to have model, optimizer and extra, for resume and export",
        "write [model, optimizer, extra], and hf_model if wanted",
        passes=has_all(*NEEDED),
    ),
    Rule(
        "**.checkpoint.load_contents",
        "has to be what is saved, or a resumed run is another one",
        "leave it out",
        passes=_as_saved,
    ),
    Rule(
        "**.checkpoint.async_save",
        "leaves out the file that says which checkpoint is whole",
        "leave it out",
        passes=one_of(False),
    ),
    Rule("**.checkpoint.save_lora_only", "leaves nothing to export: the base is not in it"),
    # whole parts of verl
    Rule("distillation.**", "needs GPUs that are not in the plan", "leave it out"),
    Rule("skip.**", "answers with stored rollouts of another run", "leave it out", passes=one_of(False)),
    Rule("transfer_queue.enable", "is always true in verl's V1 trainer", passes=one_of(True)),
    Rule(
        "ray_kwargs.ray_init.address",
        "cannot be chosen: an attempt has a Ray of its own, on all its nodes",
        "leave it out",
    ),
    Rule("hydra.**", "is toolrl's: an attempt's folder is the stage's", "leave it out"),
    # read in no place
    Rule(f"{ROLLOUT}.{{over_sample_rate,multi_stage_wake_up}}", "is read by no rollout that toolrl starts"),
)
