"""The rows of a plan's owed stages: what is refused, and what a person should know, before anything is spent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolrl_cli.planning.plan import Plan
    from toolrl_cli.training.checking.config_check import Finding


def check_owed_rows(plan: Plan, results: Path) -> tuple[list[Finding], list[str]]:
    """Check the rows that owed stages read against their limits, by the models' own tokenizers.

    Args:
        plan: the stages.
        results: the results root.

    Returns:
        What is refused; and warnings, one line each.
    """
    from toolrl_cli.training.checking.config_check import Finding
    from toolrl_cli.training.checking.option_fault import OptionFault
    from toolrl_cli.training.preflight.row_checks import check_rows

    found, missing = check_rows(plan.owed, results)
    refused = [
        Finding(one.stages, one.fault.setting, OptionFault(one.fault.what, "", one.fault.hint))
        for one in found
        if one.fault.refused
    ]
    warnings = [str(one.fault) for one in found if not one.fault.refused]
    if missing:
        told = "neither the local cache nor the hub has their tokenizers now"
        warnings.append(f"tokens are not counted for {', '.join(missing)}: {told}")
    return refused, warnings
