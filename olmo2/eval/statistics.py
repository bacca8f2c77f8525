"""How sure a score is: standard errors of means, differences of two models over the same items.

Items are a sample of those that a benchmark could have asked, as in arXiv 2411.00640. An average over groups, such as
the subjects of MMLU, has the groups fixed and the items of each of them sampled.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

CONFIDENCE = 0.95
ALPHA = 1 - CONFIDENCE  # two-sided
POWER = 0.8
MOST_ITEMS_TO_ENUMERATE = 20  # 2^20 ways to swap two models' scores take some 10 milliseconds

Item = TypeVar("Item")


@dataclass(frozen=True)
class Estimate:
    """An average over items. Raises ValueError for what is not a finite number: JSON could not hold it."""

    value: float
    standard_error: float | None  # None = unknown, as one item says nothing of how much items differ
    num_items: int

    def __post_init__(self) -> None:
        for number in (self.value, self.standard_error):
            if number is not None and not math.isfinite(number):
                raise ValueError(f"a score must be a finite number, not {number}")


@dataclass(frozen=True)
class PairedDifference:
    """How two models differ over the items that both of them answered."""

    first: float  # averages over these items
    second: float
    value: float  # second - first
    standard_error: float | None
    low: float | None  # 95% confidence interval; None where the standard error is unknown or 0
    high: float | None
    p_value: float | None  # two-sided; None = unknown
    smallest_visible: float | None  # true difference that would be significant at 5% in 80% of such comparisons
    num_items: int


def mean_of_items(values: Sequence[float]) -> Estimate:
    """Return the mean; its standard error is the sample's standard deviation (n - 1) over √n.

    Raises ValueError without items.
    """
    if not len(values):
        raise ValueError("there is no item to take the mean of")
    spread = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else None
    return Estimate(float(np.mean(values)), spread, len(values))


def weighted_mean(values: Sequence[float], weights: Sequence[float]) -> Estimate:
    """Return Σwx / Σw, such as a share of instructions where items have several; equal weights make it the mean.

    The items are the sample, so that the standard error is that of a ratio of two sums over them, to first order.
    Raises ValueError without items or weight.
    """
    number, scale = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if not scale.sum() > 0:
        raise ValueError("there is no weight to take the mean with")
    value, count = float(number @ scale / scale.sum()), len(number)
    spread = float(np.linalg.norm(scale * (number - value)) / scale.sum())
    return Estimate(value, spread * math.sqrt(count / (count - 1)) if count > 1 else None, count)


def mean_of_groups(groups: Sequence[Estimate]) -> Estimate:
    """Return the plain mean of G independent groups' averages, small or large; its standard error is √(Σ se²) / G.

    Raises ValueError without groups.
    """
    if not groups:
        raise ValueError("there is no group to take the mean of")
    errors = [group.standard_error for group in groups if group.standard_error is not None]
    spread = math.hypot(*errors) / len(groups) if len(errors) == len(groups) else None
    value = math.fsum(group.value for group in groups) / len(groups)
    return Estimate(value, spread, sum(group.num_items for group in groups))


def paired_difference(groups: Sequence[Sequence[tuple[float, float]]]) -> PairedDifference:
    """Compare two models by their scores of the same items, (first, second), in one group or in several.

    The average is that of `mean_of_groups`; one group makes it the mean over items. Interval and p-value are those of
    Student's t with n - 1 degrees of freedom, or Welch and Satterthwaite's number for several groups. Where at most 20
    items differ, whose sum is far from normal, the p-value is exact: the share of the ways to swap the two scores of
    an item that give a difference at least as large (for right and wrong answers this is McNemar's exact test).
    Raises ValueError without items.
    """
    differences = [[second - first for first, second in pairs] for pairs in groups]
    of_groups = [mean_of_items(group) for group in differences]
    total = mean_of_groups(of_groups)
    weighted = [each / (len(groups) * len(group)) for group in differences for each in group if each]
    p_value = exact_p_value(weighted) if len(weighted) <= MOST_ITEMS_TO_ENUMERATE else None
    margin = visible = None
    if total.standard_error:
        freedom = degrees_of_freedom(of_groups)
        critical = t_quantile(1 - ALPHA / 2, freedom)
        margin = critical * total.standard_error
        visible = margin + t_quantile(POWER, freedom) * total.standard_error
        if p_value is None:
            p_value = two_sided_p_value(total.value / total.standard_error, freedom)
    elif total.standard_error == 0 and p_value is None:
        p_value = 0.0  # many items, all of which differ by the same amount
    return PairedDifference(
        first=mean_of_groups([mean_of_items([first for first, _ in pairs]) for pairs in groups]).value,
        second=mean_of_groups([mean_of_items([second for _, second in pairs]) for pairs in groups]).value,
        value=total.value,
        standard_error=total.standard_error,
        low=None if margin is None else total.value - margin,
        high=None if margin is None else total.value + margin,
        p_value=p_value,
        smallest_visible=visible,
        num_items=total.num_items,
    )


def degrees_of_freedom(groups: Sequence[Estimate]) -> float:
    """Return Welch and Satterthwaite's degrees of freedom of a sum of groups; n - 1 for one group of n items."""
    variances = [((group.standard_error or 0) ** 2, group.num_items - 1) for group in groups]
    return sum(variance for variance, _ in variances) ** 2 / sum(variance**2 / rest for variance, rest in variances)


def exact_p_value(differences: Sequence[float]) -> float:
    """Return the share of all ways to flip the signs of `differences` whose sum is at least as far from 0."""
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums - difference, sums + difference])
    observed = abs(math.fsum(differences))
    return float(np.mean(np.abs(sums) >= observed - 1e-9 * sum(map(abs, differences))))  # equal but for rounding


def two_sided_p_value(t: float, freedom: float) -> float:
    """Return how often Student's t with that many degrees of freedom is at least |t| away from 0."""
    return incomplete_beta(freedom / (freedom + t * t), freedom / 2, 0.5)


def t_quantile(probability: float, freedom: float) -> float:
    """Return the value that Student's t stays below with a probability of at least 1/2, by bisection."""
    low, high, tail = 0.0, 1.0, 2 * (1 - probability)
    while two_sided_p_value(high, freedom) > tail:
        high *= 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if two_sided_p_value(middle, freedom) > tail else (low, middle)
    return high


def incomplete_beta(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b) by its continued fraction.

    Source   NIST Digital Library of Mathematical Functions, 8.17.22, evaluated as Lentz does
    """
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on the other side
        return 1 - incomplete_beta(1 - x, b, a)
    if x <= 0:
        return 0.0
    log_front = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    numerator, denominator = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    fraction = denominator
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            denominator = 1 / (1 + term * denominator)
            numerator = 1 + term / numerator
            fraction *= numerator * denominator
        if abs(numerator * denominator - 1) < 1e-15:
            return math.exp(log_front) * fraction / a
    raise ArithmeticError(f"I_{x}({a}, {b}) does not converge")
