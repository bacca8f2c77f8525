"""The check of how many words of a response are written in capitals, and what counts as a word.

Source   IFEval (arXiv 2311.07911), as published with its checkers; the words are those of the Penn Treebank, as
nltk 3.8.1 cuts them, the version that OLMES measures OLMo 2 with.
"""

import re
from collections.abc import Iterator

from olmo2.grading.instruction_arguments import Relation
from olmo2.grading.sentences import split_sentences

# What parts sentences while words are cut; where a text holds it, another white space takes its place.
BORDER, SPACE = "\x1e", "\x1f"
FIRST_HALVES = r"can(?=not\b)|d(?='ye\b)|gim(?=me\b)|gon(?=na\b)|got(?=ta\b)|lem(?=me\b)|more(?='n\b)|wan(?=na\s)"
# Applied one after the other. Signs may stay glued to words where that makes no difference to capitals.
SEPARATIONS = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"[«“‘„]|`+", r" \g<0> "),
        (r"""(?<=[ (\[{<])(?:"|'')""", r" `` "),
        (r"(?i)'(?![mtsdn])(?=\w\b)", r"' "),  # 'a' but not the end of she's
        (r"""(?<=[^.])\.(?=[\])}>"'»”’ ]*(?:\x1e|\Z))""", r" ."),  # the period of the sentence
        (r"([:,])(\D|\Z)", r" \1 \2"),  # but not those of 12:30 and 1,000
        (r"\.{2,}|[;@#$%&?!]", r" \g<0> "),
        (r"(?<=[^'])' ", r" ' "),
        (r"[*\[\](){}<>]|--", r" \g<0> "),
        (r"\A|\x1e|\Z", r" "),
        (r"""[»”’]|''|\"""", r" \g<0> "),
        (r"(?<=[^' ])(?:'[sSmMdD]|')(?= )", r" \g<0>"),
        (r"(?<=[^' ])(?:'ll|'LL|'re|'RE|'ve|'VE|n't|N'T)(?= )", r" \g<0>"),
        # CANNOT, D'YE, GIMME, GONNA, GOTTA, LEMME, MORE'N and WANNA, then 'TIS and 'TWAS
        (rf"(?i)\b({FIRST_HALVES})(not|'ye|me|na|ta|'n)", r" \1 \2 "),
        (r"(?i) ('t)(is|was)\b", r" \1 \2 "),
    )
)


def capital_word_frequency(response: str, capital_frequency: int, capital_relation: Relation) -> bool:
    """Whether as many words as asked for hold capitals and no small letters; joined words and "DON'T" count twice."""
    return capital_relation.holds(capital_words(response), capital_frequency)


def capital_words(text: str) -> Iterator[str]:
    """Return the words of `text` that hold capital letters and no small ones: DO, N'T, 3D, U.S. and I.

    A word may carry signs that stand beside it.
    """
    text = BORDER.join(split_sentences(text.replace(BORDER, SPACE)))
    for pattern, replacement in SEPARATIONS:
        text = pattern.sub(replacement, text)
    return (word for word in text.split() if word.isupper())
