"""`rl`: reinforcement learning."""

from __future__ import annotations

from toolrl_cli.spec.stage_kind import StageKind

RL = StageKind(
    name="rl",
    position=2,
    function="toolrl_cli.training.stage_functions:run_rl",
    config="toolrl_cli.spec.kind_configs:RlConfig",
    make="toolrl_cli.spec.stages:make_rl",
    trains=True,
    rooms=("rewards", "datasets", "training"),
    libraries=("torch", "transformers", "ray", "vllm"),
    start_up=45.0,
    per_step=2.0,
)
