"""`sft`: supervised fine-tuning."""

from __future__ import annotations

from toolrl_cli.spec.stage_kind import StageKind

SFT = StageKind(
    name="sft",
    position=1,
    function="toolrl_cli.training.stage_functions:run_sft",
    config="toolrl_cli.spec.kind_configs:SftConfig",
    make="toolrl_cli.spec.stages:make_sft",
    trains=True,
    rooms=("datasets", "training"),
    libraries=("torch", "transformers", "ray"),
    start_up=12.0,
    per_step=0.5,
)
