"""Scores of an item whose options are ranked by their likelihoods.

Source   OLMES (arXiv 2406.08446), section 3: which normalisation suits which benchmark; TruthfulQA (arXiv 2109.07958)
for MC1 and MC2
"""

import math
from collections.abc import Callable, Sequence

from olmo2.eval.task import Likelihood, Scores


def score_choices(likelihoods: Sequence[Likelihood], *, answer: int) -> Scores:
    """Return the scores of options of which the one at `answer` is right, first come first served among equals.

    The accuracies are of the likeliest option: by log-probability (`acc_raw`), per token, per character and per byte.
    Of the right option there are bits a byte and its probability among all of them.
    """
    right = likelihoods[answer]
    return {
        "acc_raw": is_best(likelihoods, answer, lambda each: each.logprob),
        "acc_per_token": is_best(likelihoods, answer, lambda each: each.logprob / max(each.num_tokens, 1)),
        "acc_per_char": is_best(likelihoods, answer, lambda each: each.logprob / max(each.num_chars, 1)),
        "acc_per_byte": is_best(likelihoods, answer, lambda each: each.logprob / max(each.num_bytes, 1)),
        "correct_prob": shares([each.logprob for each in likelihoods])[answer],
        "correct_logprob": right.logprob,
        "correct_bits_per_byte": -right.logprob / math.log(2) / max(right.num_bytes, 1),
    }


def score_choices_and_unconditional(likelihoods: Sequence[Likelihood], *, answer: int) -> Scores:
    """Return the same with `acc_uncond`, which sets off how likely each option is without the question.

    The second half of the likelihoods are those of the options without the question.
    """
    num = len(likelihoods) // 2
    given, alone = likelihoods[:num], likelihoods[num:]
    gains = [each.logprob - other.logprob for each, other in zip(given, alone, strict=True)]
    return {**score_choices(given, answer=answer), "acc_uncond": float(gains.index(max(gains)) == answer)}


def score_truths(
    likelihoods: Sequence[Likelihood], *, is_true: Sequence[bool], mc1: Sequence[int], mc2: Sequence[int]
) -> Scores:
    """Return MC1, whether the likeliest of the options `mc1` is true, and MC2, the true share of all `mc2` hold."""
    best = max(mc1, key=lambda number: likelihoods[number].logprob)
    found = shares([likelihoods[number].logprob for number in mc2])
    return {
        "mc1": float(is_true[best]),
        "mc2": sum(share for share, number in zip(found, mc2, strict=True) if is_true[number]),
    }


def is_best(likelihoods: Sequence[Likelihood], answer: int, value: Callable[[Likelihood], float]) -> float:
    """Return 1 if the option at `answer` is the first of those with the highest value, else 0."""
    values = [value(each) for each in likelihoods]
    return float(values.index(max(values)) == answer)


def shares(logprobs: Sequence[float]) -> list[float]:
    """Return the probability of each among all of them; however unlikely all are, they add up to one."""
    highest = max(logprobs)
    weights = [math.exp(logprob - highest) for logprob in logprobs]
    total = sum(weights)
    return [weight / total for weight in weights]
