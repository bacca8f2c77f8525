"""The number that a written solution ends in, and whether it is the right one.

A number that stands after "####" or "answer is" is the answer, the last such one if there are several; without a
marker it is the last number of the text. OLMES and Tulu 3 take the last number in any case; where the markers are
used as GSM8K uses them, at the end, both rules agree. Unlike theirs, signs are kept and numbers compare by value.
"""

import re
from decimal import Decimal

# A minus is a sign unless it follows something to subtract from: "-3" and "= -3", but not "5-3", "5 -3" or "x-3".
SIGN = r"(?<![\w)\]}%])(?<![\d)\]}%]\s)[-\N{MINUS SIGN}]"
NUMBER = re.compile(rf"(?P<sign>{SIGN})?[$€£]?(?P<digits>[0-9]+(?:,[0-9]+)*(?:\.[0-9]+)?|\.[0-9]+)")
# What follows a marker counts up to its first letter: ": **12**", "\boxed{12}" and "5 + 7 = 12", but not "not 12".
MARKED = re.compile(r"(?:\#\#\#\#|\banswer\s+is\b)(?P<rest>(?:boxed|[\d_]|[^\w\n])*)", re.IGNORECASE)


def extract_final_answer(text: str) -> str | None:
    """Return the final number of `text`, without currency or commas; None if it holds no number.

    A number is ASCII digits with an optional sign and decimals: ``-1,234.50`` gives ``-1234.50``.
    """
    answer = None
    for marked in MARKED.finditer(text):
        rest = marked["rest"]
        answer = NUMBER.search(rest, rest.rfind("=") + 1) or NUMBER.search(rest) or answer
    if answer is None:
        for answer in NUMBER.finditer(text):  # noqa: B007 (the last one is the answer)
            pass
    if answer is None:
        return None
    return ("-" if answer["sign"] else "") + answer["digits"].replace(",", "")


def is_correct(response: str, answer: str) -> bool:
    """Whether `response` ends in the number that `answer` does; ``72.0`` equals ``72``.

    If there is no number in `answer`, the whole response has to equal it but for case and surrounding space.
    """
    expected, given = extract_final_answer(answer), extract_final_answer(response)
    if expected is None:
        return response.strip().casefold() == answer.strip().casefold()
    return given is not None and Decimal(given) == Decimal(expected)
