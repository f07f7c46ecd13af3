"""Stages as a graph."""

from __future__ import annotations

import pytest

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.graph import StageGraph
from toolrl_cli.spec.stage import StageSpec


def stage(name: str, *inputs: str) -> StageSpec:
    return StageSpec(
        id=name, kind="export", identity={}, inputs={f"input{n}": read for n, read in enumerate(inputs)}
    )


#     a ── b ── d
#      ╲── c ──╱   e
DIAMOND = (stage("d", "b", "c"), stage("e"), stage("b", "a"), stage("c", "a"), stage("a"))


def test_inputs_come_first_and_the_given_order_decides_what_they_leave_open() -> None:
    assert list(StageGraph(DIAMOND)) == ["e", "a", "b", "c", "d"]
    assert list(reversed(StageGraph(DIAMOND))) == ["d", "c", "b", "a", "e"]


def test_the_order_of_a_stage_s_inputs_is_not_the_order_of_the_stages() -> None:
    assert list(StageGraph([stage("d", "b", "a"), stage("a"), stage("b")])) == ["a", "b", "d"]


def test_a_closure_holds_its_beginning_and_all_that_is_reached_from_it() -> None:
    graph = StageGraph(DIAMOND)
    assert graph.with_inputs(["b"]) == {"a", "b"}
    assert graph.with_readers(["b"]) == {"b", "d"}
    assert graph.with_readers(["a", "e"]) == set("abcde")
    assert graph.with_inputs([]) == set()


def test_a_stage_that_reads_one_output_in_two_roles_is_one_reader() -> None:
    graph = StageGraph([stage("a"), stage("b", "a", "a")])
    assert graph.readers("a") == ["b"] and graph.inputs("b") == ["a"]


def test_inputs_from_outside_and_stages_that_come_twice_are_no_matter() -> None:
    graph = StageGraph([stage("b", "elsewhere"), stage("b", "elsewhere")])
    assert list(graph) == ["b"] and graph.inputs("b") == []


def test_a_circle_names_the_stages_on_it_and_no_others() -> None:
    with pytest.raises(SpecError, match=r"circle: a, b$"):
        StageGraph([stage("a", "b"), stage("b", "a"), stage("c", "a")])
