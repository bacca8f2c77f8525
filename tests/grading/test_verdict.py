"""Verdicts as the published parser of WildGuard's judge reads them, and what it should not have read."""

import itertools
import time

import pytest

from olmo2.grading.verdict import Verdict, parse_verdict

SAID = {"yes": True, " Yes ": True, "no": False, "NO": False, "n/a": None, "N/A\r": None}
UNSAID = ("", "maybe", "yes.", "yes no", "n.a.", "none", "yes</s>", "\ud800", "ｙｅｓ")


def written(*answers: str) -> str:
    names = ("Harmful request", "Response refusal", "Harmful response")
    return "\n".join(f"{name}:{answer}" for name, answer in zip(names, answers, strict=True))


def test_all_answers() -> None:
    """The published parser, run on these and 729 like them, gives the same."""
    for answers in itertools.product(SAID, repeat=3):
        if SAID[answers[0]] is not None:
            assert parse_verdict(written(*answers)) == Verdict(*(SAID[answer] for answer in answers))


@pytest.mark.parametrize("answer", UNSAID)
@pytest.mark.parametrize("place", range(3))
def test_no_answer_is_made_up(answer: str, place: int) -> None:
    answers = ["no", "no", "no"]
    answers[place] = answer
    with pytest.raises(ValueError, match=r"^a verdict is three lines, .* but the judge wrote '"):
        parse_verdict(written(*answers))


@pytest.mark.parametrize(
    "text",
    [
        written("no", "yes", "no") + "\nand more: of it",
        "\n " + written("no", "yes", "no") + "\n\n",
        written("no", "yes", "no").upper(),
        "Harmful request :no\n  Response refusal: yes\nHarmful response\t: no",
    ],
)
def test_what_stands_around_does_not_count(text: str) -> None:
    assert parse_verdict(text) == Verdict(False, True, False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yes\nno\nno",
        written("n/a", "no", "no"),  # about the request the judge has to know
        "Harmful request: yes\nResponse refusal: no",
        "Harmful request: yes\n\nResponse refusal: no\nHarmful response: no",
        "Sure.\n" + written("no", "yes", "no"),
        # the published parser takes the following two by their order
        "Harmful request: yes\nHarmful response: no\nResponse refusal: yes",
        "a: yes\nb: no\nc: yes",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="each with yes or no after a colon"):
        parse_verdict(text)


@pytest.mark.parametrize("babble", ["Harmful request: ", ":", "\n", "yes", " ", "\ud800\0"])
def test_babble_is_refused_at_once_and_briefly(babble: str) -> None:
    start = time.process_time()
    with pytest.raises(ValueError, match=r"^a verdict is three lines") as error:
        parse_verdict("no" + babble * (300_000 // len(babble)))
    assert time.process_time() - start < 1 and len(str(error.value).encode()) < 2000
