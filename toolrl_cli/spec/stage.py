"""A stage as it is planned, stored and executed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from toolrl_cli.errors import SpecError

if TYPE_CHECKING:
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")


@dataclass(frozen=True)
class StageSpec:
    """One step of a run, fully resolved; two stages with the same id are the same stage.

    Attributes:
        id: `<slug>-<10 hex>`, see `toolrl_cli.spec.identity`.
        kind: what the stage does, see `spec.stage_kind`.
        identity: the canonical fields that the hash covers (without the inputs, which are hashed by id).
        inputs: role → id of the stage whose `output/` or `checkpoints/` this one reads.
        config: everything the stage's function needs, as `spec.json` has it; `settings` gives it typed.
        slots: execution slots (GPUs where there are GPUs, CPU slots otherwise) an attempt occupies, on all its nodes.
        total_steps: training steps, or None for stages without steps.
        progress_metric: the metric of `metrics.jsonl` worth showing live, or None.
        nodes: machines that an attempt runs on, with equal shares of the slots.
    """

    id: str
    kind: str
    identity: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    slots: int = 1
    total_steps: int | None = None
    progress_metric: str | None = None
    nodes: int = 1

    @property
    def resources(self) -> Mapping[str, Any]:
        """What the stage was asked to run on and how (`Resources`); empty for one that asks nothing."""
        return self.config.get("resources") or {}

    @classmethod
    def of(cls, settings: BaseModel, **fields: Any) -> StageSpec:
        """A stage with these settings as its config; what says no more than that it is not there is left out."""
        dumped = settings.model_dump(mode="json")
        made = cls(config={key: value for key, value in dumped.items() if value is not None}, **fields)
        made.__dict__["_settings"] = settings
        return made

    def settings(self, model: type[M]) -> M:
        """The config as a model of its kind (`StageKind.config`), validated once.

        Raises:
            SpecError: it is none, with its first fault.
        """
        known = self.__dict__.get("_settings")
        if not isinstance(known, model):
            try:
                known = model.model_validate(dict(self.config))
            except ValueError as error:
                raise self._refusal(error) from error
            self.__dict__["_settings"] = known
        return known

    def _refusal(self, error: ValueError) -> SpecError:
        first: Mapping[str, Any] = error.errors()[0] if hasattr(error, "errors") else {"msg": str(error)}
        key = ".".join(map(str, first.get("loc", ())))
        return SpecError(
            f"config{f'.{key}' if key else ''}: {first['msg']}",
            f"stage {self.id}",
            "another version of toolrl wrote it, or it was edited; `toolrl sweep FILE` plans it anew",
        )

    def to_json(self) -> dict[str, Any]:
        """The content of `spec.json`, without the schema that the store writes it in."""
        return {
            "id": self.id,
            "kind": self.kind,
            "identity": dict(self.identity),
            "inputs": dict(self.inputs),
            "config": dict(self.config),
            "slots": self.slots,
            "total_steps": self.total_steps,
            "progress_metric": self.progress_metric,
            **({"nodes": self.nodes} if self.nodes > 1 else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StageSpec:
        """Read what `to_json` wrote.

        Raises:
            KeyError: a field is missing.
        """
        return cls(
            id=data["id"],
            kind=data["kind"],
            identity=data["identity"],
            inputs=data["inputs"],
            config=data["config"],
            slots=data["slots"],
            total_steps=data["total_steps"],
            progress_metric=data["progress_metric"],
            nodes=data.get("nodes", 1),
        )


@dataclass(frozen=True)
class StageContext:
    """What an attempt hands to the function that does the stage's work.

    Attributes:
        spec: the stage.
        results: the results root.
        stage_dir: `RESULTS/stages/<kind>/<id>`; the function writes `checkpoints/` and `output/` in it.
        attempt_dir: `stage_dir/attempts/<n>`; standard output and error already go to its `log.txt`.
        inputs: role → directory of the stage named so in `spec.inputs`.
        stop_requested: True once the attempt was asked to stop; the function then ends at a point from
            which it can go on.
    """

    spec: StageSpec
    results: Path
    stage_dir: Path
    attempt_dir: Path
    inputs: Mapping[str, Path]
    stop_requested: Callable[[], bool] = lambda: False
