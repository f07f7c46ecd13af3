"""Checks of batch sizes that verl 0.9.1 makes only in its workers, minutes after a run has started, or never.

Every check names the function of verl that would fail. `check_batches` reads the merged configuration
(`composed.merge`) and imports nothing of verl.
"""

from __future__ import annotations

import math
from typing import Any

from toolrl_cli.training.checking.composed import Kind
from toolrl_cli.training.checking.option_fault import OptionFault
from toolrl_cli.training.checking.verl_interpolation import Tree

ACTOR, ROLLOUT, REF = "actor_rollout_ref.actor", "actor_rollout_ref.rollout", "actor_rollout_ref.ref"
BATCH, GPUS = "data.train_batch_size", "trainer.n_gpus_per_node"

LEAST: dict[Kind, dict[str, int]] = {
    "rl": {
        BATCH: 1,
        GPUS: 1,
        "trainer.nnodes": 1,
        "trainer.total_epochs": 1,
        "trainer.critic_warmup": 0,
        "trainer.save_freq": -1,
        "trainer.test_freq": -1,
        "data.max_prompt_length": 1,
        "data.max_response_length": 1,
        f"{ROLLOUT}.n": 1,
        f"{ROLLOUT}.val_kwargs.n": 1,
        f"{ROLLOUT}.agent.num_workers": 1,
        "reward.num_workers": 1,
        f"{ROLLOUT}.tensor_model_parallel_size": 1,
        f"{ROLLOUT}.data_parallel_size": 1,
        f"{ACTOR}.ppo_mini_batch_size": 1,
        f"{ACTOR}.ppo_epochs": 1,
    },
    "sft": {
        BATCH: 1,
        GPUS: 1,
        "trainer.nnodes": 1,
        "trainer.total_epochs": 1,
        "data.max_length": 1,
        "engine.ulysses_sequence_parallel_size": 1,
    },
}
"""Options that are whole numbers and may not be null, with the least value that verl can use."""

LEAST_OR_NULL: dict[Kind, dict[str, int]] = {
    "rl": {
        "trainer.total_training_steps": 1,
        "data.val_batch_size": 0,
        f"{ACTOR}.ppo_micro_batch_size_per_gpu": 1,
        f"{ROLLOUT}.log_prob_micro_batch_size_per_gpu": 1,
        f"{REF}.log_prob_micro_batch_size_per_gpu": 1,
        "critic.ppo_micro_batch_size_per_gpu": 1,
        "critic.ppo_mini_batch_size": 1,
        f"{ACTOR}.ulysses_sequence_parallel_size": 1,
    },
    "sft": {"trainer.total_training_steps": 1, "data.micro_batch_size_per_gpu": 1},
}
"""The same for options that may be null."""


def check_batches(kind: Kind, tree: Tree) -> None:
    """Check the batch sizes of a merged configuration and their divisibility.

    Raises:
        OptionFault: names the first size that does not fit.
    """
    for option, least in {**LEAST[kind], **LEAST_OR_NULL[kind]}.items():
        value = at(tree, option)
        if value is None and option in LEAST_OR_NULL[kind]:
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            raise OptionFault(f"{value!r} is no whole number", option, f"at least {least}")
        if value < least:
            raise OptionFault(f"{value} is too small", option, f"at least {least}")
    if kind == "sft":
        _check_sft(tree)
    else:
        _check_rl(tree)


def at(tree: Tree, name: str) -> Any:
    """The value of a dotted option; None where there is none."""
    node: Any = tree
    for part in name.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node


