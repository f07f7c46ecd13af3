"""Against SciPy's own answers, statsmodels' (as literals), and textbook cases."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from toolrl_cli.report.statistics import (
    Sample,
    holm,
    mcnemar,
    minimum_detectable_difference,
    paired_bootstrap,
    pooled_sd,
    seed_mean,
    seeds_needed,
    stratified_difference,
    tied,
    welch,
    wilson,
)

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
    if stats.sem(a) + stats.sem(b) < 1e-6:
        return  # no spread: scipy has no answer, see the next test
    known = stats.ttest_ind(a, b, equal_var=False)
    found = welch(Sample(tuple(a)), Sample(tuple(b)))
    assert found is not None
    assert found.p == pytest.approx(known.pvalue, abs=1e-7)
    interval = known.confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-6)


def test_arms_without_spread_differ_for_certain_or_not_at_all() -> None:
    assert welch(Sample((1, 1, 1)), Sample((1, 1, 1))).p == 1.0  # type: ignore[union-attr]
    assert welch(Sample((1, 1, 1)), Sample((2, 2, 2))).p == 0.0  # type: ignore[union-attr]


@pytest.mark.parametrize("n", [3, 6, 7, 10])
def test_seeds_that_all_gave_one_value_have_no_spread_from_rounding(n: int) -> None:
    value = round(100 * 16 / 18, 10)
    assert seed_mean([value] * n).sd == 0 and seed_mean([value] * n).mean == value
    assert tied(Sample((value,) * n), Sample((value,) * 9))
    assert welch(Sample((value,) * n), Sample((value,) * 9)).p == 1.0  # type: ignore[union-attr]


def test_there_is_no_test_with_two_seeds_on_a_side() -> None:
    assert welch(Sample(tuple(A)), Sample((1.0, 2.0))) is None


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


def test_ties_go_by_the_interval_and_not_by_rounding() -> None:
    assert tied(
        Sample(
            (
                50.0,
                52.0,
                54.0,
            )
        ),
        Sample(
            (
                51.0,
                53.0,
                55.0,
            )
        ),
    )
    assert not tied(
        Sample(
            (
                50.001,
                50.002,
                50.003,
            )
        ),
        Sample(
            (
                50.011,
                50.012,
                50.013,
            )
        ),
    )


def test_without_an_interval_only_equal_means_are_tied() -> None:
    assert tied(Sample((50.0,)), Sample((50.0,)))
    assert not tied(Sample((50.0,)), Sample((50.01,)))


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


@pytest.mark.parametrize(
    ("n", "effect"),
    # statsmodels.stats.power.TTestIndPower().solve_power(nobs1=n, alpha=.05, power=.8)
    [(64, 0.49907), (10, 1.32495), (5, 2.02444), (3, 3.07089)],
)
def test_the_detectable_difference_is_statsmodels_for_a_two_sided_t_test(n: int, effect: float) -> None:
    assert minimum_detectable_difference(1.0, n) == pytest.approx(effect, abs=2e-4)
    assert minimum_detectable_difference(2.5, n) == pytest.approx(2.5 * effect, abs=1e-3)


def test_the_detectable_difference_is_found_as_often_as_it_says() -> None:
    draw, n = random.Random(0), 4
    difference = minimum_detectable_difference(1.0, n)
    assert difference is not None
    hits = 0
    for _ in range(800):
        a = [draw.gauss(difference, 1) for _ in range(n)]
        b = [draw.gauss(0, 1) for _ in range(n)]
        hits += stats.ttest_ind(a, b).pvalue < 0.05
    assert hits / 800 == pytest.approx(0.8, abs=0.05)


def test_one_seed_detects_nothing() -> None:
    assert minimum_detectable_difference(1.0, 1) is None
    assert minimum_detectable_difference(0.0, 3) == 0.0


def test_the_seeds_needed_are_the_first_that_detect_the_difference() -> None:
    assert seeds_needed(1.0, 0.5) == 64
    assert seeds_needed(1.0, 100.0) == 3
    assert seeds_needed(1.0, 0.0) is None
    assert seeds_needed(1.0, 1e-3) is None
    assert seeds_needed(0.0, 1.0) == 3


def test_the_pooled_spread_weighs_groups_by_their_degrees_of_freedom() -> None:
    assert pooled_sd([[1.0, 3.0], [5.0]]) == pytest.approx(2**0.5)
    assert pooled_sd([[1.0, 3.0], [0.0, 0.0, 0.0]]) == pytest.approx((2 / 3) ** 0.5)
    assert pooled_sd([[1.0]]) is None


def _verdicts(seed: int, share: float, items: int = 200, seeds: int = 3) -> dict[str, list[bool]]:
    draw = random.Random(seed)
    return {f"i{k}": [draw.random() < share for _ in range(seeds)] for k in range(items)}


def test_the_bootstrap_gives_the_same_digits_for_the_same_results() -> None:
    a, b = _verdicts(1, 0.6), _verdicts(2, 0.5)
    assert paired_bootstrap(a, b) == paired_bootstrap(dict(reversed(a.items())), b)


def test_the_bootstrap_interval_is_near_the_paired_t_interval() -> None:
    a, b = _verdicts(1, 0.6), _verdicts(2, 0.5)
    differences = [sum(a[i]) / 3 - sum(b[i]) / 3 for i in a]
    known = stats.ttest_1samp(differences, 0).confidence_interval()
    found = paired_bootstrap(a, b)
    assert found is not None
    assert found.difference == pytest.approx(sum(differences) / len(differences))
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=0.004)


def test_the_bootstrap_interval_is_scipys_percentile_bootstrap() -> None:
    a, b = _verdicts(3, 0.6, items=400, seeds=2), _verdicts(4, 0.55, items=400, seeds=2)
    differences = [sum(a[i]) / 2 - sum(b[i]) / 2 for i in a]
    known = stats.bootstrap(
        (differences,), lambda x, axis: x.mean(axis=axis), n_resamples=10_000, method="percentile", rng=0
    ).confidence_interval
    found = paired_bootstrap(a, b)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=0.0015)


def test_repeating_an_items_verdict_over_seeds_adds_no_certainty() -> None:
    once_a, once_b = _verdicts(1, 0.6, seeds=1), _verdicts(2, 0.5, seeds=1)
    ten_a, ten_b = ({k: v * 10 for k, v in arm.items()} for arm in (once_a, once_b))
    assert paired_bootstrap(once_a, once_b) == paired_bootstrap(ten_a, ten_b)


def test_the_bootstrap_takes_only_items_that_both_arms_answered() -> None:
    a, b = _verdicts(1, 0.6, items=50), _verdicts(2, 0.5, items=60)
    b["i0"] = []
    found = paired_bootstrap(a, b)
    assert found is not None and found.n == 49
    assert paired_bootstrap({"x": [True]}, {"x": [False]}) is None


def test_equal_arms_have_a_p_value_of_one() -> None:
    a = _verdicts(1, 0.6)
    found = paired_bootstrap(a, a)
    assert found is not None and found.p == 1.0 and not found.excludes_zero
