"""Words and letters by hand."""

from olmo2.grading.instruction_arguments import Relation
from olmo2.grading.instruction_keywords import existence, forbidden_words, frequency, letter_frequency, no_comma


def test_keywords_occur_in_any_case_and_within_words() -> None:
    assert existence("The Catalogue of DOGS", ("cat", "dog"))
    assert not existence("The Catalogue", ("cat", "dog"))
    assert existence("C++ and (a+)+$", ("c++", "(a+)+$")) and not existence("C", ("c.?",))


def test_keywords_are_counted_without_overlap() -> None:
    assert frequency("War, warfare, WAR", "war ", 3, Relation.AT_LEAST)
    assert not frequency("War, warfare, WAR", "war", 3, Relation.LESS_THAN)
    assert frequency("aaaa", "aa", 3, Relation.LESS_THAN) and frequency("aaaa", "aa", 2, Relation.AT_LEAST)


def test_forbidden_words_are_whole_words() -> None:
    assert forbidden_words("The category is killer-free", ("cat", "kill"))
    assert not forbidden_words("Killer-free", ("cat", "killer"))
    assert not forbidden_words("cat's", ("cat",)) and forbidden_words("cat_s", ("cat",))


def test_letters_count_in_either_case() -> None:
    assert letter_frequency("Anna and A", "a", 4, Relation.AT_LEAST)
    assert not letter_frequency("Anna and A", "A", 4, Relation.LESS_THAN)
    assert letter_frequency("bcd", "a", 1, Relation.LESS_THAN)


def test_signs_count_too() -> None:
    assert letter_frequency("# One\n## Two", "#", 3, Relation.AT_LEAST)
    assert letter_frequency("Go! Now.", "!", 2, Relation.LESS_THAN)


def test_commas() -> None:
    assert no_comma("a; b، c，d") and not no_comma("a, b")
