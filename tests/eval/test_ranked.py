"""Ranked options score as OLMES and lm-evaluation-harness score them, and extreme likelihoods do no harm."""

import math
import random
from types import SimpleNamespace
from typing import Any

import pytest

from olmo2.eval.ranked import score_choices, score_choices_and_unconditional, score_truths, shares
from olmo2.eval.task import Likelihood, Option, Prompt, Scores

PLAIN = [(" a cat", -4.0, 2), (" a very long dog", -6.5, 4), (" it", -3.5, 1), (" no", -9.0, 2)]
SCRIPTS = [(" naïve", -6.0, 3), (" 汉字", -6.1, 2), (" 🙂🙂", -5.9, 4), (" plain", -6.05, 1)]
TIES = [(" A", -2.0, 1), (" B", -2.0, 1), (" C", -2.0, 1)]
UNLIKELY = [(" x", -2000.0, 5), (" yy", -2001.0, 6), (" zzz", -2500.0, 9)]
NOTHING = [("", 0.0, 0), (" b", -1.0, 1)]
METRICS = ("acc_raw", "acc_per_token", "acc_per_char", "acc_per_byte", "acc_uncond", "correct_bits_per_byte")


def measured(options: list[tuple[str, float, int]]) -> list[Likelihood]:
    return [Option(Prompt("Q:"), text).likelihood(logprob, tokens) for text, logprob, tokens in options]


def alone(logprobs: list[float]) -> list[Likelihood]:
    return [Likelihood(logprob, 1, 1, 1) for logprob in logprobs]


@pytest.mark.parametrize(
    ("options", "unconditional", "answer", "expected"),  # as OLMES's own code computes them
    [
        (PLAIN, [-6.0, -7.0, -2.0, -12.0], 1, (0, 1, 1, 1, 0, 0.58609486)),
        (SCRIPTS, [-5.0, -9.0, -8.0, -6.0], 0, (0, 0, 1, 0, 0, 1.23659575)),
        (SCRIPTS, [-5.0, -9.0, -8.0, -6.0], 1, (0, 0, 0, 0, 1, 1.25720568)),
        (SCRIPTS, [-5.0, -9.0, -8.0, -6.0], 2, (1, 1, 0, 1, 0, 0.94576675)),
        (TIES, [-1.0, -1.0, -1.0], 0, (1, 1, 1, 1, 1, 1.44269504)),
        (TIES, [-1.0, -1.0, -1.0], 1, (0, 0, 0, 0, 0, 1.44269504)),
        ([(" yes", -0.25, 1)], [-3.0], 0, (1, 1, 1, 1, 1, 0.09016844)),
        (UNLIKELY, [-1990.0, -2100.0, -2600.0], 0, (1, 0, 0, 0, 0, 1442.69504)),
        (NOTHING, [0.0, -5.0], 0, (1, 1, 1, 1, 0, 0.0)),
    ],
)
def test_equals_olmes(
    options: list[tuple[str, float, int]], unconditional: list[float], answer: int, expected: tuple[float, ...]
) -> None:
    found = score_choices_and_unconditional(measured(options) + alone(unconditional), answer=answer)
    assert [found[metric] for metric in METRICS] == pytest.approx(expected, rel=1e-8)
    assert found["correct_logprob"] == options[answer][1]
    assert score_choices(measured(options), answer=answer).items() <= found.items()


def test_a_thousand_drawn_items_equal_olmes() -> None:
    draw, totals = random.Random(7), dict.fromkeys((*METRICS, "correct_logprob"), 0.0)
    for _ in range(1000):
        num = draw.randint(1, 6)
        options = [
            (" " + draw.choice("aé汉🙂") * draw.randint(1, 9), -float(draw.randint(0, 12)), draw.randint(1, 6))
            for _ in range(num)
        ]
        likelihoods = measured(options) + alone([-float(draw.randint(0, 12)) for _ in range(num)])
        found = score_choices_and_unconditional(likelihoods, answer=draw.randrange(num))
        totals = {metric: total + found[metric] for metric, total in totals.items()}
    assert list(totals.values()) == pytest.approx([410, 413, 408, 400, 421, 1062.0498580, -5885], rel=1e-8)


