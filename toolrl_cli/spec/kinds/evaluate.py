"""`evaluate`: a model asked a benchmark's questions."""

from __future__ import annotations

from toolrl_cli.spec.stage_kind import StageKind

EVALUATE = StageKind(
    name="evaluate",
    position=4,
    function="toolrl_cli.benchmarks.evaluation:run",
    config="toolrl_cli.spec.kind_configs:EvaluateConfig",
    rooms=("datasets", "training", "benchmarks"),
    libraries=("torch", "transformers", "vllm"),
    least_outputs=("scores.json", "items.jsonl"),
    start_up=15.0,
)
