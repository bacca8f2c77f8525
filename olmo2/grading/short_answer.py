"""Short answers to questions of facts: words shared with a known answer, or a known answer within the response."""

import re
import string
from collections import Counter
from collections.abc import Sequence

WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def score_short_answer(response: str, answers: Sequence[str]) -> tuple[float, float]:
    """Return exact match and F1 of words, 0 to 1, against the best of `answers`.

    Source   SQuAD (arXiv 1606.05250), section 6. Raises ValueError without answers.
    """
    if not answers:
        raise ValueError("there is no answer to compare with")
    written = normalised(response)
    gold = [normalised(answer) for answer in answers]
    return float(written in gold), max(word_f1(written.split(), each.split()) for each in gold)


def word_f1(written: Sequence[str], gold: Sequence[str]) -> float:
    """Return the F1 of two lists of words, each word as often as it occurs."""
    common = (Counter(written) & Counter(gold)).total()
    return 2 * common / (len(written) + len(gold)) if common else 0.0


def normalised(text: str) -> str:
    """Return a text without case, punctuation, articles and superfluous space."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(WITHOUT_PUNCTUATION)).split())


def contains_answer(response: str, aliases: Sequence[str]) -> bool:
    """Whether a response contains an alias as it is written, in lower case, or with its first letter capital alone.

    Source   PopQA (arXiv 2212.10511): its published evaluation looks for the same three forms.
    """
    return any(form in response for alias in aliases for form in (alias, alias.lower(), alias.capitalize()))
