"""`bfcl`: BFCL V3 as ToolRL asked and scored it."""

from __future__ import annotations

from typing import ClassVar

from toolrl_cli.benchmarks.bfcl.benchmark import Bfcl


class BfclV3(Bfcl):
    """ToolRL's prompt; without the exec categories, which no released evaluator scores."""

    name: ClassVar[str] = "bfcl"
    protocol: ClassVar[str] = "bfcl_v3"
    prompt_format: ClassVar[str] = "rlla"
    format: ClassVar[str] = "rlla"


BENCHMARK = BfclV3()
