"""What one run is: typed, frozen and validated. Every field is reached by a dotted key in a sweep file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, Strict, field_validator, model_validator

from toolrl_cli.spec.algorithms.algorithm import AlgorithmName

Whole = Annotated[int, Strict()]  # neither `yes` nor 2.5 is a number of steps
Number = Annotated[float, Strict()]
Positive = Annotated[Whole, Field(gt=0)]
Natural = Annotated[Whole, Field(ge=0)]
Share = Annotated[Number, Field(ge=0, le=1)]
Rate = Annotated[Number, Field(gt=0, lt=1)]


Precision = Literal["fp32", "bf16"]


S = TypeVar("S", bound="StageSettings")


class Frozen(BaseModel):
    """Immutable, no unknown keys, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class StageSettings(Frozen):
    """The settings of one kind of work, most of which are part of a stage's identity.

    Attributes:
        TRANSPORT: fields that change how a stage runs and what it takes, and not what comes out.
        PERMISSIONS: fields that decide whether a stage starts, and not what comes out of one that did.
        ADDED_LATER: fields that came later, each with the value at which a stage is what it was without the
            field: no part of its identity then, so that the ids of earlier results stay.
    """

    TRANSPORT: ClassVar[frozenset[str]] = frozenset()
    PERMISSIONS: ClassVar[frozenset[str]] = frozenset()
    ADDED_LATER: ClassVar[Mapping[str, Any]] = {}

    def identity(self) -> dict[str, Any]:
        """The fields that are part of a stage's identity, as JSON; made once, because cells share their settings."""
        return dict(self._identity)

    @cached_property
    def _identity(self) -> dict[str, Any]:
        left_out = {*self.TRANSPORT, *self.PERMISSIONS}
        left_out.update(name for name, value in self.ADDED_LATER.items() if getattr(self, name) == value)
        return self.model_dump(mode="json", exclude=left_out)

    def model_copy(self: S, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> S:
        """A copy with other values, which has not yet worked out its identity."""
        copy = super().model_copy(update=update, deep=deep)
        copy.__dict__.pop("_identity", None)
        return copy

    def transport(self) -> dict[str, Any]:
        """The fields of transport, by name."""
        return {name: getattr(self, name) for name in sorted(self.TRANSPORT)}


class SftSpec(StageSettings):
    """Supervised fine-tuning with verl's SFT trainer (paper §4.1; settings of appendix B in the presets)."""

    TRANSPORT: ClassVar[frozenset[str]] = frozenset({"micro_batch_size", "save_every"})
    PERMISSIONS: ClassVar[frozenset[str]] = frozenset({"allow_cut_gold"})
    ADDED_LATER: ClassVar[Mapping[str, Any]] = {"val_share": 0.0}

    split: Literal["base", "sft", "train", "sft4k"] = Field(
        "sft", description="which split of the data to train on; sft4k: rows of your own, data.sft4k"
    )
    steps: Positive | None = Field(None, description="optimiser steps; None: as `epochs` says")
    epochs: Positive = 1
    batch_size: Positive = 16
    micro_batch_size: Positive = Field(
        1, description="sequences a device handles at once; does not change the result"
    )
    lr: Rate = 1e-5
    lr_schedule: Literal["constant", "cosine"] = "cosine"
    warmup: Share = Field(0.1, description="share of the steps over which the learning rate rises")
    weight_decay: Annotated[Number, Field(ge=0)] = 0.01
    grad_clip: Annotated[Number, Field(gt=0)] = 1.0
    max_length: Positive = Field(4096, description="tokens; longer rows are cut on the right")
    save_every: Positive | None = Field(None, description="steps between checkpoints; None: only at the end")
    val_share: Annotated[Number, Field(ge=0, lt=1)] = Field(
        0.0, description="share of the rows that are not trained on but serve for the validation loss"
    )
    allow_cut_gold: bool = Field(
        False, description="train although rows over max_length lose gold answers; does not change the result"
    )


LossAggregation = Literal[
    "token-mean", "token-sum", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm"
]


class DynamicSampling(StageSettings):
    """Groups whose responses all earned the same are left out, and further prompts take their place (DAPO)."""

    PERMISSIONS: ClassVar[frozenset[str]] = frozenset({"max_refills"})

    metric: str = Field(
        "reward", description="what must differ: the whole reward, or one of its parts by name"
    )
    max_refills: Positive = Field(
        10, description="most prompts that take others' place in a step, in multiples of `prompts`"
    )


class RlSpec(StageSettings):
    """Reinforcement learning with verl (paper Tables 8 and 9)."""

    TRANSPORT: ClassVar[frozenset[str]] = frozenset(
        {"micro_batch", "micro_batch_tokens", "save_every", "keep_checkpoints"}
    )
    PERMISSIONS: ClassVar[frozenset[str]] = frozenset({"allow_cut_gold", "allow_imperfect_gold"})
    ADDED_LATER: ClassVar[Mapping[str, Any]] = {
        **dict.fromkeys(
            ("clip_ratio_low", "clip_ratio_high", "loss_agg", "dynamic_sampling", "gdpo_weights")
        ),
        "norm_by_std": True,
    }

    steps: Positive = 105
    prompts: Positive = Field(512, description="prompts a step")
    rollouts: Positive = Field(4, description="responses a prompt (the group of GRPO)")
    mini_batch: Positive = Field(128, description="prompts an optimiser step")
    micro_batch: Positive | None = Field(
        None, description="responses a device handles at once; None: by tokens. Does not change the result"
    )
    micro_batch_tokens: Positive = Field(
        16384, description="tokens a device handles at once where micro_batch is None"
    )
    updates: Positive = Field(1, description="passes over a step's responses (verl's ppo_epochs)")
    lr: Rate = 1e-6
    critic_lr: Rate = 1e-5
    critic_warmup: Natural = Field(
        0, description="the step from which the policy learns too; before it, only the critic"
    )
    warmup_steps: Natural = Field(0, description="steps over which the learning rates rise")
    weight_decay: Annotated[Number, Field(ge=0)] = 0.01
    grad_clip: Annotated[Number, Field(gt=0)] = 1.0
    clip_ratio: Rate = 0.2
    clip_ratio_low: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="how far below 1 the ratio is clipped; None: clip_ratio"
    )
    clip_ratio_high: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="how far above 1 the ratio is clipped; None: clip_ratio"
    )
    loss_agg: LossAggregation | None = Field(
        None, description="how a loss is made of those of the tokens (verl's loss_agg_mode); None: token-mean"
    )
    norm_by_std: bool = Field(True, description="divide advantages by the standard deviation of their group")
    entropy_coeff: Annotated[Number, Field(ge=0)] = 0.0
    gamma: Share = Field(1.0, description="discount (PPO)")
    gae_lambda: Share = Field(1.0, description="λ of generalised advantage estimation (PPO)")
    kl: Literal["none", "in_reward", "in_loss"] = "none"
    kl_coef: Annotated[Number, Field(ge=0)] = 0.001
    dynamic_sampling: DynamicSampling | None = Field(
        None, description="leave out groups whose responses all earned the same; None: train on all"
    )
    gdpo_weights: dict[str, Number] | None = Field(
        None, description="part of the reward → its weight in GDPO; for others their own in the reward"
    )
    temperature: Annotated[Number, Field(gt=0)] = 1.0
    top_p: Annotated[Number, Field(gt=0, le=1)] = 1.0
    top_k: Whole = Field(-1, description="-1: all tokens")
    max_prompt_length: Positive = 2048
    max_response_length: Positive = 1024
    truncation: Literal["left"] = Field(
        "left", description="of prompts that are too long; verl 0.9.1 cuts on the left and nowhere else"
    )
    save_every: Positive = 15
    validate_every: Positive = 5
    keep_checkpoints: Positive = Field(2, description="newest checkpoints to keep on disk")
    allow_cut_gold: bool = Field(
        False,
        description="train although gold answers are longer than max_response_length; does not change the result",
    )
    allow_imperfect_gold: bool = Field(
        False,
        description="train although gold answers score below their maximum; does not change the result",
    )

    def identity(self) -> dict[str, Any]:
        """See `StageSettings`."""
        sampling = {} if self.dynamic_sampling is None else self.dynamic_sampling.identity()
        return {**super().identity(), **({"dynamic_sampling": sampling} if sampling else {})}

    @model_validator(mode="after")
    def _batches_fit(self) -> RlSpec:
        if self.prompts % self.mini_batch:
            raise ValueError(f"prompts ({self.prompts}) must be a multiple of mini_batch ({self.mini_batch})")
        return self


