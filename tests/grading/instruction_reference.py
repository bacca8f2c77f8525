"""The published checkers of IFEval, made to run without a download: lm_eval's, with sentences and words by nltk.

nltk's English model of sentences cannot be had offline. Its algorithm can: nltk's own code is given our lists of words
in the model's place, and the signs that version 3.8.1 knows (later ones also break after curly quotes and at dashes),
so that every decision of ours is compared with theirs. How well our lists stand for the model is measured on counts
that nltk 3.8.1 gave with it, frozen in the tests of sentences and of capitals.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from types import ModuleType
from typing import Any

import nltk
import pytest
from nltk.tokenize.destructive import NLTKWordTokenizer
from nltk.tokenize.punkt import PunktLanguageVars, PunktParameters, PunktSentenceTokenizer

from olmo2.grading import sentences

SEEN_SMALL, SEEN_CAPITAL_WITHIN = 1 << 5, 1 << 2  # where nltk's model has met a word, as flags


class OlderSigns(PunktLanguageVars):
    """The signs around the end of a sentence in nltk 3.8.1."""

    re_boundary_realignment = re.compile(r'["\')\]}]+?(?:\s+|(?=--)|$)', re.MULTILINE)
    _re_non_word_chars = r"(?:[)\";}\]\*:@\'\({\[?!])"


class OlderWords(NLTKWordTokenizer):
    """The rules by which nltk 3.8.1 cuts a sentence into words."""

    STARTING_QUOTES = [
        *NLTKWordTokenizer.STARTING_QUOTES[:-1],
        (re.compile(r"(?i)(\')(?!re|ve|ll|m|t|s|d|n)(\w)\b"), r"\1 \2"),
    ]
    PUNCTUATION = [rule for rule in NLTKWordTokenizer.PUNCTUATION if "\\u2012" not in rule[0].pattern]
    ENDING_QUOTES = [rule for rule in NLTKWordTokenizer.ENDING_QUOTES if rule[0].pattern != r"\s+"]


def sentence_tokenizer() -> Any:
    """Return nltk's tokenizer of sentences with our lists of words."""
    parameters = PunktParameters()
    parameters.abbrev_types = set(sentences.ABBREVIATIONS)
    parameters.collocations = {("##number##", word) for word in sentences.NUMBERED_WORDS}
    parameters.ortho_context = defaultdict(int, dict.fromkeys(sentences.STARTING_WORDS, SEEN_SMALL))
    parameters.ortho_context.update(dict.fromkeys(sentences.OTHER_WORDS, SEEN_SMALL | SEEN_CAPITAL_WITHIN))
    return PunktSentenceTokenizer(parameters, lang_vars=OlderSigns())


def word_tokenize(text: str) -> list[str]:
    """Return the words of a text as nltk 3.8.1 cuts them."""
    words = OlderWords()
    return [word for sentence in sentence_tokenizer().tokenize(text) for word in words.tokenize(sentence)]


def published_checkers() -> Iterator[ModuleType]:
    """Yield lm_eval's ifeval module `utils`, which holds its strict and loose test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nltk, "download", lambda *_: True)
        immutable: Any = ModuleType("immutabledict")
        immutable.immutabledict = dict
        if "immutabledict" not in sys.modules:  # that lm_eval needs, but does not ask for
            patch.setitem(sys.modules, "immutabledict", immutable)
        from lm_eval.tasks.ifeval import instructions, instructions_util, utils

        tokenizer = sentence_tokenizer()
        patch.setattr(instructions_util, "count_sentences", lambda text: len(tokenizer.tokenize(text)))
        patch.setattr(nltk, "word_tokenize", word_tokenize)
        patch.setattr(instructions.langdetect.DetectorFactory, "seed", 0)
        patch.setattr(instructions.langdetect, "detect", lru_cache(None)(instructions.langdetect.detect))
        yield utils
