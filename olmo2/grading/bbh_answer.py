"""The answer that a worked solution to a task of BIG-Bench Hard ends in, and whether it is the right one.

Formats are tried from the strictest to the loosest. Of the first that occurs, the last occurrence counts.

Source   BIG-Bench Hard (arXiv 2210.09261); formats and answer patterns as in OLMES, task bbh:cot-v1::tulu
"""

import re
from enum import Enum
from functools import cache

from olmo2.base.errors import UsageError
from olmo2.base.suggestions import nearest
from olmo2.grading.short_answer import WITHOUT_PUNCTUATION


class AnswerKind(Enum):
    """The pattern of a subtask's answers. None matches the empty text or a line break: the formats rely on it."""

    LETTER = r"\([A-Z]\)"
    TRUTH = "[tT]rue|[fF]alse"
    YES_NO = "[yY]es|[nN]o"
    VALIDITY = "[iI]nvalid|[vV]alid"
    INTEGER = r"-?\d+"
    COUNT = r"\d+"
    BRACKETS = r"[\])}> ]+"
    WORDS = "[a-z ]+"


BBH_SUBTASKS = {
    "boolean_expressions": AnswerKind.TRUTH,
    "causal_judgement": AnswerKind.YES_NO,
    "date_understanding": AnswerKind.LETTER,
    "disambiguation_qa": AnswerKind.LETTER,
    "dyck_languages": AnswerKind.BRACKETS,
    "formal_fallacies": AnswerKind.VALIDITY,
    "geometric_shapes": AnswerKind.LETTER,
    "hyperbaton": AnswerKind.LETTER,
    "logical_deduction_five_objects": AnswerKind.LETTER,
    "logical_deduction_seven_objects": AnswerKind.LETTER,
    "logical_deduction_three_objects": AnswerKind.LETTER,
    "movie_recommendation": AnswerKind.LETTER,
    "multistep_arithmetic_two": AnswerKind.INTEGER,
    "navigate": AnswerKind.YES_NO,
    "object_counting": AnswerKind.COUNT,
    "penguins_in_a_table": AnswerKind.LETTER,
    "reasoning_about_colored_objects": AnswerKind.LETTER,
    "ruin_names": AnswerKind.LETTER,
    "salient_translation_error_detection": AnswerKind.LETTER,
    "snarks": AnswerKind.LETTER,
    "sports_understanding": AnswerKind.YES_NO,
    "temporal_sequences": AnswerKind.LETTER,
    "tracking_shuffled_objects_five_objects": AnswerKind.LETTER,
    "tracking_shuffled_objects_seven_objects": AnswerKind.LETTER,
    "tracking_shuffled_objects_three_objects": AnswerKind.LETTER,
    "web_of_lies": AnswerKind.YES_NO,
    "word_sorting": AnswerKind.WORDS,
}

# A line without an answer is passed over whole ("|.*"), or many "answer:" in one line would take quadratic time.
FORMATS = (
    "(?i)so the answer is (ANSWER)",
    "(?i)answer is (ANSWER)",
    "(?i)answer:(?:.*?(ANSWER)|.*)",
    r"(?i)answer\b(?:.*?(ANSWER)|.*)",
    "(ANSWER)",
    "(?i)(ANSWER)",
)


def extract_bbh_answer(response: str, subtask: str) -> tuple[str, bool]:
    """Return the answer, empty if there is none, and whether it stood after "So the answer is".

    A letter counts in parentheses alone, as published. Raises UsageError for an unknown subtask.
    """
    for number, pattern in enumerate(patterns(answer_kind(subtask))):
        answer = None
        for found in pattern.finditer(response):
            answer = found[1] or answer
        if answer is not None:
            return answer.strip(), number == 0
    return "", False


def score_bbh_answer(response: str, gold: str, subtask: str) -> tuple[float, float]:
    """Return exact match and whether the answer stood after "So the answer is", each 0 or 1.

    Case and punctuation do not count, as published: the minus sign of a number is lost, brackets alone are kept. And 18
    of the 6,511 gold answers are not found as they stand, such as lists of words with an apostrophe.
    """
    answer, is_in_format = extract_bbh_answer(response, subtask)
    written, expected = answer.lower(), gold.lower()
    if answer_kind(subtask) is not AnswerKind.BRACKETS:
        written, expected = written.translate(WITHOUT_PUNCTUATION), expected.translate(WITHOUT_PUNCTUATION)
    return float(written == expected), float(is_in_format)


def answer_kind(subtask: str) -> AnswerKind:
    """Return what the answers of a subtask look like."""
    if subtask not in BBH_SUBTASKS:
        raise UsageError(f"{subtask}: no such subtask of BIG-Bench Hard{nearest(subtask, list(BBH_SUBTASKS))}")
    return BBH_SUBTASKS[subtask]


@cache
def patterns(kind: AnswerKind) -> tuple[re.Pattern[str], ...]:
    """Return the formats of an answer, the strictest first."""
    return tuple(re.compile(form.replace("ANSWER", kind.value)) for form in FORMATS)
