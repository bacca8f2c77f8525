"""Prompts put together, as OLMES's own code (5a51f50) has put together the same questions, examples and options."""

from typing import Any

import pytest

from olmo2.eval.rendering import (
    many_turns,
    one_turn,
    options_and_unconditional,
    options_of,
    plain_prompt,
    with_options,
)
from olmo2.eval.task import Option, Prompt

EXAMPLES = [("Question: One?\nAnswer:", "first "), ("Question: Two?\n\nAnswer: ", " second\nline")]
QUESTION = "Question: Three?\n Answer:\n"
DESCRIPTION = "About numbers.\n\n"
SHOWN = "Question: One?\nAnswer: first \n\nQuestion: Two?\n\nAnswer:   second\nline\n\n"


@pytest.mark.parametrize(
    ("examples", "description", "text"),
    [
        ([], "", QUESTION),
        ([], DESCRIPTION, f"{DESCRIPTION}{QUESTION}"),
        (EXAMPLES, "", f"{SHOWN}{QUESTION}"),
        (EXAMPLES, DESCRIPTION, f"{DESCRIPTION}{SHOWN}{QUESTION}"),
    ],
)
def test_one_text_alone_or_in_one_turn(examples: list[tuple[str, str]], description: str, text: str) -> None:
    assert plain_prompt(QUESTION, examples, description) == Prompt(text)
    assert one_turn(QUESTION, examples, description) == Prompt(turns=(("user", text),))


@pytest.mark.parametrize("description", ["", DESCRIPTION])
def test_examples_as_turns(description: str) -> None:
    assert many_turns(QUESTION, EXAMPLES, description).turns == (
        ("user", f"{description}Question: One?\nAnswer:"),
        ("assistant", "first"),
        ("user", "Question: Two?\n\nAnswer: "),
        ("assistant", "second\nline"),
        ("user", QUESTION),
    )
    assert many_turns(QUESTION, [], description) == Prompt(turns=(("user", f"{description}{QUESTION}"),))


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        (QUESTION, "Question: Three?"),
        ("Answer: what?", "Answer: what?"),
        ("Plain", "Plain"),
        ("Answer:", ""),
    ],
)
def test_a_prefix_moves_from_the_questions_to_the_answers(question: str, asked: str) -> None:
    prompt = many_turns(question, EXAMPLES, DESCRIPTION, "Answer:")
    assert prompt.text == "Answer:"
    assert prompt.turns == (
        ("user", "About numbers.\n\nQuestion: One?"),
        ("assistant", "Answer: first"),
        ("user", "Question: Two?"),
        ("assistant", "Answer: second\nline"),
        ("user", asked),
    )


@pytest.mark.parametrize(
    ("options", "settings", "text"),
    [
        (["a", " b ", "c"], {}, "Question: Which?\n A. a\n B.  b \n C. c\nAnswer:"),
        (["a", "b"], {"opening": "P\nQuestion: "}, "P\nQuestion: Which?\n A. a\n B. b\nAnswer:"),
        (["a"], {"opening": "", "before": "Choose:\n"}, "Which?\nChoose:\n A. a\nAnswer:"),
        (["a", "b"], {"ending": ""}, "Question: Which?\n A. a\n B. b\n"),
        (
            list("abcdefghij"),
            {},
            "Question: Which?\n A. a\n B. b\n C. c\n D. d\n E. e\n F. f\n G. g\n H. h\n I. i\n J. j\nAnswer:",
        ),
    ],
)
def test_options_behind_letters(options: list[str], settings: dict[str, Any], text: str) -> None:
    assert with_options("Which?", options, **settings) == text


def test_continuations_stand_behind_a_space() -> None:
    prompt = plain_prompt("Which?")
    assert options_of(prompt, ["A", " b"]) == (Option(prompt, " A"), Option(prompt, "  b"))
    alone = Prompt("Answer:")
    assert options_and_unconditional(prompt, "AB") == (
        *(Option(prompt, " A"), Option(prompt, " B")),
        *(Option(alone, " A"), Option(alone, " B")),
    )
