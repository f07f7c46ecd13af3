"""Words that verl 0.9.1 checks only in its workers, minutes after a run has started.

Each comment names the function of verl that refuses other words. Imports nothing of verl.
"""

from __future__ import annotations

from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.training.checking.batches import at
from toolrl_cli.training.checking.composed import Kind
from toolrl_cli.training.checking.option_fault import OptionFault
from toolrl_cli.training.checking.verl_interpolation import Tree

KL = tuple(
    f"{word}{plus}" for word in ("kl", "k1", "abs", "mse", "k2", "low_var_kl", "k3") for plus in ("", "+")
)
DTYPES = ("fp32", "float32", "32", "bf16", "bfloat16", "fp16", "float16", "16")
LOGGERS = (
    *("console", "file", "wandb", "mlflow", "swanlab", "vemlp_wandb", "tensorboard", "clearml", "trackio"),
    *("rl_insight", "tracking"),
)
FSDP = ("fsdp", "fsdp2")
CONTENTS = ("model", "optimizer", "extra", "hf_model")

CHOICES: dict[Kind, dict[str, tuple[str, ...]]] = {
    "rl": {
        "algorithm.kl_penalty": KL,  # trainer/ppo/core_algos.py `kl_penalty`
        "actor_rollout_ref.actor.kl_loss_type": KL,
        "trainer.logger": LOGGERS,  # utils/tracking.py `Tracking`
        "actor_rollout_ref.actor.checkpoint.save_contents": CONTENTS,
        "critic.checkpoint.save_contents": CONTENTS,
        # utils/torch_dtypes.py `PrecisionType.to_dtype`
        "actor_rollout_ref.actor.fsdp_config.dtype": DTYPES,
        "actor_rollout_ref.actor.fsdp_config.model_dtype": DTYPES,
        "actor_rollout_ref.ref.fsdp_config.dtype": DTYPES,
        "actor_rollout_ref.ref.fsdp_config.model_dtype": DTYPES,
        "critic.fsdp.dtype": DTYPES,
        "critic.fsdp.model_dtype": DTYPES,
        # workers/engine/base.py `EngineRegistry`, for the sections that this project configures
        "actor_rollout_ref.actor.strategy": FSDP,
        "actor_rollout_ref.ref.strategy": FSDP,
        "critic.strategy": FSDP,
        # vLLM's ModelConfig
        "actor_rollout_ref.rollout.dtype": ("auto", *DTYPES, "half", "float"),
    },
    "sft": {
        "data.truncation": ("left", "right", "error"),  # utils/dataset/multiturn_sft_dataset.py
        "data.pad_mode": ("right", "no_padding"),
        "trainer.logger": LOGGERS,
        "trainer.resume_mode": ("auto", "disable", "resume_path"),  # utils/checkpoint/checkpoint_handler.py
        "checkpoint.save_contents": CONTENTS,
        "engine.dtype": DTYPES,
        "engine.model_dtype": DTYPES,
    },
}
"""Option → the words that it, or its list, may have."""


def check_words(kind: Kind, tree: Tree) -> None:
    """Check the words of a merged configuration.

    Raises:
        OptionFault: names the first word that verl does not know.
    """
    for option, words in CHOICES[kind].items():
        value = at(tree, option)
        for word in value if isinstance(value, list) else [value]:
            if word is not None and word not in words:
                raise OptionFault(f"verl knows no {word!r}", option, hint_for(str(word), words, "names"))
