"""`bfcl_native`: BFCL V3 by models' own function calling."""

from __future__ import annotations

from typing import ClassVar

from toolrl_cli.benchmarks.bfcl.benchmark import Bfcl


class BfclNative(Bfcl):
    """Tools go to the chat template, so that a raw model is asked as its makers meant it to be."""

    name: ClassVar[str] = "bfcl_native"
    protocol: ClassVar[str] = "bfcl_v3_native"
    prompt_format: ClassVar[str] = "native"
    format: ClassVar[str] = "native"


BENCHMARK = BfclNative()
