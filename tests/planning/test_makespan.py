"""When a graph of stages would end."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.stages import Stages
from toolrl_cli.planning.forecasts.makespan import Rehearsal

STAGES = Stages()


def test_independent_stages_share_the_slots_and_a_chain_does_not() -> None:
    alone = [STAGES(f"i{n}") for n in range(4)]
    assert Rehearsal(alone, 2, 2).makespan({s.id: 10.0 for s in alone}) == 20.0
    first = STAGES("c0")
    chain = [first, STAGES("c1", after=(first,))]
    assert Rehearsal(chain, 2, 2).makespan({s.id: 10.0 for s in chain}) == 20.0


def test_the_longest_chain_starts_first() -> None:
    short = [STAGES(f"s{n}") for n in range(3)]
    long = STAGES("long")
    seconds = {**{s.id: 2.0 for s in short}, long.id: 6.0}
    assert Rehearsal([*short, long], 2, 2).makespan(seconds) == 6.0


def test_a_wide_stage_has_its_slots_to_itself_and_most_limits_the_number() -> None:
    wide = STAGES("wide", "rl", slots=2)
    narrow = [STAGES(f"n{n}") for n in range(2)]
    seconds = {s.id: 5.0 for s in (wide, *narrow)}
    assert Rehearsal([wide, *narrow], 2, 2).makespan(seconds) == 10.0
    assert Rehearsal([wide, *narrow], 2, 1).makespan(seconds) == 15.0
    assert Rehearsal([wide], 1, 1).makespan(seconds) == 5.0


@pytest.mark.parametrize(("most", "ends"), [(2, 210.0), (1, 220.0)])
def test_trainings_on_all_gpus_follow_each_other_and_what_is_narrow_runs_side_by_side(
    most: int, ends: float
) -> None:
    wide = [STAGES(f"rl{n}", "rl", slots=2) for n in range(2)]
    exports = [STAGES(f"export{n}", after=(training,)) for n, training in enumerate(wide)]
    seconds = {**{s.id: 100.0 for s in wide}, **{s.id: 10.0 for s in exports}}
    assert Rehearsal([*wide, *exports], 2, most).makespan(seconds) == ends


def test_slots_are_kept_for_a_wide_stage_that_was_overtaken_often_as_when_it_runs() -> None:
    first = STAGES("first")
    wide = STAGES("wide", "rl", slots=2, after=(first,))
    end = STAGES("end", after=(wide,))
    narrow = [STAGES(f"narrow{n}") for n in range(200)]
    seconds = {first.id: 1.0, wide.id: 10.0, end.id: 500.0, **{s.id: 1.5 for s in narrow}}
    found = Rehearsal([first, wide, end, *narrow], 2, 2).makespan(seconds)
    assert found < 200 * 1.5 / 2 + 510  # the narrow ones would hold it up to their end


def test_nothing_takes_no_time_and_what_is_unknown_counts_as_none() -> None:
    assert Rehearsal([], 2, 2).makespan({}) == 0.0
    assert Rehearsal([STAGES("a")], 2, 2).makespan({}) == 0.0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 20), max_size=2), min_size=1, max_size=20), st.randoms())
def test_it_lies_between_the_bounds_of_any_schedule(parents: list[list[int]], dice: random.Random) -> None:
    specs, ends = [], {}
    seconds = {}
    for number, chosen in enumerate(parents):
        after = tuple(specs[parent % number] for parent in chosen) if number else ()
        spec = STAGES(f"s{number}", after=after)
        specs.append(spec)
        seconds[spec.id] = float(dice.randint(1, 9))
        ends[spec.id] = seconds[spec.id] + max((ends[a.id] for a in after), default=0.0)
    found = Rehearsal(dice.sample(specs, len(specs)), 3, 3).makespan(seconds)
    work = sum(seconds.values())
    assert max(max(ends.values()), work / 3) - 1e-9 <= found <= work + 1e-9
    assert Rehearsal(specs, 1, 1).makespan(seconds) == pytest.approx(work)
