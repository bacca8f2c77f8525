"""Letters as OLMES's own code extracts and scores them, more of them than its four, and hostile texts."""

import json
import re
import string
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olmo2.grading.choice_letter import extract_choice_letter, score_choice_letter

# Responses of our own invention with gold answer, extracted letter and exact match as OLMES's code (5a51f50) gave them.
OLMES = json.loads(Path(__file__).with_name("olmes_answers.json").read_text(encoding="utf-8"))["mmlu"]


def test_equals_olmes() -> None:
    assert len(OLMES) == 105
    for response, gold, letter, exact in OLMES:
        assert extract_choice_letter(response)[0] == letter, response
        assert score_choice_letter(response, gold)[0] == exact, response


def extract_as_published(response: str, letters: str) -> str:
    """Return what the published patterns find, which take quadratic time."""
    forms = (
        r"(?i)therefore,?\s*the\s*answer\s*is:?\s*\(?([A-D])\b",
        r"(?i)answer\s*is:?\s*\(?([A-D])\b",
        r"(?i)([A-D])\)?\s+is\s+correct",
        r"\(([A-D])\)",
        r".*\b([A-D])\b",
    )
    for form in forms:
        if found := re.search(form.replace("A-D", f"A-{letters[-1]}"), response):
            return found[1].upper()
    return ""


FRAGMENTS = (
    *("Therefore, the answer is: ", "therefore", ",", " the ", "answer is ", "Answer", " is:", " is correct", "\n"),
    *("(", ")", "A", "b", "C", "d", "E", "H", "(B)", "(c)", "A_", "1", " ", "\t", "\r", "é", "\u2028", "\0", "\ud800"),
)
TEXTS = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=12).map("".join)


@settings(max_examples=400, deadline=None)
@given(
    TEXTS, st.integers(2, 8)
)  # from nine letters on, "i" would match letters of other alphabets in the published form
def test_linear_formats_find_what_the_published_ones_do(response: str, num_choices: int) -> None:
    expected = extract_as_published(response, string.ascii_uppercase[:num_choices])
    assert extract_choice_letter(response, num_choices)[0] == expected


@pytest.mark.parametrize(
    ("response", "num_choices", "found"),
    [
        ("Therefore, the answer is: J", 10, ("J", True)),
        ("therefore the answer is (i)", 10, ("I", True)),
        ("Therefore, the answer is: J", 9, ("", False)),
        ("The answer is g.", 10, ("G", False)),
        ("The answer is ı.", 10, ("", False)),  # a dotless i
        ("F or H\nthen B", 8, ("H", False)),
        ("I think it is known.", 10, ("I", False)),
    ],
)
def test_up_to_ten_letters(response: str, num_choices: int, found: tuple[str, bool]) -> None:
    assert extract_choice_letter(response, num_choices) == found


def test_the_asked_format_is_told_apart() -> None:
    assert score_choice_letter("Therefore, the answer is: B", "B") == (1, 1)
    assert score_choice_letter("Therefore, the answer is: B", "C") == (0, 1)
    assert score_choice_letter("The answer is B", "B") == (1, 0)
    assert score_choice_letter("none", "B") == (0, 0)


@pytest.mark.parametrize("num_choices", [1, 11])
def test_too_few_or_many_choices(num_choices: int) -> None:
    with pytest.raises(ValueError, match=f"^{num_choices} choices: a question has 2 to 10$"):
        extract_choice_letter("A", num_choices)


@pytest.mark.parametrize("gold", ["E", "", "AB", "a"])
def test_gold_answer_that_is_no_choice(gold: str) -> None:
    with pytest.raises(ValueError, match="is none of the first 4 letters"):
        score_choice_letter("A", gold)


BABBLE = ("answer", "answer is ", "therefore, the ", "(", "e", " ", "\n", "a ", "\ud800\0", "is correct ")


@pytest.mark.parametrize("babble", BABBLE)
def test_babble_takes_no_time(babble: str) -> None:
    response = "answer is d" + babble * (300_000 // len(babble))
    start = time.process_time()
    extract_choice_letter(response, 10)
    assert time.process_time() - start < 2
