"""Checks of how long a response is: its words, sentences and paragraphs.

Source   IFEval (arXiv 2311.07911), as published with its checkers.
"""

import re
from itertools import takewhile

from olmo2.grading.instruction_arguments import Relation
from olmo2.grading.sentences import split_sentences

WORD = re.compile(r"\w+")
DIVIDER = re.compile(r"\s?\*\*\*\s?")
WORD_ENDINGS = frozenset(".,?!'\"")


def number_words(response: str, num_words: int, relation: Relation) -> bool:
    """Whether there are as many words (runs of letters, digits and underscores) as asked for."""
    return relation.holds(WORD.finditer(response), num_words)


def number_sentences(response: str, num_sentences: int, relation: Relation) -> bool:
    """Whether there are as many sentences as asked for."""
    return relation.holds(split_sentences(response), num_sentences)


def number_paragraphs(response: str, num_paragraphs: int) -> bool:
    """Whether dividers of three asterisks make exactly `num_paragraphs`, none between two of them empty."""
    first, *inner = (bool(paragraph.strip()) for paragraph in DIVIDER.split(response))
    last = inner.pop() if inner else False
    return all(inner) and first + len(inner) + last == num_paragraphs


def nth_paragraph_first_word(response: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    """Whether blank lines make exactly `num_paragraphs`, of which the one numbered from 1 begins with `first_word`.

    Empty paragraphs do not count towards the number, but they do in numbering, as published.
    """
    if nth_paragraph > num_paragraphs:
        raise ValueError(f"the argument nth_paragraph is {nth_paragraph}, but num_paragraphs is {num_paragraphs}")
    paragraphs = response.split("\n\n")
    words = paragraphs[nth_paragraph - 1].split(maxsplit=1) if nth_paragraph <= len(paragraphs) else []
    if not words or sum(1 for paragraph in paragraphs if paragraph.strip()) != num_paragraphs:
        return False
    letters = takewhile(lambda letter: letter not in WORD_ENDINGS, words[0].lstrip("'").lstrip('"'))
    return "".join(letter.lower() for letter in letters) == first_word.lower()
