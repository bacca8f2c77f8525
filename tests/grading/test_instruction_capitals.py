"""Counts of words in capitals that nltk 3.8.1 gives with its English model, frozen, and its rules on random texts."""

import gzip
import json
import random
from pathlib import Path

import pytest

from olmo2.grading.instruction_arguments import Relation
from olmo2.grading.instruction_capitals import capital_word_frequency, capital_words
from tests.grading.instruction_reference import word_tokenize

WORDS = ["DON'T", "can't", "CANNOT", "NASA", "GONNA", "gotta", "WANNA", "D'YE", "MORE'N", "LEMME", "'TIS", "JOHN'S"]
WORDS += ["I'M", "we'll", "WE'LL", "A", "ROCK'N'ROLL", "A'B", "U.S.", "No", "O'B", "'S", "'LL", "N'T", "3D", "1,000"]
WORDS += ["12:30", "A,B", "A:B", "a/B", "X-Y", "X--Y", "X—Y"]
SIGNS = [*".?!\"')]}([{<>*:;@,-`&#_%$“”‘’«»„ \n\t\r\v\f\xa0aAbBiIxZ01é中𝐀", "...", "--", "''", "``", ". ", "? ", "' "]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("NASA and the FBI met in the USA.", 3),
        ("DON'T STOP. It's OK!", 4),
        ("I'm sure. I am.", 2),
        ("CANNOT and GONNA.", 4),
        ("JOHN'S book, JANE's pen", 3),
        ("A-B A/B A,B A:B 3D 4K", 8),
        ("HELLO,WORLD and HELLO, WORLD", 4),
        ("'TIS I. 'Twas HE!", 5),
        ("WE'LL GO. THEY'D. YOU'RE", 7),
        ("**BOLD** *AND* __THIS__ ~~NOT~~", 4),
        ("U.S. U.K. N.Y.", 3),
        ("“QUOTED” «AUCH» „SO“ ‘X’", 4),
        ("No capitals here", 0),
        ("Only Titles Here", 0),
        ("ÉTÉ ΑΒΓ МИР 中文", 3),
        ("DON'T. DON'T.) \"DON'T.\" X", 7),
        ("HTML5 mp3 GPT-4 A1b", 2),
        ("A I X. Y? Z!", 5),
        ("ROCK'N'ROLL O'NEIL Y'ALL", 3),
        ("YES—NO YES--NO", 3),
        ("AT&T R&D $US 50%OFF #TAG @HOME", 8),
        ("(A) [B] {C} <D>", 4),
        ("WANNA GO? WANNA.", 5),
        ("TEN:30 12:30AM 1,000KM", 3),
    ],
)
def test_counts_of_the_published_words(text: str, count: int) -> None:
    assert len(list(capital_words(text))) == count
    assert capital_word_frequency(text, count + 1, Relation.LESS_THAN)
    assert not capital_word_frequency(text, count + 1, Relation.AT_LEAST)


def test_counts_of_real_responses(shared: Path) -> None:
    totals = {"vicuna-13b": 1984, "claude-2": 1917, "gpt4_1106_preview": 3009}  # of nltk 3.8.1
    for name, total in totals.items():
        with gzip.open(shared / "data" / "alpaca_eval" / f"{name}_model_outputs.json.gz") as file:
            responses = [row["output"] for row in json.load(file)]
        assert sum(len(list(capital_words(response))) for response in responses) == total


def test_the_rules_are_the_published_ones() -> None:
    draw = random.Random(0)
    for _ in range(3000):
        text = "".join(draw.choice(WORDS if draw.random() < 0.4 else SIGNS) for _ in range(draw.randint(1, 20)))
        expected = sum(word.isupper() for word in word_tokenize(text))
        assert len(list(capital_words(text))) == expected, text


def test_separators_in_the_text_are_white_space() -> None:
    assert list(capital_words("A.\x1eB\x1fC \x1e\x1e D. Then\x1eE")) == ["A.", "B", "C", "D.", "E"]
