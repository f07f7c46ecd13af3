"""What a stage has to do, as far as its time and its sizes depend on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from toolrl_cli.spec.identity import digest
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.training.gpu_memory import GIB
from toolrl_cli.training.model_size import ModelSize, model_size

FindStage = Callable[[str], "StageSpec | None"]
"""Stage id → stage."""

_TRANSPORT = ("micro_batch_size", "micro_batch", "micro_batch_tokens", "save_every", "keep_checkpoints")
"""Settings that change what a stage takes and not what comes out."""
_DEVICE_NAMES = ("cpu", "cuda")
_BLOCKS = ("model", "resources", "data", "sft", "rl", "evaluation", "verl_options")
"""Parts of a stage's settings that its work follows from, and which the stages of a large grid share as objects."""


@dataclass(frozen=True)
class Work:
    """A stage's work.

    Attributes:
        kind: the stage's kind.
        what: what is done, by name: the algorithm, the split or the benchmark; empty for an export.
        model: name of the model that it works on.
        device: `cpu` or `cuda`.
        gpus: execution slots that it occupies.
        steps: training steps, or None.
        units: sequences handled: in a step of training (responses or rows), or altogether in an evaluation.
        length: most tokens of one sequence.
        size: of the model, or None.
        gpu_memory: bytes of a GPU that it is meant for (`resources.gpu_memory`); None where it does not say.
        config: the stage's settings.
        shape: equal for stages that differ in nothing that an estimate from unlike stages depends on.
    """

    kind: str
    what: str
    model: str
    device: str
    gpus: int
    steps: int | None
    units: int
    length: int
    size: ModelSize | None
    gpu_memory: int | None
    config: Mapping[str, Any]
    shape: tuple[object, ...]


class Works:
    """The work of stages; remembers what costs time to find out.

    Args:
        find: stages by id, for those that say nothing of the model themselves (exports).
        gpus_here: whether `device: auto` means GPUs.
    """

    def __init__(self, find: FindStage, gpus_here: bool) -> None:
        self._find = find
        self._gpus_here = gpus_here
        self._works: dict[tuple[object, ...], Work] = {}
        self._sizes: dict[str, ModelSize | None] = {}
        self._chains: dict[str, str] = {}

    def of(self, spec: StageSpec) -> Work:
        """The work of one stage; one object for all that are made of the same blocks."""
        origin = self._trained(spec) if spec.kind == "export" else spec
        config = origin.config if origin else spec.config
        names = (spec.kind, spec.slots, spec.total_steps, config.get("algorithm"), config.get("benchmark"))
        key = (*names, *[id(config.get(name)) for name in _BLOCKS])
        found = self._works.get(key)
        if found is None:  # it keeps the blocks, so that their `id`s stay their own
            found = self._works[key] = self._work(spec, config)
        return found

    def _work(self, spec: StageSpec, config: Mapping[str, Any]) -> Work:
        """The work of a stage, by its own settings or those of what it exports."""
        model = config.get("model") or {}
        resources = config.get("resources") or {}
        device = self._device(str(resources.get("device", "auto")))
        steps, units, length = amount = _amount(spec)
        what = _what(spec)
        settings = config.get(spec.kind) or {}
        options = config.get("verl_options") or {}
        shape = (
            *(spec.kind, what, model.get("name"), model.get("path"), device, spec.slots, *amount),
            *(settings.get(name) for name in _TRANSPORT),
            *(resources.get(name) for name in ("rollout", "gpu_memory_utilization", "offload", "gpu_memory")),
            *(
                name
                for name, value in options.items()
                if name.endswith("_offload") or name.endswith("_policy")
            ),
        )
        return Work(
            kind=spec.kind,
            what=what,
            model=str(model.get("name", "")),
            device=device,
            gpus=spec.slots,
            steps=steps,
            units=units,
            length=length,
            size=self._size(model),
            gpu_memory=int(resources["gpu_memory"] * GIB) if resources.get("gpu_memory") else None,
            config=spec.config if spec.kind != "export" else {**config, **spec.config},
            shape=shape,
        )

    def recipe(self, spec: StageSpec) -> str:
        """Equal where the stage's whole chain is equal but for seeds, and what it runs on is."""
        settings = spec.config.get(spec.kind) or {}
        transport = "/".join(str(settings.get(name)) for name in _TRANSPORT)
        device = (spec.config.get("resources") or {}).get("device", "auto")
        return f"{self._chain(spec)}/{device}/{spec.slots}/{transport}"

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

    def _size(self, model: Mapping[str, Any]) -> ModelSize | None:
        name = f"{model.get('kind')}:{model.get('path', '')}"
        if name not in self._sizes:
            self._sizes[name] = model_size(model)
        return self._sizes[name]


def _what(spec: StageSpec) -> str:
    config = spec.config
    if spec.kind == "rl":
        return str(config.get("algorithm", ""))
    if spec.kind == "sft":
        return str((config.get("sft") or {}).get("split", ""))
    return str(config.get("benchmark", ""))  # exporting is the same work whatever the model was trained with


def _amount(spec: StageSpec) -> tuple[int | None, int, int]:
    """Steps, sequences and most tokens of a sequence; 1 for what is not known."""
    config = spec.config
    if spec.kind == "rl":
        rl = config.get("rl") or {}
        length = rl.get("max_prompt_length", 1) + rl.get("max_response_length", 0)
        return spec.total_steps, rl.get("prompts", 1) * rl.get("rollouts", 1), length
    if spec.kind == "sft":
        sft = config.get("sft") or {}
        return spec.total_steps or _epoch_steps(config), sft.get("batch_size", 1), sft.get("max_length", 1)
    if spec.kind == "evaluate":
        evaluation, data = config.get("evaluation") or {}, config.get("data") or {}
        items = data.get("benchmark", 1) if config.get("benchmark") == "toolworld" else 1
        length = evaluation.get("max_prompt_length", 1) + evaluation.get("max_response_length", 0)
        return None, items, length
    return None, 1, 1


def _epoch_steps(config: Mapping[str, Any]) -> int | None:
    """Steps of whole epochs, where the data's settings tell its rows; verl leaves out the last, short batch."""
    sft, data = config.get("sft") or {}, config.get("data") or {}
    rows = (data.get("limit") or {}).get(sft.get("split")) if data.get("kind") == "rlla" else None
    if data.get("kind") == "toolworld":
        rows = data.get(sft.get("split"))
    if not rows:
        return None
    return int(rows) // int(sft["batch_size"]) * int(sft["epochs"]) or None