def _check_sft(tree: Tree) -> None:
    """trainer/sft_trainer.py `_build_dataloader`, workers/engine/utils.py `prepare_micro_batches`."""
    for option in ("trainer.save_freq", "trainer.test_freq"):
        if at(tree, option) == 0:  # sft_trainer.py `fit` divides by it
            raise OptionFault("0 is no number of steps", option, "-1: never")
    ranks = _ranks(tree, "engine.ulysses_sequence_parallel_size")
    batch = at(tree, BATCH)
    if batch % ranks:
        # verl discards the remainder and would silently train on fewer rows a step
        raise OptionFault(
            f"a batch of {batch} rows does not divide over {_gpus(ranks)}", BATCH, _multiple(ranks)
        )
    if at(tree, "data.use_dynamic_bsz"):
        _check_tokens("data.max_token_len_per_gpu", at(tree, "data.max_length"), tree, "data.max_length")
        return
    micro = at(tree, "data.micro_batch_size_per_gpu")
    if micro is None:
        raise OptionFault("is null, and rows are not batched by tokens", "data.micro_batch_size_per_gpu")
    if (batch // ranks) % micro:
        share = f"{batch // ranks} rows of a GPU (a batch of {batch} on {_gpus(ranks)})"
        raise OptionFault(
            f"micro-batches of {micro} do not divide the {share}",
            "data.micro_batch_size_per_gpu",
            f"use a divisor of {batch // ranks}",
        )


def _check_rl(tree: Tree) -> None:
    ranks = _ranks(tree, f"{ACTOR}.ulysses_sequence_parallel_size")
    prompts, group = at(tree, BATCH), at(tree, f"{ROLLOUT}.n")
    _check_rollout_engines(tree)
    fetched = at(tree, "data.gen_batch_size")
    if isinstance(fetched, int) and fetched > 0 and prompts % fetched:
        # trainer/ppo/v1/trainer_base.py `_next_train_batch`
        raise OptionFault(f"{prompts} prompts are no multiple of {fetched}", "data.gen_batch_size")
    critic = has_critic(tree)
    minis = {f"{ACTOR}.ppo_mini_batch_size": at(tree, f"{ACTOR}.ppo_mini_batch_size")}
    if critic:
        minis["critic.ppo_mini_batch_size"] = at(tree, "critic.ppo_mini_batch_size")
    for option, mini in minis.items():
        if mini > prompts:  # verl would pad the batch with empty samples up to one mini-batch
            raise OptionFault(f"a mini-batch of {mini} prompts is larger than the batch of {prompts}", option)
        if mini * group % ranks:  # workers/engine_workers.py `train_mini_batch`
            raise OptionFault(
                f"a mini-batch of {mini} prompts × {group} rollouts does not divide over {_gpus(ranks)}",
                option,
                f"{mini * group} responses must be a multiple of {ranks}",
            )
    actor_mini = minis[f"{ACTOR}.ppo_mini_batch_size"]
    _check_training_batches(tree, ACTOR, actor_mini * group // ranks)
    if critic:
        _check_training_batches(tree, "critic", minis["critic.ppo_mini_batch_size"] * group // ranks)
    # trainer_base.py `_balance_batch` fills the step's batch up to whole mini-batches
    whole = math.lcm(ranks, *(mini * group for mini in minis.values()))
    share = math.ceil(prompts * group / whole) * whole // ranks
    _check_log_probs(tree, share)


def _check_rollout_engines(tree: Tree) -> None:
    """workers/engine_workers.py `init_model`: engines of equal size share the GPUs."""
    parts = ("tensor_model_parallel_size", "data_parallel_size", "pipeline_model_parallel_size")
    size = math.prod(at(tree, f"{ROLLOUT}.{part}") or 1 for part in parts)
    gpus = at(tree, GPUS) * at(tree, "trainer.nnodes")
    if gpus % size:
        raise OptionFault(
            f"a rollout engine on {_gpus(size)} does not divide {_gpus(gpus)}",
            f"{ROLLOUT}.tensor_model_parallel_size",
            f"use a divisor of {gpus}",
        )


def _check_training_batches(tree: Tree, section: str, share: int) -> None:
    """workers/engine/utils.py `prepare_micro_batches`; utils/seqlen_balancing.py `rearrange_micro_batches`."""
    if at(tree, f"{section}.use_dynamic_bsz"):
        _check_tokens(f"{section}.ppo_max_token_len_per_gpu", _longest(tree), tree)
        return
    option = f"{section}.ppo_micro_batch_size_per_gpu"
    micro = at(tree, option)
    if micro is not None and share % micro:  # null: verl's own check names the option to set
        raise OptionFault(
            f"micro-batches of {micro} do not divide the {share} responses of a GPU's mini-batch",
            option,
            f"use a divisor of {share}",
        )


def _check_log_probs(tree: Tree, share: int) -> None:
    """workers/engine_workers.py `init_model` (the actor's way of batching) and `infer_batch`."""
    by_tokens = at(tree, f"{ROLLOUT}.log_prob_use_dynamic_bsz")
    if bool(by_tokens) != bool(at(tree, f"{ACTOR}.use_dynamic_bsz")):
        raise OptionFault(
            f"is {str(by_tokens).lower()} and the actor's use_dynamic_bsz is not: verl needs them equal",
            f"{ROLLOUT}.log_prob_use_dynamic_bsz",
            f"set both, or only {ACTOR}.use_dynamic_bsz",
        )
    sections = [ROLLOUT, *([REF] if _has_reference(tree) else [])]
    for section in sections:
        if at(tree, f"{section}.log_prob_use_dynamic_bsz"):
            _check_tokens(f"{section}.log_prob_max_token_len_per_gpu", _longest(tree), tree)
            continue
        option = f"{section}.log_prob_micro_batch_size_per_gpu"
        micro = at(tree, option)
        if micro is None:
            if at(tree, f"{section}.log_prob_micro_batch_size") is None:
                continue  # verl's own check reports it
            raise OptionFault("is null, and samples are not batched by tokens", option)
        if share % micro:
            raise OptionFault(
                f"micro-batches of {micro} do not divide the {share} responses of a GPU",
                option,
                f"use a divisor of {share}",
            )


def _check_tokens(option: str, longest: int, tree: Tree, of: str = "") -> None:
    """utils/seqlen_balancing.py `rearrange_micro_batches`: the longest sample must fit in one micro-batch."""
    section = option.rsplit(".", 1)[0]
    tokens = at(tree, option)
    spread = at(tree, f"{section}.ulysses_sequence_parallel_size") or 1
    if isinstance(tokens, int) and tokens * spread < longest:
        raise OptionFault(
            f"{tokens} tokens a GPU cannot hold the longest sample, {longest} tokens",
            option,
            f"at least {math.ceil(longest / spread)}, or shorten {of or 'prompts and responses'}",
        )


def _longest(tree: Tree) -> int:
    longest: int = at(tree, "data.max_prompt_length") + at(tree, "data.max_response_length")
    return longest


def _ranks(tree: Tree, spread_option: str) -> int:
    """Data-parallel ranks: number of GPUs divided by the GPUs that share one sequence."""
    gpus: int = at(tree, GPUS) * at(tree, "trainer.nnodes")
    spread = at(tree, spread_option) or 1
    if gpus % spread:
        raise OptionFault(
            f"{_gpus(spread)} a sequence do not divide {_gpus(gpus)}",
            spread_option,
            f"use a divisor of {gpus}",
        )
    return gpus // spread


def has_critic(tree: Tree) -> bool:
    """trainer/ppo/utils.py `need_critic`."""
    enabled = at(tree, "critic.enable")
    return bool(at(tree, "algorithm.adv_estimator") == "gae" if enabled is None else enabled)


def _has_reference(tree: Tree) -> bool:
    """trainer/ppo/utils.py `need_reference_policy`."""
    return bool(at(tree, "algorithm.use_kl_in_reward") or at(tree, f"{ACTOR}.use_kl_loss"))


def _gpus(count: int) -> str:
    return f"{count} GPU{'' if count == 1 else 's'}"


def _multiple(of: int) -> str:
    return f"use a multiple of {of}"
