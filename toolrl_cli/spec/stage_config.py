"""What the function of a stage is given besides its inputs, typed; `spec.json` has it as `config`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from toolrl_cli.spec.run.data_settings import DataSpec
from toolrl_cli.spec.run.frozen import Frozen, Precision
from toolrl_cli.spec.run.model_settings import HuggingFaceModel, ModelSpec
from toolrl_cli.spec.run.run_spec import Resources
from toolrl_cli.spec.run.training_settings import LoraSpec

ELSE_HELPS = "a device with more memory helps"


@dataclass(frozen=True)
class Amount:
    """How much work a stage is, as far as its time and its sizes depend on it.

    Attributes:
        what: what is done, by name: the algorithm, the split or the benchmark; empty where all is alike.
        steps: training steps, or None.
        units: sequences handled: in a step of training (responses or rows), or altogether in an evaluation.
        length: most tokens of one sequence.
    """

    what: str = ""
    steps: int | None = None
    units: int = 1
    length: int = 1


@dataclass(frozen=True)
class Change:
    """A setting of transport to change, so that a stage takes less memory and gives the same result.

    Attributes:
        key: dotted key into the stage's config.
        old, new: its values.
        label: what people call it.
    """

    key: str
    old: int | float
    new: int | float
    label: str

    def __str__(self) -> str:
        return f"{self.label} {self.old} → {self.new}"


class StageConfig(Frozen):
    """What every stage is given; the base of each kind's own."""

    resources: Resources = Resources()

    def amount(self, total_steps: int | None) -> Amount:
        """How much work a stage with this config is."""
        return Amount(steps=total_steps)

    def with_less_memory(self, message: str = "") -> Change | str:
        """The change to try after running out of memory, or why there is none and what else helps, in one clause.

        Args:
            message: the cause of the failure, as the log has it.
        """
        return ELSE_HELPS

    @property
    def transport(self) -> dict[str, Any]:
        """The settings that change how the stage runs and what it takes, and not what comes out."""
        return {}


class ModelConfig(StageConfig):
    """Of a stage that starts from a model: an input, or the one named here."""

    model: ModelSpec
    precision: Precision = "bf16"
    asked_precision: Precision | None = Field(
        None,
        description="what the sweep asks for, where the device that it was planned for computes in another",
    )

    @property
    def model_path(self) -> str:
        """The folder or hub name; empty for a model that is made on the spot."""
        return self.model.path if isinstance(self.model, HuggingFaceModel) else ""


class TrainingConfig(ModelConfig):
    """Of a stage that trains: makes steps and leaves checkpoints."""

    data: DataSpec
    seed: int = 0
    lora: LoraSpec | None = None
    verl_options: dict[str, Any] = Field(default_factory=dict)

    offload_while_idle: ClassVar[bool] = False
    """Whether a network is ever idle in a step, so that its weights may rest elsewhere meanwhile."""

    @property
    def networks(self) -> int:
        """How many networks are trained."""
        return 1

    @property
    def tokens_at_once(self) -> int:
        """Most tokens that a device handles at once; verl's packing may go a little beyond where it balances."""
        raise TypeError(type(self).__name__)

    @property
    def save_every(self) -> int | None:
        """Steps between checkpoints; None: only at the end."""
        return None

    @property
    def kept_checkpoints(self) -> int:
        """How many of the newest checkpoints stay on disk."""
        return 1

    def verl_option(self, *names: str) -> Any:
        """What the sweep gives the first of these options of verl, under whatever prefix; None where it gives none."""
        given = {key.lstrip("+"): value for key, value in self.verl_options.items()}
        return next((given[name] for name in names if name in given), None)

    @property
    def bytes_a_weight(self) -> int:
        """Of a weight while it is trained; gradients and moments are in the same precision."""
        names = ("actor_rollout_ref.actor.fsdp_config.model_dtype", "engine.model_dtype")
        return 2 if self.verl_option(*names) in ("bf16", "bfloat16") else 4

    @property
    def reference(self) -> bool:
        """Whether a frozen copy of the first model is needed beside the one that is trained."""
        return False

    @property
    def entropy(self) -> bool:
        """Whether the loss has an entropy, which needs the logits twice."""
        return False


Offload = Literal["never", "idle", "always"]


def divided(key: str, asked: int, else_helps: str, most: int | None = None) -> Change | str:
    """A divisor, so that whatever the old size divided the new one does: verl insists on whole micro-batches."""
    size = asked if most is None else min(asked, most)
    if size <= 1:
        return f"the micro-batch is 1 already; {else_helps} or more GPUs help"
    smaller = next(size // n for n in range(2, size + 1) if size % n == 0)
    return Change(key, asked, smaller, "micro-batch")
