"""`api_bank`: planned, and not yet run."""

from __future__ import annotations

from toolrl_cli.spec.benchmarks import NotYet

BENCHMARK = NotYet("api_bank", "api_bank")