class LoraSpec(StageSettings):
    """Low-rank adapters: W + (alpha/rank)·B·A is trained in B and A alone, by SFT and by RL's policy."""

    rank: Annotated[Whole, Field(gt=0, le=512)] = Field(description="of B·A; vLLM takes up to 512")
    alpha: Positive = Field(16, description="the adapters' product is scaled by alpha/rank")
    target_modules: Literal["all-linear"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        "all-linear", description="names such as [q_proj, v_proj]; all-linear: all but the output head"
    )
    exclude_modules: tuple[str, ...] = Field((), description="names of modules that get no adapter")

    @field_validator("target_modules", "exclude_modules")
    @classmethod
    def _in_one_order(cls, names: Any) -> Any:
        return names if isinstance(names, str) else tuple(sorted(set(names)))


class ToolWorldData(Frozen):
    """The generated tool-use task; sizes are rows."""

    kind: Literal["toolworld"]
    seed: Natural = 0
    base: Positive = 4096
    sft: Positive = 256
    train: Positive = 2048
    val: Positive = 64
    benchmark: Positive = 200


class RllaData(Frozen):
    """The paper's data (`toolrl data prepare rlla`), or a folder of one's own in their form."""

    kind: Literal["rlla"]
    path: str | None = Field(
        None, description="a folder with `rlla_sft.json` and the RL rows; None: the released ones"
    )
    sft4k: str | None = Field(
        None,
        description="a file of SFT rows of your own in the form of `rlla_sft.json`, for sft.split: sft4k",
    )
    limit: dict[Literal["sft", "train", "val", "sft4k"], Positive] = Field(
        {}, description="split → most rows to use"
    )
    at_least: dict[Literal["sft", "train", "val", "sft4k"], Positive] = Field(
        {}, description="split → rows that there must be, or nothing is trained; does not change the result"
    )


