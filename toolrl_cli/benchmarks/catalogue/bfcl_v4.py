"""`bfcl_v4`: BFCL V4 with ToolRL's prompt, without its agentic categories."""

from __future__ import annotations

from typing import ClassVar

from toolrl_cli.benchmarks.bfcl.benchmark import BfclV4


class BfclV4Rlla(BfclV4):
    """ToolRL's prompt on V4's items and checkers; the paper has no such numbers."""

    name: ClassVar[str] = "bfcl_v4"
    protocol: ClassVar[str] = "bfcl_v4"
    prompt_format: ClassVar[str] = "rlla"
    format: ClassVar[str] = "rlla"


BENCHMARK = BfclV4Rlla()
