"""Words that verl 0.9.1 checks only in its workers, minutes after a run has started.

Each comment names the function of verl that refuses other words. Of options that are the user's own to set
(`ownership`). Imports nothing of verl.
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
CONTENTS = ("model", "optimizer", "extra", "hf_model")

CHOICES: dict[Kind, dict[str, tuple[str, ...]]] = {
    "rl": {
        "algorithm.kl_penalty": KL,  # trainer/ppo/core_algos.py `kl_penalty`
        "actor_rollout_ref.actor.kl_loss_type": KL,
        "actor_rollout_ref.actor.checkpoint.save_contents": CONTENTS,
        "critic.checkpoint.save_contents": CONTENTS,
        # utils/torch_dtypes.py `PrecisionType.to_dtype`
        "actor_rollout_ref.actor.fsdp_config.model_dtype": DTYPES,
        "actor_rollout_ref.ref.fsdp_config.model_dtype": DTYPES,
        "critic.fsdp.model_dtype": DTYPES,
    },
    "sft": {
        "data.pad_mode": ("right", "no_padding"),  # utils/dataset/multiturn_sft_dataset.py
        "checkpoint.save_contents": CONTENTS,
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