class OwnData(Frozen):
    """Files of one's own."""

    train: str = Field(description="a file of RL rows")
    val: str = Field(description="a file of RL rows to validate on")
    sft: str | None = Field(None, description="a file of SFT rows, for sft.split: sft")
    limit: dict[Literal["sft", "train", "val"], Positive] = Field({}, description="split → most rows to use")

    def files(self, splits: Iterable[str] = ("sft", "train", "val")) -> dict[str, str]:
        """Split → its file, of those that there are."""
        return {split: path for split in splits if (path := getattr(self, split, None)) is not None}


class VerlData(OwnData):
    """Rows of one's own in verl's formats, parquet or JSON lines; docs/data.md."""

    kind: Literal["verl"]


class Fields(Frozen):
    """Where in a row is what: keys joined by dots, and positions in lists, such as `messages.0.content`."""

    prompt: str | None = Field(None, description="a text, or the messages before the gold turn")
    gold: str | None = Field(
        None, description="calls, an answer in words, or a whole gold turn with its tags"
    )
    messages: str | None = Field(
        None,
        description="a dialogue, of which each turn of the assistant is a row; instead of prompt and gold",
    )
    tools: str | None = Field(None, description="the tools that are offered; with them prompts are ToolRL's")
    think: str | None = Field(None, description="the gold turn's thought")
    data_source: str | None = Field(None, description="where the row comes from, for rewards")
    id: str | None = Field(None, description="the row's own name")
    extra_info: str | None = Field(None, description="an object that rewards are given")

    @model_validator(mode="after")
    def _whole(self) -> Fields:
        if self.messages and (self.prompt or self.gold or self.think):
            raise ValueError("messages hold prompts, gold turns and thoughts: leave out the other keys")
        if bool(self.prompt) != bool(self.gold):
            there, lacks = ("prompt", "gold") if self.prompt else ("gold", "prompt")
            raise ValueError(f"{there} needs {lacks} beside it")
        if not self.messages and not self.prompt:
            raise ValueError("names neither messages, nor prompt and gold")
        return self

    def named(self) -> dict[str, str]:
        """Those that are given."""
        return self.model_dump(exclude_none=True)


class JsonlData(OwnData):
    """Rows of one's own in a form of one's own, JSON lines or parquet; docs/data.md."""

    kind: Literal["jsonl"]
    fields: Fields = Field(description="where in a row is what")


DATA_KINDS: Mapping[str, type[ToolWorldData | RllaData | VerlData | JsonlData]] = {
    "toolworld": ToolWorldData,
    "rlla": RllaData,
    "verl": VerlData,
    "jsonl": JsonlData,
}


class TinyModel(Frozen):
    """A Qwen2-architecture model made on the spot from a seed and given a rough ability by SFT."""

    kind: Literal["tiny"]
    name: str = "tiny"
    seed: Natural = 0
    pretrain: SftSpec = SftSpec(split="base")
    pretrain_data: ToolWorldData = ToolWorldData(kind="toolworld")


