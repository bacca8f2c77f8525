"""Every number is that of scipy, of lm-evaluation-harness, or of a simulation."""

import math
import random

import numpy as np
import pytest

from olmo2.eval.statistics import (
    Estimate,
    degrees_of_freedom,
    exact_p_value,
    incomplete_beta,
    mean_of_groups,
    mean_of_items,
    paired_difference,
    t_quantile,
    two_sided_p_value,
    weighted_mean,
)

Pairs = list[tuple[float, float]]


def random_pairs(num_items: int, *, seed: int, gain: float = 0.0) -> Pairs:
    source = np.random.default_rng(seed)
    first = source.random(num_items)
    second = first + gain + source.normal(0, 0.3, num_items)
    return list(zip(first.tolist(), second.tolist(), strict=True))


def right_and_wrong(both: int, only_first: int, only_second: int, neither: int) -> Pairs:
    return [(1.0, 1.0)] * both + [(1.0, 0.0)] * only_first + [(0.0, 1.0)] * only_second + [(0.0, 0.0)] * neither


@pytest.mark.parametrize("num_items", [2, 3, 50, 541])
def test_mean_of_items(num_items: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    metrics = pytest.importorskip("lm_eval.api.metrics")
    scores = [first for first, _ in random_pairs(num_items, seed=num_items)]
    found = mean_of_items(scores)
    assert found.num_items == num_items and found.value == pytest.approx(metrics.mean(scores), rel=1e-12)
    assert found.standard_error == pytest.approx(stats.sem(scores), rel=1e-12)
    assert found.standard_error == pytest.approx(metrics.mean_stderr(scores), rel=1e-12)


def test_half_of_the_answers_right_has_the_known_half_width() -> None:
    """4.2 points for IFEval's 541 prompts and 0.8 for MMLU's 14,042 questions."""
    for num_items, points in ((541, 4.2), (14042, 0.8)):
        error = mean_of_items([1.0, 0.0] * (num_items // 2)).standard_error
        assert error is not None and round(196 * error, 1) == points


def test_few_items() -> None:
    assert mean_of_items([0.25]) == Estimate(0.25, None, 1)
    assert mean_of_items([1.0, 1.0]) == Estimate(1.0, 0.0, 2)
    with pytest.raises(ValueError, match="there is no item to take the mean of"):
        mean_of_items([])
    with pytest.raises(ValueError, match="a score must be a finite number, not nan"):
        mean_of_items([1.0, math.nan])


def test_mean_of_groups_of_equal_size_is_the_pooled_one_of_the_harness() -> None:
    metrics = pytest.importorskip("lm_eval.api.metrics")
    groups = [mean_of_items([first for first, _ in random_pairs(40, seed=seed)]) for seed in range(7)]
    found = mean_of_groups(groups)
    pooled = metrics.pooled_sample_stderr([group.standard_error for group in groups], [40] * 7)
    assert found.value == pytest.approx(np.mean([group.value for group in groups]), rel=1e-12)
    assert found.standard_error == pytest.approx(pooled, rel=1e-12) and found.num_items == 280


def test_mean_of_groups_is_right_for_groups_of_other_sizes() -> None:
    """Means of many simulated benchmarks spread as one benchmark's standard error says."""
    source = np.random.default_rng(0)
    sizes, rates = (20, 100, 400), (0.3, 0.6, 0.9)
    runs = [
        mean_of_groups(
            [mean_of_items(source.binomial(1, rate, size).tolist()) for size, rate in zip(sizes, rates, strict=True)]
        )
        for _ in range(2000)
    ]
    spread = np.std([run.value for run in runs], ddof=1)
    assert np.mean([run.standard_error or 0 for run in runs]) == pytest.approx(spread, rel=0.05)
    assert np.mean([run.value for run in runs]) == pytest.approx(0.6, abs=0.005)


def test_a_group_of_one_item_leaves_the_standard_error_unknown() -> None:
    assert mean_of_groups([Estimate(0.2, 0.1, 9), Estimate(0.6, None, 1)]) == Estimate(0.4, None, 10)
    with pytest.raises(ValueError, match="there is no group to take the mean of"):
        mean_of_groups([])


def test_weighted_mean() -> None:
    scores, weights = [1.0, 0.5, 0.0, 1.0, 2 / 3], [1.0, 2.0, 1.0, 1.0, 3.0]
    assert weighted_mean(scores, weights).value == pytest.approx(5 / 8)  # 5 of 8 instructions
    equal, plain = weighted_mean(scores, [2.0] * 5), mean_of_items(scores)
    assert equal.value == pytest.approx(plain.value) and equal.standard_error == pytest.approx(plain.standard_error)
    assert weighted_mean([0.5], [2.0]) == Estimate(0.5, None, 1)
    with pytest.raises(ValueError, match="no weight"):
        weighted_mean([], [])


def test_weighted_mean_spreads_as_its_standard_error_says() -> None:
    source = np.random.default_rng(1)
    runs = []
    for _ in range(2000):
        weights = source.integers(1, 4, 300)
        runs.append(weighted_mean((source.binomial(weights, 0.5 + 0.1 * weights) / weights).tolist(), weights.tolist()))
    spread = np.std([run.value for run in runs], ddof=1)
    assert np.mean([run.standard_error or 0 for run in runs]) == pytest.approx(spread, rel=0.05)


@pytest.mark.parametrize("num_items", [21, 100, 1319])
def test_paired_difference_is_the_paired_t_test(num_items: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    pairs = random_pairs(num_items, seed=num_items, gain=0.05)
    first, second = zip(*pairs, strict=True)
    found, expected = paired_difference([pairs]), stats.ttest_rel(second, first)
    interval = expected.confidence_interval(0.95)
    assert (found.first, found.second) == pytest.approx((np.mean(first), np.mean(second)))
    assert found.value == pytest.approx(np.mean(second) - np.mean(first))
    assert found.standard_error == pytest.approx(stats.sem(np.subtract(second, first)))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9) and found.num_items == num_items


def test_degrees_of_freedom_are_those_of_welch() -> None:
    """The difference of two independent means is such a sum: Welch's test knows its degrees of freedom."""
    stats = pytest.importorskip("scipy.stats")
    first, second = ([each for each, _ in random_pairs(size, seed=size)] for size in (12, 40))
    expected = stats.ttest_ind([3 * each for each in first], second, equal_var=False).df
    assert degrees_of_freedom([mean_of_items([3 * each for each in first]), mean_of_items(second)]) == pytest.approx(
        expected
    )


def test_intervals_of_groups_hold_the_truth_95_times_in_100() -> None:
    source = random.Random(0)
    held = []
    for _ in range(1500):
        groups = [[(0.0, source.gauss(0.1, 0.2 * size)) for _ in range(10 * size)] for size in (1, 2, 3)]
        found = paired_difference(groups)
        assert found.low is not None and found.high is not None
        held.append(found.low <= 0.1 <= found.high)
    assert 0.935 <= sum(held) / len(held) <= 0.965


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (0, 1), (3, 0), (7, 2), (10, 10), (4, 16)])
def test_few_items_that_differ_are_tested_exactly(only_first: int, only_second: int) -> None:
    """McNemar's exact test is a binomial test of the answers that one model alone got right."""
    stats = pytest.importorskip("scipy.stats")
    found = paired_difference([right_and_wrong(300, only_first, only_second, 100)])
    differing = only_first + only_second
    assert found.p_value == pytest.approx(stats.binomtest(only_first, differing).pvalue if differing else 1.0)


def test_exact_p_value_is_that_of_swapped_scores() -> None:
    stats = pytest.importorskip("scipy.stats")
    groups = [random_pairs(7, seed=1, gain=0.2), random_pairs(5, seed=2, gain=0.2)]
    weighted = [(second - first) / (2 * len(group)) for group in groups for first, second in group]
    expected = stats.permutation_test((weighted,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert paired_difference(groups).p_value == pytest.approx(expected.pvalue, abs=1e-12)
    assert exact_p_value([0.1 + 0.2, 0.3, -0.3]) == 1.0  # every sum is 0.3 or 0.9 away from 0, but for rounding


def test_the_smallest_visible_difference_is_seen_four_times_in_five() -> None:
    """A t-test finds a true difference of that size in 80% of comparisons."""
    stats = pytest.importorskip("scipy.stats")
    for num_items in (25, 400):
        found = paired_difference([random_pairs(num_items, seed=num_items)])
        assert found.smallest_visible is not None and found.standard_error is not None
        shift, freedom = found.smallest_visible / found.standard_error, num_items - 1
        power = stats.nct.sf(stats.t.ppf(0.975, freedom), freedom, shift)
        assert power == pytest.approx(0.8, abs=0.01)


def test_without_spread_there_is_no_interval() -> None:
    same = paired_difference([right_and_wrong(3, 0, 0, 2)])
    assert (same.value, same.p_value, same.low, same.smallest_visible) == (0.0, 1.0, None, None)
    all_better = paired_difference([right_and_wrong(0, 0, 5, 0)])
    assert (all_better.value, all_better.p_value, all_better.high) == (1.0, 2 / 2**5, None)
    many = paired_difference([right_and_wrong(0, 30, 0, 0)])
    assert (many.value, many.p_value, many.low) == (-1.0, 0.0, None)
    lonely = paired_difference([[(0.0, 1.0)], [(0.0, 0.5), (0.5, 0.75)]])
    assert (lonely.value, lonely.standard_error, lonely.low) == (0.6875, None, None)
    unknown = paired_difference([[(0.0, 1.0)], random_pairs(30, seed=3)])
    assert unknown.p_value is None and unknown.num_items == 31
    with pytest.raises(ValueError, match="there is no item"):
        paired_difference([[]])


def test_students_t() -> None:
    stats = pytest.importorskip("scipy.stats")
    for freedom in (1.0, 1.7, 2.0, 9.5, 30.0, 540.0, 14041.0):
        for t in (0.0, 1e-4, 0.3, 1.0, 2.5, 8.0, 40.0):
            expected = 2 * stats.t.sf(t, freedom)
            assert two_sided_p_value(t, freedom) == pytest.approx(expected, rel=1e-8)
            assert two_sided_p_value(-t, freedom) == two_sided_p_value(t, freedom)
        for probability in (0.8, 0.975):
            assert t_quantile(probability, freedom) == pytest.approx(stats.t.ppf(probability, freedom), rel=1e-8)


def test_incomplete_beta() -> None:
    special = pytest.importorskip("scipy.special")
    for x in (0.0, 0.01, 0.3, 0.5, 0.9, 0.999, 1.0):
        for a, b in ((0.5, 0.5), (0.5, 3.0), (7.0, 0.5), (20.0, 35.0)):
            assert incomplete_beta(x, a, b) == pytest.approx(special.betainc(a, b, x), rel=1e-10)
