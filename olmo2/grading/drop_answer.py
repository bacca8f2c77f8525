"""Exact match and F1 of a written answer to a question of DROP, whose answers may be several spans, numbers or dates.

What was written counts as one span. Each gold span is a bag of words; the best of them is compared with it, and its F1
is divided among all spans. An answer with a number in it is worth nothing without one of its numbers.

Source   DROP (arXiv 1903.00161), section 5; the settings of OLMES, which takes the whole response as one span
"""

import re
from collections.abc import Sequence

from olmo2.grading.short_answer import ARTICLES, WITHOUT_PUNCTUATION


def score_drop_answer(response: str, answers: Sequence[Sequence[str]]) -> tuple[float, float]:
    """Return exact match and F1, 0 to 1, against the best of several `answers`, each of one span or more.

    F1 is rounded to two decimals, as published. Raises ValueError without answers.
    """
    if not answers:
        raise ValueError("there is no answer to compare with")
    found = [score_spans(response, spans) for spans in answers]
    return max(exact for exact, _ in found), max(f1 for _, f1 in found)


def score_spans(response: str, spans: Sequence[str]) -> tuple[float, float]:
    """Return exact match and F1 against one answer."""
    written, gold = normalised(response), [normalised(span) for span in spans]
    shares = [bag_f1(set(written.split()), set(span.split())) for span in gold]
    return float(gold == [written]), round(max(shares, default=0.0) / max(len(gold), 1), 2)


def bag_f1(written: set[str], gold: set[str]) -> float:
    """Return the F1 of two bags of words; 0 if gold has numbers and none of them was written."""
    numbers = {word for word in gold if is_number(word)}
    if numbers and not numbers & written:
        return 0.0
    common = len(written & gold)
    precision = common / len(written) if written else 1.0
    recall = common / len(gold) if gold else 1.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def normalised(text: str) -> str:
    """Return a text without case, punctuation and articles; numbers by their value, words apart at hyphens."""
    words = (normalised_word(word) for word in re.split("[ -]", text.lower()))
    return " ".join(word for word in words if word)


def normalised_word(word: str) -> str:
    """Return one word so."""
    if not is_number(word):
        word = word.translate(WITHOUT_PUNCTUATION)
    if is_number(word):
        word = str(float(word))
    return " ".join(ARTICLES.sub(" ", word).split())


def is_number(word: str) -> bool:
    """Whether Python reads a word as a number, as the published code asks."""
    try:
        float(word)
    except ValueError:
        return False
    return True
