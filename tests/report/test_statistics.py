"""Against SciPy's own answers, statsmodels' (as literals), and textbook cases."""

from __future__ import annotations

import itertools
import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from toolrl_cli.report.statistics.basics import holm, pooled_sd
from toolrl_cli.report.statistics.items import (
    compare_over_items,
    item_differences,
    mcnemar,
    sign_flips,
    wilson,
)
from toolrl_cli.report.statistics.power import Design, chance_between, detectable, seeds_needed
from toolrl_cli.report.statistics.seeds import Sample, compare, seed_mean, stratified_difference

A = [52.1, 48.3, 50.9, 51.0]
B = [44.0, 47.0, 46.1]

shares = st.lists(st.floats(0, 100).map(lambda v: round(v, 3)), min_size=3, max_size=10)


def test_the_interval_of_a_mean_over_seeds_is_scipys_t_interval() -> None:
    found = seed_mean(A)
    low, high = stats.t.interval(0.95, 3, sum(A) / 4, stats.sem(A))
    assert found.n == 4
    assert found.half_width is not None
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx((low, high))


@pytest.mark.parametrize("values", [[50.0], [50.0, 60.0]])
def test_fewer_than_three_seeds_have_no_interval(values: list[float]) -> None:
    assert seed_mean(values).half_width is None


def test_one_seed_has_no_spread() -> None:
    assert seed_mean([1.0]).sd is None


def test_a_mean_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        seed_mean([])


@pytest.mark.parametrize(("correct", "total"), [(0, 20), (1, 20), (10, 20), (20, 20), (399, 597)])
def test_the_sampling_interval_is_scipys_wilson_interval(correct: int, total: int) -> None:
    known = stats.binomtest(correct, total).proportion_ci(method="wilson")
    assert wilson(correct, total) == pytest.approx((known.low, known.high), abs=1e-12)


@pytest.mark.parametrize(("correct", "total"), [(0, 0), (-1, 5), (6, 5)])
def test_counts_that_are_no_share_are_refused(correct: int, total: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        wilson(correct, total)


@given(shares, shares)
def test_welchs_test_is_scipys(a: list[float], b: list[float]) -> None:
    if min(max(a) - min(a), max(b) - min(b)) < 1e-3:
        return  # no spread on one side: see the next test
    known = stats.ttest_ind(a, b, equal_var=False)
    found = compare(Sample(tuple(a)), Sample(tuple(b)))
    assert found is not None
    assert found.p == pytest.approx(known.pvalue, abs=1e-7)
    interval = known.confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-6)


def test_a_spread_of_zero_is_no_certainty() -> None:
    assert compare(Sample((1, 1, 1)), Sample((2, 2, 2))) is None
    assert compare(Sample((1, 1, 1)), Sample((2, 3, 4))) is None
    assert compare(Sample((1.0, 1.0, 1.0)), Sample((1.0 + 1e-12, 1.0, 1.0))) is None


def test_where_no_seed_differs_the_items_error_decides() -> None:
    a, b = (Sample((v,) * 3, item_error=e) for v, e in ((2.0, 2.6), (0.0, 1.8)))
    found = compare(a, b)
    assert found is not None and found.test == "items' error"
    error = (2.6**2 + 1.8**2) ** 0.5
    assert found.p == pytest.approx(2 * stats.norm.sf(2 / error))
    assert found.high == pytest.approx(2 + stats.norm.ppf(0.975) * error)


@pytest.mark.parametrize("n", [3, 6, 7, 10])
def test_seeds_that_all_gave_one_value_have_no_spread_from_rounding(n: int) -> None:
    value = round(100 * 16 / 18, 10)
    found = seed_mean([value] * n)
    assert (found.sd, found.mean, found.half_width) == (0, value, None)


GAIN = (Sample((46.0, 50.0, 54.0, 48.0, 52.0), seeds=(1, 2, 3, 4, 5)),
        Sample((51.1, 44.9, 53.0, 47.1, 48.9), seeds=(5, 1, 3, 4, 2)))  # fmt: skip


def test_arms_with_the_same_five_seeds_are_paired_by_seed_in_whatever_order() -> None:
    found = compare(*GAIN)
    known = stats.ttest_rel([46, 50, 54, 48, 52], [44.9, 48.9, 53.0, 47.1, 51.1])
    assert found is not None and found.test == "paired by seed"
    assert found.p == pytest.approx(known.pvalue) and found.p < 1e-4
    interval = known.confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_other_seeds_fewer_seeds_or_a_table_that_says_so_are_not_paired() -> None:
    a, b = GAIN
    for x, y in (
        (a, Sample(b.values, seeds=(1, 2, 3, 4, 6))),
        (a, Sample(b.values)),
        (Sample(a.values[:4], seeds=a.seeds[:4]), Sample(b.values[1:], seeds=(1, 3, 4, 2))),
    ):
        found = compare(x, y)
        assert found is not None and found.test == "Welch"
    told = compare(a, b, paired_from=6)
    assert told is not None and told.test == "Welch"


