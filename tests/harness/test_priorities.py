from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.stages import Stages
from toolrl_cli.errors import SpecError
from toolrl_cli.harness.scheduling.priorities import chain_lengths, expected_seconds, priorities
from toolrl_cli.harness.scheduling.queueing import OVERTAKEN, ReadyQueue, Slots
from toolrl_cli.spec.graph import StageGraph

STAGES = Stages()


def test_a_chains_length_counts_everything_after_a_stage() -> None:
    a = STAGES("a")
    b, c = STAGES("b", after=(a,)), STAGES("c", after=(a,))
    d = STAGES("d", after=(b,))
    lengths = chain_lengths([d, c, b, a], lambda spec: {"a": 1, "b": 2, "c": 10, "d": 4}[spec.id[0]])
    assert [lengths[spec.id] for spec in (a, b, c, d)] == [11, 6, 10, 4]


def test_longer_training_is_expected_to_take_longer() -> None:
    assert expected_seconds(STAGES("a", "rl", total_steps=100)) > expected_seconds(
        STAGES("b", "rl", total_steps=10)
    )
    assert expected_seconds(STAGES("c", "export")) > 0


@given(st.lists(st.lists(st.integers(0, 30), max_size=3), min_size=1, max_size=30), st.randoms())
def test_inputs_come_before_what_reads_them_in_any_graph(
    parents: list[list[int]], dice: random.Random
) -> None:
    specs = []
    for number, chosen in enumerate(parents):
        inputs = tuple(specs[parent % number] for parent in chosen) if number else ()
        specs.append(STAGES(f"s{number}", after=inputs))
    shuffled = dice.sample(specs, len(specs))
    graph = StageGraph(shuffled)
    ordered = list(graph)
    assert sorted(ordered) == sorted(spec.id for spec in specs)
    for spec in specs:
        assert all(ordered.index(i) < ordered.index(spec.id) for i in spec.inputs.values())
    lengths = chain_lengths(shuffled)
    for spec in specs:
        after = max((lengths[reader] for reader in graph.readers(spec.id)), default=0.0)
        assert math.isclose(lengths[spec.id], expected_seconds(spec) + after)


def test_a_stage_that_reads_itself_is_a_circle() -> None:
    a = STAGES("a")
    with pytest.raises(SpecError, match=f"circle: {a.id}"):
        StageGraph([type(a)(id=a.id, kind="rl", identity={}, inputs={"x": a.id})])


def test_the_best_rank_is_popped_first_and_what_is_not_due_waits() -> None:
    queue = ReadyQueue()
    queue.push("second", (-1.0, 1))
    queue.push("first", (-5.0, 2))
    queue.push("later", (-9.0, 0), not_before=10.0)
    needs = dict.fromkeys(("first", "second", "later"), 1).__getitem__
    assert queue.due() == 0.0
    assert [queue.pop(1, needs, now=1.0) for _ in range(3)] == ["first", "second", None]
    assert queue.due() == 10.0
    assert len(queue) == 1
    assert queue.pop(1, needs, now=10.0) == "later"


def test_nothing_is_popped_without_a_free_slot() -> None:
    queue = ReadyQueue()
    queue.push("a", (0.0, 0))
    assert queue.pop(0, lambda _: 1, now=0.0) is None
    assert len(queue) == 1


def test_a_wide_stage_is_passed_over_a_bounded_number_of_times() -> None:
    queue = ReadyQueue()
    queue.push("wide", (-9.0, 0))
    for number in range(2 * OVERTAKEN):
        queue.push(f"n{number}", (0.0, number))
    popped = [
        queue.pop(1, lambda stage_id: 2 if stage_id == "wide" else 1, now=0.0) for _ in range(OVERTAKEN + 3)
    ]
    assert popped == [*(f"n{number}" for number in range(OVERTAKEN)), None, None, None]
    assert queue.pop(2, lambda stage_id: 2 if stage_id == "wide" else 1, now=0.0) == "wide"


def test_a_slot_that_an_adopted_attempt_is_on_is_not_free() -> None:
    slots = Slots(["0", "1"])
    slots.occupy(["1"])
    assert slots.free == 1
    assert slots.take(1) == ("0",)
    assert slots.free == 0
    slots.release(["1"])
    assert slots.take(1) == ("1",)


def test_two_attempts_on_one_slot_free_it_only_together() -> None:
    slots = Slots(["0"])
    slots.occupy(["0"])
    slots.occupy(["0"])
    slots.release(["0"])
    assert slots.free == 0
    slots.release(["0"])
    assert slots.free == 1


def test_an_attempt_on_a_slot_of_another_machine_counts_only_against_the_number() -> None:
    slots = Slots(["0", "1"], most=2)
    slots.occupy(["7"])
    assert slots.free == 2
    slots.take(1)
    assert slots.free == 0


def test_an_attempt_on_a_cluster_takes_no_slot_of_this_machine() -> None:
    slots = Slots(["0"])
    slots.occupy([])
    assert slots.free == 1 and slots.take(1) == ("0",)
    slots.release([])
    assert slots.free == 0
    slots.release(["0"])
    assert slots.free == 1


def test_a_stage_is_as_urgent_as_the_most_urgent_run_that_needs_it() -> None:
    def config(priority: int) -> dict[str, dict[str, int]]:
        return {"resources": {"priority": priority}}

    shared = STAGES("shared", "sft", config=config(-3))
    rl = [STAGES(f"rl{n}", "rl", after=(shared,), config=config(p)) for n, p in enumerate((-3, 2))]
    export = [STAGES(f"export{n}", after=(spec,)) for n, spec in enumerate(rl)]
    evaluate = STAGES("evaluate", "evaluate", after=(export[0],), config=config(-3))
    found = priorities([evaluate, *export, *rl, shared])
    by_name = {stage_id.partition("-")[0]: priority for stage_id, priority in found.items()}
    assert by_name == {"shared": 2, "rl1": 2, "export1": 2, "evaluate": -3, "export0": -3, "rl0": -3}


def test_stages_without_a_priority_are_alike() -> None:
    a = STAGES("a")
    assert set(priorities([a, STAGES("b", after=(a,))]).values()) == {0}
