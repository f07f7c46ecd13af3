"""What a stage has to do, as far as its time and its sizes depend on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from toolrl_cli.spec.identity import digest
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_config import Amount, ModelConfig, StageConfig, TrainingConfig
from toolrl_cli.spec.stage_kind import settings_of
from toolrl_cli.training.models.gpu_memory import GIB
from toolrl_cli.training.models.model_size import ModelSize, model_size

FindStage = Callable[[str], "StageSpec | None"]
"""Stage id → stage."""

_MEMORY_OPTIONS = ("gradient_checkpointing", "model_dtype")
"""Ends of verl's options that change what memory a stage takes."""
_DEVICE_NAMES = ("cpu", "cuda")


@dataclass(frozen=True)
class Work:
    """A stage's work.

    Attributes:
        kind: the stage's kind.
        amount: how much there is to do.
        model: name of the model that it works on.
        device: `cpu` or `cuda`.
        gpus: execution slots that it occupies.
        size: of the model, or None.
        gpu_memory: bytes of a GPU that it is meant for (`resources.gpu_memory`); None where it does not say.
        config: the stage's settings.
        shape: equal for stages that differ in nothing that an estimate from unlike stages depends on.
    """

    kind: str
    amount: Amount
    model: str
    device: str
    gpus: int
    size: ModelSize | None
    gpu_memory: int | None
    config: StageConfig
    shape: tuple[object, ...]

    @property
    def training(self) -> TrainingConfig | None:
        """Its settings where it trains."""
        return self.config if isinstance(self.config, TrainingConfig) else None

    @property
    def what(self) -> str:
        """What is done, by name: the algorithm, the split or the benchmark; empty for an export."""
        return self.amount.what

    @property
    def steps(self) -> int | None:
        """Training steps, or None."""
        return self.amount.steps

    @property
    def units(self) -> int:
        """Sequences handled: in a step of training, or altogether in an evaluation."""
        return self.amount.units

    @property
    def length(self) -> int:
        """Most tokens of one sequence."""
        return self.amount.length


class Works:
    """The work of stages; remembers what costs time to find out.

    Args:
        find: stages by id, for those that say nothing of the model themselves (exports).
        gpus_here: whether `device: auto` means GPUs.
    """

    def __init__(self, find: FindStage, gpus_here: bool) -> None:
        self._find = find
        self._gpus_here = gpus_here
        self._works: dict[str, Work] = {}
        self._sizes: dict[str, ModelSize | None] = {}
        self._chains: dict[str, str] = {}

    def of(self, spec: StageSpec) -> Work:
        """The work of one stage."""
        if spec.id not in self._works:
            self._works[spec.id] = self._work(spec)
        return self._works[spec.id]

    def _work(self, spec: StageSpec) -> Work:
        """The work of a stage, by its own settings or those of what it exports."""
        config = settings_of(spec)
        origin = config if isinstance(config, ModelConfig) else self._origin(spec)
        resources = (origin or config).resources
        device = self._device(resources.device)
        amount = config.amount(spec.total_steps)
        model = origin.model if origin else None
        trained = origin if isinstance(origin, TrainingConfig) else None
        options = trained.verl_options if trained else {}
        shape = (
            *(
                spec.kind,
                amount,
                model and model.name,
                origin and origin.model_path,
                device,
                spec.slots,
                spec.nodes,
            ),
            tuple(config.transport.items()),
            *(
                resources.rollout,
                resources.gpu_memory_utilization,
                resources.offload,
                resources.gpu_memory,
                resources.memory,
            ),
            trained is not None and (trained.entropy, trained.reference),
            *((name, str(value)) for name, value in options.items() if name.endswith(_MEMORY_OPTIONS)),
            *([trained.lora] if trained and trained.lora else []),
        )
        return Work(
            kind=spec.kind,
            amount=amount,
            model=model.name if model else "",
            device=device,
            gpus=spec.slots,
            size=self._size(origin) if origin else None,
            gpu_memory=int(resources.gpu_memory * GIB) if resources.gpu_memory else None,
            config=config,
            shape=shape,
        )

    def recipe(self, spec: StageSpec) -> str:
        """Equal where the stage's whole chain is equal but for seeds, and what it runs on is."""
        transport = "/".join(map(str, settings_of(spec).transport.values()))
        device = spec.resources.get("device", "auto")
        return f"{self._chain(spec)}/{device}/{spec.slots}/{spec.nodes}/{transport}"

    def _origin(self, spec: StageSpec) -> ModelConfig | None:
        """The settings of the stage whose model this one takes."""
        trained = self._trained(spec)
        config = settings_of(trained) if trained is not None else None
        return config if isinstance(config, ModelConfig) else None

    def _trained(self, spec: StageSpec) -> StageSpec | None:
        found = (self._find(stage_id) for stage_id in spec.inputs.values())
        return next((stage for stage in found if stage is not None), None)

    def _device(self, wanted: str) -> str:
        return wanted if wanted in _DEVICE_NAMES else ("cuda" if self._gpus_here else "cpu")

    def _chain(self, spec: StageSpec) -> str:
        """The stage and the chain of stages before it, without seeds."""
        known = self._chains.get(spec.id)
        if known is None:
            identity = {key: value for key, value in spec.identity.items() if key != "seed"}
            inputs = {role: self._find(stage_id) for role, stage_id in spec.inputs.items()}
            before = {role: self._chain(stage) for role, stage in inputs.items() if stage is not None}
            model = (spec.config.get("model") or {}).get("name")
            known = self._chains[spec.id] = digest([spec.kind, model, identity, before])
        return known

    def _size(self, config: ModelConfig) -> ModelSize | None:
        if config.model_path not in self._sizes:
            self._sizes[config.model_path] = model_size(config.model)
        return self._sizes[config.model_path]