def test_a_gain_that_is_equal_in_every_seed_is_known_to_one_item() -> None:
    values = (46.0, 50.0, 54.0, 48.0, 52.0)
    a = Sample(tuple(v + 1 for v in values), seeds=GAIN[0].seeds, resolution=0.5)
    found = compare(a, Sample(values, seeds=GAIN[0].seeds, resolution=0.5))
    assert found is not None
    assert found.high - found.difference == pytest.approx(stats.t.ppf(0.975, 4) * 0.5 / 6**0.5 / 5**0.5)
    same = Sample(values, seeds=GAIN[0].seeds)
    assert compare(same, same) is None  # nothing is known of their spread


@pytest.mark.parametrize("item_error", [None, 2.0])
def test_both_errors_together_are_larger_than_each(item_error: float | None) -> None:
    found = seed_mean(A, item_error=item_error)
    assert (found.with_items is None) is (item_error is None)
    if found.with_items is not None:
        assert found.half_width is not None and found.with_items > max(found.half_width, 2 * 1.96)


def test_there_is_no_test_with_two_seeds_on_a_side() -> None:
    assert compare(Sample(tuple(A)), Sample((1.0, 2.0))) is None


def test_two_strata_average_their_differences_and_add_their_variances() -> None:
    strata = [
        (Sample((1.0, 2.0, 3.0)), Sample((0.0, 1.0, 2.0))),
        (Sample((10.0, 14.0, 12.0)), Sample((8.0, 9.0, 7.0))),
    ]
    found = stratified_difference(strata)
    assert found is not None
    variances = [1 / 3, 1 / 3, 4 / 3, 1 / 3]  # of the four means
    error = (sum(variances) / 4) ** 0.5
    df = sum(variances) ** 2 / sum(v * v / 2 for v in variances)
    assert found.difference == pytest.approx((1 + 4) / 2)
    assert found.high - found.difference == pytest.approx(stats.t.ppf(0.975, df) * error)
    assert found.p == pytest.approx(2 * stats.t.sf(found.difference / error, df))


def test_against_a_value_that_no_seed_can_change_the_test_is_the_one_sample_t_test() -> None:
    found = stratified_difference([(Sample(tuple(A)), Sample((40.0,), constant=True))])
    known = stats.ttest_1samp(A, 40.0)
    assert found is not None and found.p == pytest.approx(known.pvalue)
    interval = known.confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low - 40, interval.high - 40))
    assert stratified_difference([(Sample(tuple(A)), Sample((40.0,)))]) is None
    assert stratified_difference([]) is None
    assert stratified_difference([(Sample((50.0,), constant=True), Sample((40.0,), constant=True))]) is None


@pytest.mark.parametrize(("b", "c"), [(3, 12), (0, 6), (7, 7), (40, 61)])
def test_mcnemars_p_is_the_exact_binomial_one(b: int, c: int) -> None:
    assert mcnemar(b, c) == pytest.approx(stats.binomtest(b, b + c).pvalue)


def test_two_arms_that_agree_on_every_item_cannot_be_told_apart() -> None:
    assert mcnemar(0, 0) == 1.0


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        mcnemar(-1, 3)


def test_holm_gives_statsmodels_answer() -> None:
    # statsmodels.stats.multitest.multipletests([.01, .04, .03, .005], method="holm")
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_never_lowers_a_p_value_nor_changes_their_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(a >= p and a <= 1 for a, p in zip(adjusted, p_values, strict=True))
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    assert [adjusted[i] for i in order] == sorted(adjusted)


@pytest.mark.parametrize(("parts", "n"), [(1, 3), (1, 6), (2, 3), (2, 10)])
@pytest.mark.parametrize("level", [0.05, 0.05 / 9])
def test_the_detectable_difference_is_found_four_times_in_five_by_the_test_that_is_used(
    parts: int, n: int, level: float
) -> None:
    import numpy as np

    difference = detectable(Design(2.0, parts), n, level)
    draw = np.random.default_rng(1)
    a, b = draw.normal(difference, 2, (4000, n)), draw.normal(0, 2, (4000, n))
    p = (
        stats.ttest_1samp(a, 0, axis=1).pvalue
        if parts == 1
        else stats.ttest_ind(a, b, axis=1, equal_var=False).pvalue
    )
    assert (p < level).mean() == pytest.approx(0.8, abs=0.025)


def test_the_detectable_difference_of_many_seeds_is_statsmodels() -> None:
    # statsmodels.stats.power.TTestIndPower().solve_power(nobs1=64, alpha=.05, power=.8)
    assert detectable(Design(1.0, 2), 64) == pytest.approx(0.49907, abs=2e-3)


