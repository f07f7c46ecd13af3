"""What a user can say of a Slurm cluster: `launchers: {slurm: …}` in a sweep, or `launchers/slurm.yaml`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from toolrl_cli.harness.launcher_settings import asked_by_kind, check_either, known_kinds, whole_lines
from toolrl_cli.spec.run.frozen import Frozen, Natural, Number, Positive

TIME = re.compile(r"\d+|\d+:\d\d|\d+:\d\d:\d\d|\d+-\d+(:\d\d){0,2}")
"""As `sbatch --time` reads it: minutes, minutes:seconds, hours:minutes:seconds, days-hours[:minutes[:seconds]]."""

OWN = {
    **dict.fromkeys(("partition", "account", "qos", "constraint", "reservation", "exclude", "time"), ""),
    **{"gres": "gpus", "gpus": "gpus", "gpus-per-node": "gpus", "gpus-per-task": "gpus"},
    **{"cpus-per-task": "cpus", "cpus-per-gpu": "cpus_per_gpu", "mem": "memory", "mem-per-gpu": "memory_per_gpu"},
    "nodes": "resources.nodes",
    **dict.fromkeys(
        ("job-name", "comment", "output", "error", "open-mode", "requeue", "no-requeue", "signal", "parsable",
         "dependency", "kill-on-invalid-dep", "wrap", "wait", "array", "chdir", "export", "test-only", "hold",
         "ntasks", "ntasks-per-node", "ntasks-per-gpu", "ntasks-per-core", "ntasks-per-socket"),
        None,
    ),
}  # fmt: skip
"""Long options of `sbatch` that stand for a setting here (empty: of the same name), or are toolrl's own (None)."""


class Asked(Frozen):
    """What the jobs of one kind of stage ask for, or of all."""

    partition: str | None = Field(None, min_length=1)
    account: str | None = Field(None, min_length=1)
    qos: str | None = Field(None, min_length=1)
    reservation: str | None = Field(None, min_length=1)
    constraint: str | None = Field(None, min_length=1, description="features of nodes, such as a100&nvlink")
    exclude: str | None = Field(None, min_length=1, description="nodes that no job may have, such as n[3-5]")
    time: str | None = Field(
        None,
        description="limit of one job, as sbatch has it: 24:00:00; one that reaches it goes on in the next",
    )
    gpus: bool | None = Field(
        None,
        description="ask for GPUs; true: also for stages that use none; default: unless resources.device is cpu",
    )
    gpu_type: str | None = Field(
        None, pattern=r"^[\w.+-]+$", description="such as a100, in --gres=gpu:a100:2"
    )
    cpus: Positive | None = Field(None, description="cores of a job, on each of its nodes")
    cpus_per_gpu: Positive | None = None
    memory: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="GiB of a job, on each of its nodes"
    )
    memory_per_gpu: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="GiB of a job for each GPU of a node"
    )
    flags: list[str] = Field([], description="further options of sbatch, such as --nice=100")

    @field_validator("time", mode="before")
    @classmethod
    def _time_is_one(cls, value: Any) -> Any:
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if isinstance(text, str) and not TIME.fullmatch(text):
            raise ValueError(f"{text!r} is no time of sbatch, such as 90 (minutes), 24:00:00 or 2-00:00:00")
        return text

    @field_validator("flags")
    @classmethod
    def _flags_are_further_ones(cls, flags: list[str]) -> list[str]:
        for flag in flags:
            name, _, _ = flag.removeprefix("--").partition("=")
            if not flag.startswith("--") or not re.fullmatch(r"[a-z][a-z0-9-]*", name) or "\n" in flag:
                raise ValueError(f"{flag!r} is no long option of sbatch, such as --nice=100")
            if name in OWN:
                setting = OWN[name]
                why = "toolrl's own" if setting is None else f"the setting `{setting or name}`"
                raise ValueError(f"{flag!r} is {why}")
        return flags

    @model_validator(mode="after")
    def _one_way_each(self) -> Asked:
        check_either(dict(self))
        return self


class SlurmSettings(Asked):
    """How jobs are submitted to a Slurm cluster."""

    prologue: list[str] = Field(
        [],
        description="shell lines before the attempt, such as module load cuda/12.4; one that fails ends the job",
    )
    container: list[str] = Field(
        [], description="command that the attempt is run with, such as [apptainer, exec, --nv, toolrl.sif]"
    )
    python: str | None = Field(
        None, min_length=1, description="interpreter on the nodes; default: this one, by the same path"
    )
    kinds: dict[str, Asked] = Field(
        {}, description="kind of stage → what its jobs ask for instead, such as evaluate: {time: 2:00:00}"
    )
    warn: Positive = Field(
        120, description="seconds before its limit at which a job is told to save and stop in good order"
    )
    restarts: Natural = Field(
        20, description="most times that one job goes on by itself after it was taken back"
    )
    array: Natural = Field(
        10,
        description="so many attempts that ask alike, at once, are one job array; 0: never",
    )
    exclude_after: Positive = Field(
        2, description="failures of machine or network on one node after which jobs exclude it"
    )
    poll: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="seconds between two looks; default: 2, and more with many jobs"
    )
    delay: Annotated[Number, Field(ge=0)] = Field(
        5.0, description="seconds by which files of a node may be seen late here"
    )

    _lines = field_validator("prologue", "container")(whole_lines)
    _kinds = field_validator("kinds")(known_kinds)

    def of(self, kind: str) -> Mapping[str, Any]:
        """Field of `Asked` → value for the stages of one kind."""
        return asked_by_kind(self, Asked.model_fields, self.kinds.get(kind))


def seconds_of(time: str | None) -> float | None:
    """A limit as `sbatch --time` reads it, in seconds; None where there is none.

    Raises:
        ValueError: it is no time.
    """
    if time is None:
        return None
    days, _, rest = time.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if days:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
    elif len(parts) == 3:
        hours, minutes, seconds = parts
    else:
        hours, (minutes, seconds) = 0, (*parts, 0)[:2]
    # 0 asks for no limit
    return 86400.0 * int(days or 0) + 3600.0 * hours + 60.0 * minutes + seconds or None
