"""`export`: a checkpoint merged to a Hugging Face folder."""

from __future__ import annotations

from toolrl_cli.spec.stage_kind import StageKind

EXPORT = StageKind(
    name="export",
    position=3,
    function="toolrl_cli.training.stage_functions:run_export",
    config="toolrl_cli.spec.kind_configs:ExportConfig",
    rooms=("training",),
    libraries=("verl", "torch", "transformers"),
    least_outputs=("model/config.json",),
    start_up=5.0,
)
