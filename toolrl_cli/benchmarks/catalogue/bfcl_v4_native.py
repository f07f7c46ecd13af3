"""`bfcl_v4_native`: BFCL V4 by models' own function calling, without its agentic categories."""

from __future__ import annotations

from typing import ClassVar

from toolrl_cli.benchmarks.bfcl.benchmark import BfclV4


class BfclV4Native(BfclV4):
    """Tools go to the chat template."""

    name: ClassVar[str] = "bfcl_v4_native"
    protocol: ClassVar[str] = "bfcl_v4_native"
    prompt_format: ClassVar[str] = "native"
    format: ClassVar[str] = "native"


BENCHMARK = BfclV4Native()