class HuggingFaceModel(Frozen):
    """A model folder, or a name on the hub."""

    kind: Literal["huggingface"]
    name: str
    path: str = Field(description="folder or hub name")
    revision: str | None = Field(None, description="commit on the hub")


class EndpointModel(Frozen):
    """A model behind an OpenAI-compatible endpoint, which is asked and never trained."""

    kind: Literal["endpoint"]
    name: str
    url: str = Field(
        description="its root, such as http://127.0.0.1:8000/v1", pattern=r"^https?://[^\s/?#@]+[^\s?#@]*$"
    )
    model: str = Field(description="what the endpoint calls the model")
    key_env: str = Field(
        "", description="environment variable with its key, in whichever process asks", pattern=r"^\w*$"
    )


KINDS: Mapping[Any, type[Frozen]] = {
    **DATA_KINDS,
    "tiny": TinyModel,
    "huggingface": HuggingFaceModel,
    "endpoint": EndpointModel,
}
"""Kind → what it has, of the blocks that come in several kinds."""

DataSpec = Annotated[ToolWorldData | RllaData | VerlData | JsonlData, Field(discriminator="kind")]
ModelSpec = Annotated[TinyModel | HuggingFaceModel | EndpointModel, Field(discriminator="kind")]


class JudgeSpec(Frozen):
    """A model behind an OpenAI-compatible server that judges answers."""

    model: str = Field(description="as the server calls it; gpt-4o in the paper")
    url: str = Field("https://api.openai.com/v1", description="of the server, up to /v1")
    key_env: str | None = Field("OPENAI_API_KEY", description="variable with the key; null: it takes none")


class BamboogleSpec(Frozen):
    """How Bamboogle's searches are answered and its answers judged; all of it is part of the protocol's name."""

    search: str = Field(
        "serper", description="serper (key in SERPER_API_KEY), or a folder or file of documents"
    )
    judge: JudgeSpec | None = Field(None, description="null: by matching words with the gold answer")


class EvaluateSpec(StageSettings):
    """How a model is asked in a benchmark."""

    TRANSPORT: ClassVar[frozenset[str]] = frozenset({"batch_size", "bamboogle", "patience"})
    PERMISSIONS: ClassVar[frozenset[str]] = frozenset({"allow_cut_gold"})
    ADDED_LATER: ClassVar[Mapping[str, Any]] = {"limit": None}

    limit: Positive | None = Field(None, description="items of each category, at most; None: all")
    temperature: Annotated[Number, Field(ge=0)] = 0.0
    max_prompt_length: Positive = 4096
    max_response_length: Positive = 1024
    batch_size: Positive = Field(64, description="responses generated at once; does not change the result")
    patience: Annotated[Number, Field(ge=0)] = Field(
        300.0,
        description="seconds in which a question that has no answer is asked again; does not change the result",
    )
    bamboogle: BamboogleSpec = BamboogleSpec()
    allow_cut_gold: bool = Field(
        False,
        description="ask although gold answers are longer than max_response_length; does not change the result",
    )


class OverSteps(Frozen):
    """A benchmark that models of several steps of RL are scored on, so that there is a curve (`spec.over_steps`)."""

    benchmark: str
    every: Positive = Field(
        description="steps of RL between two that are scored; a multiple of rl.save_every"
    )


class OwnEvaluation(Frozen):
    """What a user's own evaluation is; every part of it is part of a stage's identity but the folder.

    Attributes:
        name: of its scores.
        path: the Python file, absolute; empty for a command.
        command: what to run, in `folder`; empty for a file.
        sha256: of the file, or of those that the command names, with all that they import from beside them.
    """

    name: str
    path: str = ""
    command: tuple[str, ...] = ()
    folder: str = ""
    sha256: str = Field("", description="filled in")

    def identity(self) -> dict[str, Any]:
        """What decides the result."""
        return {"sha256": self.sha256} | ({"command": list(self.command)} if self.command else {})


class VerlOptions(Frozen):
    """verl's own options, passed through as they are: dotted key → value."""

    sft: dict[str, Any] = {}
    rl: dict[str, Any] = {}