def harness_scores(options: list[tuple[str, float, int]], unconditional: list[float], answer: int) -> Scores:
    """What lm-evaluation-harness makes of an item."""
    task = pytest.importorskip("lm_eval.api.task", reason="needs lm-evaluation-harness")
    metrics = dict.fromkeys(("acc", "acc_norm", "acc_bytes", "brier_score", "acc_mutual_info"))
    asked: Any = SimpleNamespace(
        OUTPUT_TYPE="multiple_choice",
        config=SimpleNamespace(process_results=None),
        _metric_fn_list=metrics,
        doc_to_choice=lambda doc: [text for text, _, _ in options],
        doc_to_target=lambda doc: answer,
        multiple_input=False,
        multiple_target=False,
    )
    logprobs = [logprob for _, logprob, _ in options] + unconditional
    found = task.ConfigurableTask.process_results(asked, {}, [(logprob, False) for logprob in logprobs])
    return {
        "acc_raw": found["acc"],
        "acc_per_char": found["acc_norm"],
        "acc_per_byte": found["acc_bytes"],
        "acc_uncond": found["acc_mutual_info"],
        "correct_prob": found["brier_score"][1][answer],
    }


def test_equals_lm_evaluation_harness() -> None:
    draw = random.Random(3)
    for _ in range(300):
        options = [
            (" " + draw.choice("aé汉🙂") * draw.randint(1, 9), -float(draw.randint(0, 40)), 1)
            for _ in range(draw.randint(2, 6))
        ]
        unconditional = [-float(draw.randint(0, 40)) for _ in options]
        answer = draw.randrange(len(options))
        found = score_choices_and_unconditional(measured(options) + alone(unconditional), answer=answer)
        expected = harness_scores(options, unconditional, answer)
        assert {metric: found[metric] for metric in expected} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("logprobs", "is_true", "mc1", "mc2", "expected"),  # as OLMES's own code computes them
    [
        ([-3.0, -1.5, -2.0, -4.0], [1, 0, 1, 0], [0, 1], [0, 1, 2, 3], (0, 0.4339807163896718)),
        ([-2.0, -2.0, -5.0], [1, 0, 1], [0, 1], [0, 1, 2], (1, 0.5121444488396316)),
        ([-2.0, -2.0, -5.0], [0, 1, 1], [0, 1], [0, 1, 2], (0, 0.5121444488396316)),
        ([-9.0, -1.0, -3.0], [1, 1, 0], [0, 2], [0, 1, 2], (0, 0.8808322889979961)),
        ([-1.0, -2.0], [1, 1], [0, 1], [0, 1], (1, 1.0)),
        ([-1.0, -2.0], [0, 0], [0, 1], [0, 1], (0, 0.0)),
        ([-5.0], [1], [0], [0], (1, 1.0)),
    ],
)
def test_truths_equal_olmes(
    logprobs: list[float], is_true: list[int], mc1: list[int], mc2: list[int], expected: tuple[float, float]
) -> None:
    found = score_truths(alone(logprobs), is_true=list(map(bool, is_true)), mc1=mc1, mc2=mc2)
    assert [found["mc1"], found["mc2"]] == pytest.approx(expected, rel=1e-12)


def test_a_thousand_drawn_truths_equal_olmes() -> None:
    draw, mc1_total, mc2_total = random.Random(8), 0.0, 0.0
    for _ in range(1000):
        num = draw.randint(2, 8)
        logprobs = [-float(draw.randint(0, 60)) for _ in range(num)]
        is_true = [bool(draw.randrange(2)) for _ in range(num)]
        num_mc1 = draw.randint(1, num)
        mc1 = sorted(draw.sample(range(num), num_mc1))
        mc2 = sorted(draw.sample(range(num), draw.randint(1, num)))
        found = score_truths(alone(logprobs), is_true=is_true, mc1=mc1, mc2=mc2)
        mc1_total, mc2_total = mc1_total + found["mc1"], mc2_total + found["mc2"]
    assert (mc1_total, mc2_total) == pytest.approx((475, 483.8126380541035), rel=1e-12)


def test_options_too_unlikely_for_their_probabilities_still_compare() -> None:
    assert math.exp(-1000) == 0  # where published code divides by zero
    found = score_truths(alone([-1000.0, -1001.0, -1e300]), is_true=[True, False, False], mc1=[0, 1], mc2=[0, 1, 2])
    assert found == pytest.approx({"mc1": 1, "mc2": 1 / (1 + math.exp(-1))})
    assert score_choices(alone([-1e300, -1e300]), answer=1)["correct_prob"] == 0.5


@pytest.mark.parametrize("logprobs", [[0.0], [-0.5, -0.5], [-700.0, -800.0, -1e308], [-1e-300, -50.0]])
def test_shares_are_a_distribution(logprobs: list[float]) -> None:
    found = shares(logprobs)
    assert math.fsum(found) == pytest.approx(1) and sorted(found, reverse=True) == found
