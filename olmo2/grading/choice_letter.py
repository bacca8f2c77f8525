"""The letter that a written answer to a multiple-choice question settles on, and whether it is the right one.

Formats are tried from the strictest to the loosest; the first occurrence counts, in the loosest the last of its line.

Source   OLMES, task mmlu:cot::summarize, whose four letters are extended here to as many as there are choices
"""

import re
import string
from functools import cache

MOST_CHOICES = 10
# The last is anchored to the start of a line, where its ".*" matches if anywhere: else it would take quadratic time.
FORMATS = (
    r"(?i:therefore,?\s*the\s*answer\s*is:?\s*\(?)([EITHER])\b",
    r"(?i:answer\s*is:?\s*\(?)([EITHER])\b",
    r"([EITHER])\)?(?i:\s+is\s+correct)",
    r"\(([CAPITAL])\)",
    r"(?m:^).*\b([CAPITAL])\b",
)


def extract_choice_letter(response: str, num_choices: int = 4) -> tuple[str, bool]:
    """Return the letter as a capital, empty if there is none, and whether it stood after "Therefore, the answer is".

    With nine choices or more, a lone "I" reads as a letter. Raises ValueError unless there are 2 to 10 choices.
    """
    for number, pattern in enumerate(patterns(num_choices)):
        if found := pattern.search(response):
            return found[1].upper(), number == 0
    return "", False


def score_choice_letter(response: str, gold: str, num_choices: int = 4) -> tuple[float, float]:
    """Return exact match with the letter `gold` and whether it stood after "Therefore, the answer is", each 0 or 1.

    OLMES reports the second under the name answer_format_correct, but as 0 for every letter found and 1 for none.
    """
    letter, is_in_format = extract_choice_letter(response, num_choices)
    if gold not in set(string.ascii_uppercase[:num_choices]):
        raise ValueError(f"the right answer {gold!r} is none of the first {num_choices} letters")
    return float(letter == gold), float(is_in_format)


@cache
def patterns(num_choices: int) -> tuple[re.Pattern[str], ...]:
    """Return the formats of a letter, the strictest first."""
    if not 2 <= num_choices <= MOST_CHOICES:
        raise ValueError(f"{num_choices} choices: a question has 2 to {MOST_CHOICES}")
    capitals = string.ascii_uppercase[:num_choices]
    return tuple(
        re.compile(form.replace("CAPITAL", capitals).replace("EITHER", capitals + capitals.lower())) for form in FORMATS
    )
