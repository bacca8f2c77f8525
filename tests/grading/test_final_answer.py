"""Truth tables of the final number: GSM8K's habits, and the traps that earlier graders fell into."""

import time

import pytest

from olmo2.grading.final_answer import extract_final_answer, is_correct

EXTRACTED = [
    # markers
    ("She has 48 + 24 = 72 clips.\n#### 72", "72"),
    ("#### 72\n(checked twice, in 5 minutes)", "72"),
    ("####72", "72"),
    ("#### $1,080", "1080"),
    ("So the answer is 72.", "72"),
    ("The answer is: 72", "72"),
    ("The Final Answer IS **72**, as 5 people know.", "72"),
    (r"The answer is $\boxed{72}$ of 100.", "72"),
    ("the answer is 5 + 7 = 12, not 13", "12"),
    ("the answer is $5 + $7 = $12 after 3 days", "12"),
    ("the answer is 12, since 5 + 7 = 12 and 3 = 3", "12"),
    ("The answer is -3, or 3 below zero", "-3"),
    ("#### -3", "-3"),
    ("The answer is 4. No: the answer is 5. I had 6 tries.", "5"),
    ("The answer is 4.\n#### 5", "5"),
    ("The answer is 4 = x", "4"),
    ("#### 5\nThe answer is known", "5"),
    # a marker that no number follows says nothing: the last number counts
    ("The answer is not 5 but 7.", "7"),
    ("The answer is unknown to the 12 of us", "12"),
    ("There were 3.\n####", "3"),
    # the last number
    ("First 5, then 7", "7"),
    ("so x = 1,234 dollars", "1234"),
    ("12,345,678", "12345678"),
    ("It costs $4.50", "4.50"),
    ("7%", "7"),
    ("#3", "3"),
    ("72.", "72"),
    ("72.0", "72.0"),
    ("about .5", ".5"),
    ("3, 4, 5, and so on", "5"),
    # signs
    ("-3", "-3"),
    ("so x = -3", "-3"),
    ("x=-3", "-3"),
    ("\N{MINUS SIGN}3", "-3"),
    ("-$4.50", "-4.50"),
    ("(-3)", "-3"),
    ("5-3", "3"),
    ("5 - 3", "3"),
    ("5 -3", "3"),
    ("(2+3)-3", "3"),
    ("(2+3) -3", "3"),
    ("x-3", "3"),
    ("pages 5\N{EN DASH}7", "7"),
    ("- 3 apples, as a list", "3"),
    # nothing
    ("no number at all", None),
    ("the answer is", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "number"), EXTRACTED)
def test_extracts_the_final_number(text: str, number: str | None) -> None:
    assert extract_final_answer(text) == number


GRADED = [
    ("The total is 1,234 dollars", "1234", True),
    ("so x = -3", "-3", True),
    ("so x = -3", "3", False),
    ("5-3", "-3", False),
    ("5-3", "3", True),
    ("72.", "72", True),
    ("72.0", "72", True),
    ("72.5", "72", False),
    ("#### 72", "72.00", True),
    ("$4.50", "4.50", True),
    ("$4.5", "4.50", True),
    ("12,345,678", "12345678", True),
    ("#3", "3", True),
    ("7%", "7", True),
    ("The answer is 12 apples.", "12 apples", True),
    ("0.1", ".1", True),
    ("-0", "0", True),
    ("9007199254740993", "9007199254740992", False),  # equal as floats
    ("no idea", "72", False),
    ("", "72", False),
    ("#### 72", "Work: 70 + 2 = 72\n#### 72", True),  # a whole worked solution may stand as the answer
    (" Paris\n", "paris", True),  # an answer without a number
    ("Paris 3", "paris", False),
]


@pytest.mark.parametrize(("response", "answer", "is_right"), GRADED)
def test_grades_by_value(response: str, answer: str, is_right: bool) -> None:
    assert is_correct(response, answer) is is_right


BABBLE = (
    "answer is " + "1 " * 20_000,
    "answer is " * 5_000,
    "####" + "=" * 20_000,
    "1," * 40_000,
    "answer is" + " (" * 20_000,
)


@pytest.mark.parametrize("text", BABBLE)
def test_babble_takes_no_time(text: str) -> None:
    start = time.process_time()
    extract_final_answer(text)
    assert time.process_time() - start < 1
