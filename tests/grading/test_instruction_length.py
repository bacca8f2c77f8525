"""Words, sentences and paragraphs counted by hand after the published definition."""

import pytest

from olmo2.grading.instruction_arguments import Relation
from olmo2.grading.instruction_length import (
    nth_paragraph_first_word,
    number_paragraphs,
    number_sentences,
    number_words,
)


@pytest.mark.parametrize(
    ("response", "count"),
    [("one two", 2), ("well-known isn't 3.5", 6), ("snake_case", 1), ("中文 é", 2), ("* - !", 0), ("a\x00b\ud800c", 3)],
)
def test_words_are_runs_of_letters_and_digits(response: str, count: int) -> None:
    assert number_words(response, count + 1, Relation.LESS_THAN)
    assert not number_words(response, count + 1, Relation.AT_LEAST)
    assert count == 0 or number_words(response, count, Relation.AT_LEAST)


def test_sentences() -> None:
    assert number_sentences("One. Two! Three?", 3, Relation.AT_LEAST)
    assert not number_sentences("One. Two! Three?", 3, Relation.LESS_THAN)
    assert not number_sentences("One. Two! Three?", 4, Relation.AT_LEAST)


@pytest.mark.parametrize(
    ("response", "count"),
    [
        ("a", 1),
        ("a\n***\nb", 2),
        ("a *** b***c", 3),
        ("***\na\n***\nb\n***", 2),  # before the first and after the last there may be dividers
        ("***", 0),
        ("a\n\nb", 1),
        ("a\n* * *\nb", 1),
        ("a****b", 2),  # three of the four divide
    ],
)
def test_dividers_make_paragraphs(response: str, count: int) -> None:
    assert [number for number in range(5) if number_paragraphs(response, number)] == [count]


def test_an_empty_paragraph_within_is_never_right() -> None:
    for response in ("a\n***\n***\nb", "a ****** b", "******\na"):
        assert not any(number_paragraphs(response, number) for number in range(5))


@pytest.mark.parametrize(
    ("response", "nth", "word", "follows"),
    [
        ("One a\n\nTwo b", 2, "two", True),
        ("One a\n\nTwo b", 1, "ONE", True),
        ("One a\n\nTwo b", 2, "one", False),
        ("One a\nTwo b", 1, "one", False),  # a single paragraph
        ("One\n\nTwo\n\nThree", 1, "one", False),
        ("\"One\" a\n\n'Two' b", 1, "one", True),
        ("\"One\" a\n\n'Two' b", 2, "two", True),
        ("\"'One' a\n\nTwo", 1, "one", False),  # of two quotes only ' before \" is taken off
        ("'\"One a\n\nTwo", 1, "one", True),
        ("One, a\n\nTwo", 1, "one", True),
        ("One's a\n\nTwo", 1, "one", True),
        ("One-a\n\nTwo", 1, "one", False),
        ("**One** a\n\nTwo", 1, "one", False),
        ("One: a\n\nTwo", 1, "one", False),  # a colon is no end of a word
        ("One\n\n\n\nTwo", 1, "one", True),  # an empty paragraph does not count
        ("One\n\n\n\nTwo", 2, "two", False),  # but it is numbered
        ("\n\nOne\n\nTwo", 2, "one", True),
        ("\n\nOne\n\nTwo", 1, "one", False),
        ("One\n\n\nTwo", 2, "two", True),
        ("ΟΔΟΣ a\n\nTwo", 1, "οδοσ", True),
    ],
)
def test_the_first_word_of_one_of_two_paragraphs(response: str, nth: int, word: str, follows: bool) -> None:
    assert nth_paragraph_first_word(response, 2, nth, word) is follows


def test_a_paragraph_that_cannot_be_there_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="nth_paragraph is 3, but num_paragraphs is 2"):
        nth_paragraph_first_word("One", 2, 3, "one")