def test_the_error_of_a_mean_over_strata_is_that_of_as_many_independent_differences() -> None:
    each = 2.0**2 / 8 + 2.0**2 / 8  # the variance of one stratum's difference with 8 seeds an arm
    assert Design(2.0, 4, strata=2).error(8) == pytest.approx(math.sqrt(each / 2))


def test_the_seeds_needed_are_the_first_that_reach_the_power() -> None:
    def needed(difference: float) -> int | None:
        return seeds_needed(
            lambda n: Design(1.0, 2), lambda half, error: chance_between(half, math.inf, difference, error)
        )

    assert needed(0.5) == pytest.approx(64, abs=1)
    assert needed(100.0) == 3
    assert needed(1e-3) is None


def test_the_pooled_spread_weighs_groups_by_their_degrees_of_freedom() -> None:
    assert pooled_sd([[1.0, 3.0], [5.0]]) == pytest.approx(2**0.5)
    assert pooled_sd([[1.0, 3.0], [0.0, 0.0, 0.0]]) == pytest.approx((2 / 3) ** 0.5)
    assert pooled_sd([[1.0]]) is None


def _verdicts(seed: int, share: float, items: int = 200, seeds: int = 3) -> dict[str, list[bool]]:
    draw = random.Random(seed)
    return {f"i{k}": [draw.random() < share for _ in range(seeds)] for k in range(items)}


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_the_items_p_is_the_share_of_all_changes_of_signs(seeds: int) -> None:
    draw = random.Random(seeds)
    a, b = (
        {f"i{k}": [draw.random() < share for _ in range(seeds)] for k in range(9)} for share in (0.9, 0.3)
    )
    differences = list(item_differences(a, b).values())
    total = abs(sum(differences))
    flipped = [abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
               for signs in itertools.product((1, -1), repeat=9)]  # fmt: skip
    assert sign_flips(differences) == pytest.approx(sum(f >= total for f in flipped) / len(flipped))


@pytest.mark.parametrize(
    ("only_a", "only_b", "n"), [(3, 0, 3), (4, 0, 200), (5, 0, 200), (6, 0, 200), (12, 3, 50)]
)
def test_with_one_verdict_an_item_the_test_is_mcnemars_and_the_interval_bonett_and_prices(
    only_a: int, only_b: int, n: int
) -> None:
    differences = [Fraction(1)] * only_a + [Fraction(-1)] * only_b + [Fraction(0)] * (n - only_a - only_b)
    found = compare_over_items(differences)
    assert found is not None
    assert found.p == pytest.approx(stats.binomtest(only_a, only_a + only_b).pvalue)
    x, y = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    half = stats.norm.ppf(0.975) * ((x + y - (x - y) ** 2) / (n + 2)) ** 0.5
    assert (found.low, found.high) == pytest.approx((max(-1, x - y - half), min(1, x - y + half)))
    assert (found.p < 0.05) is (found.low > 0 or found.high < 0)


def test_the_items_interval_is_near_the_paired_t_interval() -> None:
    a, b = _verdicts(1, 0.6), _verdicts(2, 0.5)
    differences = item_differences(a, b)
    known = stats.ttest_1samp([float(d) for d in differences.values()], 0)
    found = compare_over_items(list(differences.values()))
    assert found is not None
    interval = known.confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=0.01)
    assert found.p == pytest.approx(known.pvalue, abs=0.01)


def test_too_many_sums_are_counted_by_a_normal_distribution() -> None:
    differences = [Fraction(k % 5 - 1, 9973) for k in range(200)] + [Fraction(1, 1)] * 30
    found = sign_flips(differences)
    z = float(sum(differences)) / float(sum(d * d for d in differences)) ** 0.5
    assert found == pytest.approx(2 * stats.norm.sf(z))


def test_repeating_an_items_verdict_over_seeds_adds_no_certainty() -> None:
    once = [_verdicts(1, 0.6, seeds=1), _verdicts(2, 0.5, seeds=1)]
    ten = [{k: v * 10 for k, v in arm.items()} for arm in once]
    assert item_differences(*once) == item_differences(*ten)


def test_only_items_that_both_arms_answered_are_compared() -> None:
    a, b = _verdicts(1, 0.6, items=50), _verdicts(2, 0.5, items=60)
    b["i0"] = []
    assert len(item_differences(a, b)) == 49
    assert compare_over_items([Fraction(1)]) is None


def test_equal_arms_have_a_p_value_of_one() -> None:
    a = _verdicts(1, 0.6)
    found = compare_over_items(list(item_differences(a, a).values()))
    assert found is not None and found.p == 1.0 and found.low <= 0 <= found.high
