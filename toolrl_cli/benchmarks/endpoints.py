"""Who answers an evaluation's questions: a server of the model that toolrl starts, or an endpoint that is there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from toolrl_cli.benchmarks.asking.client import Target
from toolrl_cli.errors import BenchmarkError
from toolrl_cli.spec.kind_configs import EvaluateConfig
from toolrl_cli.spec.run.model_settings import EndpointModel
from toolrl_cli.spec.stage import StageContext
from toolrl_cli.training.device import device_for
from toolrl_cli.training.inputs import model_path
from toolrl_cli.training.preflight.row_checks import check_before_start
from toolrl_cli.training.serving import serving

DTYPES = {"fp32": "float32", "bf16": "bfloat16"}
SERVER_LOG = "server.log"


def target_of(model: EndpointModel) -> Target:
    """An endpoint that is there, with the key that the environment has for it.

    Raises:
        BenchmarkError: there is no key in the variable that is named.
    """
    key = os.environ.get(model.key_env, "").strip() if model.key_env else ""
    if model.key_env and not key:
        raise BenchmarkError(
            f"the environment variable {model.key_env} has no key",
            model.url,
            f"export {model.key_env}=…",
            failure_class="config",
        )
    if not key.isascii() or not key.isprintable():
        raise BenchmarkError(
            f"the key in {model.key_env} has characters that no key has", model.url, failure_class="config"
        )
    return Target(model.url.rstrip("/"), model.model, key or None, model.key_env)


@contextmanager
def endpoint_of(ctx: StageContext) -> Iterator[Target]:
    """What to ask for as long as the context lasts.

    Raises:
        BenchmarkError: the model has no chat template.
        StageError: the model's server ends, or does not answer in time.
        SpecError: the model cannot be loaded.
        InterruptedError: asked to stop while it started.
    """
    config = ctx.spec.settings(EvaluateConfig)
    if isinstance(config.model, EndpointModel) and not ctx.inputs:
        yield target_of(config.model)
        return
    model = model_path(ctx, config.model)
    check_before_start(ctx.spec, ctx.results, model)
    with serving(
        model,
        device=device_for(config),
        dtype=DTYPES[config.precision],
        rows=config.evaluation.batch_size,
        gpu_share=config.resources.gpu_memory_utilization,
        log=ctx.attempt_dir / SERVER_LOG,
        stop_requested=ctx.stop_requested,
    ) as server:
        if not server.chat:
            raise BenchmarkError(
                "the tokenizer has no chat template", model, "use the instruct model", failure_class="config"
            )
        yield Target(server.url, server.model, server.key, own=True, check=server.check)
