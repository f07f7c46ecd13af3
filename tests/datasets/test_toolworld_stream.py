"""The random stream behind ToolWorld."""

from __future__ import annotations

from collections import Counter

import pytest

from toolrl_cli.datasets.toolworld_stream import Stream


def test_equal_names_give_equal_draws_and_the_draws_are_these() -> None:
    stream = Stream("a")
    assert [stream.below(100) for _ in range(8)] == [66, 4, 66, 12, 56, 26, 78, 46]
    assert [Stream("a").below(100), Stream("b").below(100)] != [Stream("b").below(100)] * 2


def test_weights_are_shares() -> None:
    stream = Stream("weights")
    counts = Counter(stream.weighted((("a", 1), ("b", 3))) for _ in range(4000))
    assert counts["b"] / 4000 == pytest.approx(0.75, abs=0.03)


def test_a_sample_has_no_repetition_and_every_order_occurs() -> None:
    stream = Stream("sample")
    orders = {tuple(stream.sample("abc", 2)) for _ in range(200)}
    assert len(orders) == 6 and all(first != second for first, second in orders)


def test_a_chance_of_zero_never_comes_and_of_one_always() -> None:
    stream = Stream("chance")
    assert not any(stream.chance(0.0) for _ in range(100)) and all(stream.chance(1.0) for _ in range(100))
