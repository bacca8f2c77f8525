"""Arguments read from rows, by hand."""

from collections.abc import Iterator, Mapping

import pytest

from olmo2.grading.instruction_arguments import Relation, read_arguments


def checker(response: str, num_words: int, relation: Relation, words: tuple[str, ...], marker: str) -> bool:
    """A checker with an argument of every type."""
    return bool(response and num_words and relation and words and marker)


ROW = {"num_words": 3, "relation": "at least", "words": ["a", "b"], "marker": "x"}


def test_arguments_are_read_by_the_types_that_the_checker_names() -> None:
    row = {**ROW, "num_words": 3.0, "num_bullets": None, "letter": "", "keywords": [], "frequency": 0}
    expected = {"num_words": 3, "relation": Relation.AT_LEAST, "words": ("a", "b"), "marker": "x"}
    assert read_arguments(checker, row) == expected


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"num_words": None}, "the argument num_words is missing"),
        ({"num_words": 0}, "the argument num_words is missing"),
        ({"num_words": -1}, "the argument num_words is -1, not a whole number above 0"),
        ({"num_words": 2.5}, "the argument num_words is 2.5, not"),
        ({"num_words": float("nan")}, "the argument num_words is nan, not"),
        ({"num_words": "3"}, "the argument num_words is '3', not"),
        ({"num_words": True}, "the argument num_words is True, not"),
        ({"relation": "at most"}, "the argument relation is 'at most', neither 'less than' nor 'at least'"),
        ({"words": "ab"}, "the argument words is 'ab', not a list of texts"),
        ({"words": [1]}, "the argument words is 1, not a text"),
        ({"marker": 5}, "the argument marker is 5, not a text"),
        ({"other": 5}, "there is no argument other"),
    ],
)
def test_what_is_wrong_is_named(changed: Mapping[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_arguments(checker, {**ROW, **changed})


def test_relations() -> None:
    for count in range(5):
        assert Relation.LESS_THAN.holds(range(count), 3) == (count < 3)
        assert Relation.AT_LEAST.holds(range(count), 3) == (count >= 3)


def test_no_more_is_looked_at_than_it_takes() -> None:
    def endless() -> Iterator[int]:
        yield from (1, 2)
        raise AssertionError

    assert Relation.AT_LEAST.holds(endless(), 2) and not Relation.LESS_THAN.holds(endless(), 2)