class Resources(Frozen):
    """Where and on how much a stage runs. Never part of a stage's identity."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    gpus: Positive = Field(
        1, description="GPUs (or, on CPU, ranks) of a training stage, on each of its nodes"
    )
    nodes: Positive = Field(
        1, description="machines of a training stage, each with `gpus`; a cluster's launcher gives them"
    )
    rollout: Literal["auto", "transformers", "vllm"] = "auto"
    gpu_memory_utilization: Annotated[Number, Field(gt=0, lt=1)] = 0.6
    gpu_memory: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="GiB of one GPU that it is meant for, for plans made where there is none"
    )
    offload: Literal["auto", "never", "idle", "always"] = Field(
        "never",
        description="keep weights and moments in the host's memory, on CUDA: idle: while another network works; "
        "always: FSDP2's policy (slower updates, hardly any GPU memory); auto: idle, or always where the stage "
        "would not fit into gpu_memory by arithmetic",
    )
    memory: Annotated[Number, Field(gt=0)] | None = Field(
        None,
        description="GiB of each of its machines that a training stage takes at its peak, where that is known better "
        "than by arithmetic, which takes every row to be as long as the limits allow",
    )
    hang_minutes: Annotated[Number, Field(gt=0)] = Field(
        30.0, description="a stage without a step for so long hangs; the first step has at least 30 minutes"
    )
    priority: Whole = Field(0, description="of two stages that could start, the higher number does")

    @property
    def ranks(self) -> int:
        """GPUs (or processes on CPUs) of a training stage on all of its nodes together."""
        return self.gpus * self.nodes


class RunSpec(Frozen):
    """One arm with one seed, fully resolved."""

    model: ModelSpec
    data: DataSpec
    train: tuple[str, ...] = Field(("rl",), description="[]: raw model; [rl]: cold start")
    stages: dict[str, dict[str, Any]] = Field(
        {}, description="settings of kinds of training that other distributions add: kind → settings"
    )
    algorithm: AlgorithmName = Field("grpo", description="of RL; it brings `rl.*` settings of its own")
    reward: dict[str, Any] = Field(description="a name or a composition; canonical after validation")
    sft: SftSpec = SftSpec()
    rl: RlSpec = RlSpec()
    lora: LoraSpec | None = Field(None, description="adapters for SFT and RL; null: all weights are trained")
    checkpoint: Literal["last", "best"] = Field(
        "last", description="of RL, what is exported: the last one, or the best by validation among the saved"
    )
    evaluate: tuple[str | OverSteps | OwnEvaluation, ...] = ()
    evaluation: EvaluateSpec = EvaluateSpec()
    precision: Precision = "bf16"
    seed: Whole = Field(1, ge=0, lt=2**31)
    rehearsal: bool = Field(
        False, description="of --profile rehearsal: results that mean nothing, under ids of their own"
    )
    verl: VerlOptions = VerlOptions()
    resources: Resources = Resources()

    @field_validator("stages")
    @classmethod
    def _settings_are_read(cls, stages: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for kind, given in stages.items():
            _check_kind_settings(kind, given)
        return stages

    @field_validator("train")
    @classmethod
    def _train_order(cls, train: tuple[str, ...]) -> tuple[str, ...]:
        for name in train:
            _check_training(name)
        if len(set(train)) != len(train) or train == ("rl", "sft"):
            raise ValueError(f"{list(train)} is no order of training; one of [], [sft], [rl], [sft, rl]")
        return train


def _check_kind_settings(kind: str, given: Mapping[str, Any]) -> None:
    from toolrl_cli.spec.stage_config import TrainingConfig
    from toolrl_cli.spec.suggest import hint_for

    _check_training(kind)
    if kind in RunSpec.model_fields:
        raise ValueError(f"settings of {kind!r} stand under `{kind}`, not under `stages.{kind}`")
    from toolrl_cli.spec.stage_kind import STAGE_KINDS

    known = set(STAGE_KINDS.get(kind).settings_type.model_fields) - set(TrainingConfig.model_fields)
    for key in given:
        if key not in known:
            raise ValueError(f"unknown key {key!r} of {kind!r}: {hint_for(key, known, 'keys')}")


def _check_training(name: str) -> None:
    # which kinds there are is found out where one is named: a kind of another distribution imports this module
    from toolrl_cli.spec.stage_kind import STAGE_KINDS
    from toolrl_cli.spec.suggest import hint_for

    known = [kind for kind, found in STAGE_KINDS.all().items() if found.make]
    if name not in known:
        raise ValueError(f"{name!r} is no kind of training: {hint_for(name, known, 'kinds')}")
