"""Last numbers as OLMES's own code takes and compares them, and GSM8K's own solutions."""

import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olmo2.grading.last_number import compared_form, extract_last_number, score_last_number

# Responses of our own invention with gold answer, extracted number and exact match as OLMES's code (5a51f50) gave them.
OLMES = json.loads(Path(__file__).with_name("olmes_answers.json").read_text(encoding="utf-8"))["gsm8k"]


def test_equals_olmes() -> None:
    assert len(OLMES) == 175
    for response, gold, number, exact in OLMES:
        assert extract_last_number(response) == number, response
        assert score_last_number(response, gold) == exact, response


@pytest.mark.parametrize(
    ("response", "gold", "score"),
    [
        ("so x = -3", "3", 1),  # the sign of an integer is lost
        ("so x = -3.0", "3.0", 0),  # that of a decimal is kept
        ("72.0", "72", 0),  # compared as text
        ("1,2,3", "3", 1),
        ("12,345,678", "12345678", 1),
        ("It is $1,080.", "#### 1,080", 1),
        ("Unknown.", "unknown", 1),  # without numbers, all of the text
        ("", "72", 0),
    ],
)
def test_published_faults_are_kept(response: str, gold: str, score: float) -> None:
    assert score_last_number(response, gold) == score


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="#$,. \nAb1", max_size=14))
def test_compared_form_is_what_the_published_patterns_leave(text: str) -> None:
    published = text
    for ignored in (",", r"\$", r"(?s).*#### ", r"\.$"):  # the third takes quadratic time
        published = re.sub(ignored, "", published)
    assert compared_form(text) == published.lower()


def test_solutions_of_real_questions(shared: Path) -> None:
    lines = (shared / "data" / "gsm8k" / "test.jsonl").read_text(encoding="utf-8").splitlines()
    solutions = [json.loads(line)["answer"] for line in lines]
    assert len(solutions) == 1319
    for solution in solutions:
        worked, _, gold = solution.partition("\n#### ")
        response = f"{re.sub('<<.*?>>', '', worked)} So the answer is {gold}."  # as the examples of the prompt end
        assert score_last_number(response, gold) == score_last_number(response, solution) == 1
        assert score_last_number(response.replace(gold, f"{gold}1"), gold) == 0


def test_examples_of_the_prompt(shared: Path) -> None:
    sources = json.loads((shared / "data" / "fewshot" / "olmes_fewshot_sources.json").read_text(encoding="utf-8"))
    examples = sources["STD:GSM8k"]
    found = [extract_last_number(example["answer"]) for example in examples]
    assert len(found) == 8 and found == [example["short_answer"] for example in examples]


@pytest.mark.parametrize("babble", ["answer", "#### ", "#", "(", "7", "7,", "7.", "-", " ", ".", "\ud800\0"])
def test_babble_takes_no_time(babble: str) -> None:
    response = babble * (300_000 // len(babble))
    start = time.process_time()
    score_last_number(response, "72")
    assert time.process_time() - start < 2
