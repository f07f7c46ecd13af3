"""The list of named designs."""

from __future__ import annotations

import json

import pytest

from toolrl_cli.rewards.catalogue import catalogue
from toolrl_cli.rewards.designs import NAMES


@pytest.mark.parametrize("fidelity", ["released", "paper"])
def test_every_named_design_is_listed_with_formula_range_and_source(fidelity: str) -> None:
    designs = catalogue(fidelity)
    assert [design.name for design in designs] == list(NAMES)
    for design in designs:
        assert design.formula
        assert "2504.13958" in design.source
        assert "8cee13e" in design.source
        assert set(design.ranges["first"]) >= {"format", "correctness", "total"}
        json.dumps(design.to_dict())


def test_ranges_are_computed_at_both_ends_of_the_paper_s_run() -> None:
    dynamic = {design.name: design for design in catalogue()}["dynamic"]
    assert dynamic.ranges["last"]["correctness"] == pytest.approx((-2.7, 2.7))
    two_stage = {design.name: design for design in catalogue()}["two_stage"]
    assert two_stage.ranges["first"]["total"] == pytest.approx((-1, 2))
    assert two_stage.ranges["last"]["total"] == pytest.approx((-3, 3.5))
