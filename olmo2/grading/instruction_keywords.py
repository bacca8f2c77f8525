"""Checks of the words and letters that a response holds, or does not.

Words are looked for in any case, as part of longer words too except where they are forbidden. The published checkers
read them as regular expressions; here they are plain text, which is the same for every word of the benchmark.

Source   IFEval (arXiv 2311.07911), as published with its checkers.
"""

import re

from olmo2.grading.instruction_arguments import Relation


def existence(response: str, keywords: tuple[str, ...]) -> bool:
    """Whether every keyword occurs."""
    return all(re.search(re.escape(keyword), response, re.IGNORECASE) for keyword in keywords)


def frequency(response: str, keyword: str, frequency: int, relation: Relation) -> bool:
    """Whether the keyword occurs as often as asked for."""
    return relation.holds(re.finditer(re.escape(keyword.strip()), response, re.IGNORECASE), frequency)


def forbidden_words(response: str, forbidden_words: tuple[str, ...]) -> bool:
    """Whether none of the words occurs as a whole word."""
    return not any(re.search(rf"\b{re.escape(word)}\b", response, re.IGNORECASE) for word in forbidden_words)


def letter_frequency(response: str, letter: str, let_frequency: int, let_relation: Relation) -> bool:
    """Whether a letter or sign occurs as often as asked for, in either case.

    Two prompts of the benchmark ask for a sign ("!", "#"), where the published checker counts a letter drawn at random.
    """
    letter = letter.strip().lower()
    if len(letter) != 1:
        raise ValueError(f"the argument letter is {letter!r}, not a single letter")
    return let_relation.holds(re.finditer(re.escape(letter), response.lower()), let_frequency)


def no_comma(response: str) -> bool:
    """Whether there is no comma."""
    return "," not in response
