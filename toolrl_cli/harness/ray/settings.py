"""What a user can say of a Ray cluster: `launchers: {ray: …}` in a sweep, or `launchers/ray.yaml`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from toolrl_cli.harness.launcher_settings import asked_by_kind, check_either, known_kinds, whole_lines
from toolrl_cli.spec.run.frozen import Frozen, Natural, Number, Positive
from toolrl_cli.spec.secrets import LOGIN

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OWN = {"CPU": "cpus", "GPU": "gpus", "memory": "memory", "object_store_memory": None}
"""Resources of Ray that stand for a setting here, or that no job can ask for (None)."""

TAKEN = ("RAY_ADDRESS", "RAY_JOB_STOP_WAIT_TIME_S", "RAY_JOB_CONFIG_JSON_ENV_VAR", "CUDA_VISIBLE_DEVICES")

Amount = Annotated[Number, Field(gt=0)]


class Asked(Frozen):
    """What the jobs of one kind of stage ask for, or of all."""

    gpus: bool | None = Field(
        None,
        description="ask for GPUs; true: also for stages that use none; default: unless resources.device is cpu",
    )
    cpus: Amount | None = Field(None, description="cores of a job; default: 1")
    cpus_per_gpu: Amount | None = None
    memory: Amount | None = Field(None, description="GiB of a job on its node")
    memory_per_gpu: Amount | None = Field(None, description="GiB of a job for each GPU")
    resources: dict[str, Amount] = Field(
        {}, description="custom resources of the cluster, such as {accelerator_type:H100: 0.001}"
    )
    labels: dict[str, str] = Field({}, description="labels that the node has to have, such as {zone: a}")

    @field_validator("resources")
    @classmethod
    def _resources_are_custom(cls, resources: dict[str, Any]) -> dict[str, Any]:
        for name in resources:
            if name in OWN:
                why = f"is the setting `{OWN[name]}`" if OWN[name] else "is nothing that a job asks for"
                raise ValueError(f"{name!r} {why}")
        return resources

    @model_validator(mode="after")
    def _one_way_each(self) -> Asked:
        check_either(dict(self))
        return self


class RaySettings(Asked):
    """How jobs are submitted to a Ray cluster."""

    address: str | None = Field(
        None,
        description="of its dashboard: http://head:8265; default: RAY_API_SERVER_ADDRESS, or RAY_ADDRESS, where "
        "that is a URL, else http://127.0.0.1:8265",
    )
    token_file: str | None = Field(
        None,
        min_length=1,
        description="file with the cluster's token; default: RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH, "
        "~/.ray/auth_token",
    )
    certificates: str | None = Field(
        None, min_length=1, description="file of certificate authorities to trust at an https address"
    )
    env: dict[str, str] = Field(
        {}, description="variables of the attempts; no secrets, which the dashboard would show"
    )
    prologue: list[str] = Field([], description="shell lines before the attempt; one that fails ends the job")
    python: str | None = Field(
        None, min_length=1, description="interpreter on the nodes; default: this one, by the same path"
    )
    kinds: dict[str, Asked] = Field(
        {}, description="kind of stage → what its jobs ask for instead, such as evaluate: {cpus: 2}"
    )
    stop_wait: Natural = Field(
        60, description="seconds from `ray job stop` to the end of what does not heed it"
    )
    lost_after: Positive = Field(
        120,
        description="seconds without a heartbeat after which an attempt that its cluster has forgotten is given up",
    )
    poll: Amount | None = Field(
        None, description="seconds between two looks; default: 2, and more with many jobs"
    )
    delay: Annotated[Number, Field(ge=0)] = Field(
        5.0, description="seconds by which files of a node may be seen late here"
    )

    @field_validator("address")
    @classmethod
    def _address_is_a_url(cls, address: str | None) -> str | None:
        if address is not None and not re.fullmatch(r"https?://[^\s/]\S*", address):
            drivers = address.startswith("ray://") or re.fullmatch(r"[\w.-]+:\d+", address)
            where = (
                "drivers connect there, and jobs go to the dashboard" if drivers else "it is the dashboard's"
            )
            raise ValueError(f"{address!r} is no URL; {where}, such as http://head:8265")
        if address and LOGIN.search(address):
            raise ValueError(
                "an address with a login would be written into results; use a token (`token_file`)"
            )
        return address.rstrip("/") if address else address

    @field_validator("env")
    @classmethod
    def _variables_are_the_users(cls, env: dict[str, str]) -> dict[str, str]:
        for name in env:
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a variable")
            if name in TAKEN:
                raise ValueError(f"{name} is Ray's or toolrl's own")
        return env

    _lines = field_validator("prologue")(whole_lines)
    _kinds = field_validator("kinds")(known_kinds)

    def of(self, kind: str) -> Mapping[str, Any]:
        """Field of `Asked` → value for the stages of one kind."""
        return asked_by_kind(self, Asked.model_fields, self.kinds.get(kind))
