"""The number that a written solution ends in, and whether it is the right one.

A number that stands after "####" or "answer is" is the answer, the last such one if there are several; without a
marker it is the last number of the text. OLMES and Tulu 3 take the last number in any case; where the markers are
used as GSM8K uses them, at the end, both rules agree. Unlike theirs, signs are kept and numbers compare by value.
"""

import re
from decimal import Decimal

# A minus is a sign unless it follows something to subtract from: "-3" and "= -3", but not "5-3", "5 -3" or "x-3".
SIGN = r"(?<![\w)\]}%])(?<![\d)\]}%]\s)[-\N{MINUS SIGN}]"
NUMBER = rf"(?P<sign>{SIGN})?[$€£]?(?P<digits>(?:[0-9]+(?:,[0-9]+)*(?:\.[0-9]+)?|\.[0-9]+))"
# The answer may be dressed (": **12**", "\boxed{12}") or the end of a sum ("5 + 7 = 12").
MARKED = re.compile(
    rf"(?:\#\#\#\#|\banswer\s+is\b)[^\w\n]*?(?:boxed\{{)?(?:[0-9\s.,$€£+*/×÷()\N{{MINUS SIGN}}-]*=)*\s*{NUMBER}",
    re.IGNORECASE,
)
PLAIN = re.compile(NUMBER)


def extract_final_answer(text: str) -> str | None:
    """Return the final number of `text`, without currency or commas; None if it holds no number.

    A number is ASCII digits with an optional sign and decimals: ``-1,234.50`` gives ``-1234.50``.
    """
    found = last_match(MARKED, text) or last_match(PLAIN, text)
    if found is None:
        return None
    return ("-" if found["sign"] else "") + found["digits"].replace(",", "")


def is_correct(response: str, answer: str) -> bool:
    """Whether `response` ends in the number that `answer` does; ``72.0`` equals ``72``.

    If there is no number in `answer`, the whole response has to equal it but for case and surrounding space.
    """
    expected, given = extract_final_answer(answer), extract_final_answer(response)
    if expected is None:
        return response.strip().casefold() == answer.strip().casefold()
    return given is not None and Decimal(given) == Decimal(expected)


def last_match(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """Return the last match of `pattern` in `text`."""
    last = None
    for last in pattern.finditer(text):  # noqa: B007 (the last one is what is wanted)
        pass
    return last
