"""Overlap of n-grams against sets of tuples of words, on invented texts and on real ones."""

import json
import random
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olmo2.corpus import ngram_overlap as module
from olmo2.corpus.ngram_overlap import ItemText, Overlap, Stretch, ngram_starts, split_words

Hits = dict[int, list[tuple[int, int, int]]]

QUESTION = (
    "A lighthouse keeper counts ninety three gulls at dawn, then twelve more by noon; "
    "how many gulls has she counted before the evening boat arrives?"
)
ANSWER = "She has counted one hundred and five gulls."


def reference_words(text: str) -> list[str]:
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(letter if letter.isalnum() else " " for letter in text).split()


def ngrams(words: Sequence[str], length: int) -> list[tuple[str, ...]]:
    return [tuple(words[start : start + length]) for start in range(len(words) - length + 1)]


def reference_hits(items: Sequence[ItemText], text: str, n: int) -> Hits:
    """Every n-gram of every item is looked up in a set of those of the text."""
    words = reference_words(text)
    held = {length: set(ngrams(words, length)) for length in range(min(8, n), n + 1)}
    hits: Hits = {}
    for item in items:
        offset = 0
        for part in (reference_words(item.question), reference_words(item.answer)):
            length = min(n, len(part))
            if length in held:
                run = 0
                for start, gram in enumerate([*ngrams(part, length), ()]):
                    if gram in held[length]:
                        run += 1
                    elif run:
                        hits.setdefault(item.doc_id, []).append((offset + start - run, run + length - 1, run))
                        run = 0
            offset += len(part)
    return hits


def as_tuples(hits: dict[int, list[Stretch]]) -> Hits:
    return {
        doc_id: [(each.start, each.num_words, each.num_ngrams) for each in stretches]
        for doc_id, stretches in hits.items()
    }


FORMS = ("a", "b", "A", "É", "e\u0301,", "ﬁ", "fi.", "-")


def random_words(draw: random.Random) -> list[str]:
    return draw.choices(FORMS, k=draw.choice([0, 1, 7, 8, 9, 12, 13, 14, 20]))


def items_and_texts(draw: random.Random) -> tuple[list[ItemText], list[str]]:
    """Questions and answers of few different words, and texts in which parts of them stand side by side."""
    parts = [random_words(draw) for _ in range(2 * draw.randrange(5))]
    items = [
        ItemText(7 * i + 3, " ".join(question), " ".join(answer))
        for i, (question, answer) in enumerate(zip(parts[::2], parts[1::2], strict=True))
    ]
    texts = []
    for _ in range(draw.randrange(5)):
        cuts = [(draw.choice([*parts, FORMS]), draw.choice([0, 0, 1, 4])) for _ in range(draw.randrange(4))]
        texts.append(" ".join(word for words, start in cuts for word in words[start : start + draw.randint(6, 20)]))
    return items, texts


@settings(deadline=None, max_examples=200)
@given(st.randoms(use_true_random=True), st.sampled_from([2, 3, 5, 8, 9, 10, 13]))
def test_hits_are_those_of_sets_of_tuples(draw: random.Random, n: int) -> None:
    items, texts = items_and_texts(draw)
    overlap = Overlap(items, ngram=n)
    expected = [reference_hits(items, text, n) for text in texts]
    assert [as_tuples(overlap.hits(text)) for text in texts] == expected
    assert {index: as_tuples(hits) for index, hits in overlap.scan(texts)} == {
        index: hits for index, hits in enumerate(expected) if hits
    }


@given(st.text())
def test_words_of_any_text(text: str) -> None:
    assert as_text(split_words(text)) == reference_words(text)


def as_text(words: list[bytes]) -> list[str]:
    return [word.decode() for word in words]


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_text_has_the_same_words_beside_other_text(text: str) -> None:
    assert [*split_words(text), "é".encode()] == split_words(text + " é")


@pytest.mark.parametrize(
    "form",
    [
        "Teddy's CAFÉ costs €1,000 for the ﬁrst_two",
        "teddy 's cafe\u0301 costs 1 000 -- for the (first) two!",
        "TEDDY’S café\u00a0costs\n1.000 — for ｔｈｅ 𝐅𝐢𝐫𝐬𝐭 two",
    ],
)
def test_words_of_one_text_in_three_forms(form: str) -> None:
    assert as_text(split_words(form)) == ["teddy", "s", "café", "costs", "1", "000", "for", "the", "first", "two"]


def test_sharp_s_and_capitals() -> None:
    assert split_words("Straße ΐ") == split_words("STRASSE \u0399\u0308\u0301")


def test_exact_copy_inside_a_text() -> None:
    overlap = Overlap([ItemText(4, QUESTION, ANSWER)])
    hits = overlap.hits(f"Some puzzles. {QUESTION}\nAnswer: {ANSWER} The end.")
    assert hits == {4: [Stretch(0, 25, 13), Stretch(25, 8, 1)]}  # an answer of eight words is looked for as a whole
    assert overlap.seen_ratio(4, ngram_starts(hits[4])) == 1
    assert overlap.words(4, hits[4][1]) == ["she", "has", "counted", "one", "hundred", "and", "five", "gulls"]


def test_one_word_changed_in_the_middle() -> None:
    overlap = Overlap([ItemText(0, QUESTION, "")], ngram=5)
    hits = overlap.hits(QUESTION.replace("more", "others"))  # word 11 of 25: n-grams from 7 to 11 are lost
    assert hits == {0: [Stretch(0, 11, 7), Stretch(12, 13, 9)]}
    assert overlap.seen_ratio(0, ngram_starts(hits[0])) == 16 / 21


def test_question_counts_alone_and_answer_does_not() -> None:
    answer = "It is a long story that nobody tells in fewer than thirty words " * 2
    overlap = Overlap([ItemText(0, QUESTION, answer), ItemText(1, QUESTION, ANSWER), ItemText(2, "Who?", ANSWER)])
    by_question, by_answer = overlap.hits(QUESTION), overlap.hits(ANSWER)
    assert overlap.seen_ratio(0, ngram_starts(by_question[0])) == 1  # 13 of 13, and 13 of 27
    assert overlap.seen_ratio(1, ngram_starts(by_answer[1])) == 1 / 14
    assert overlap.seen_ratio(2, ngram_starts(by_answer[2])) == 1  # there is nothing else to go by
    assert overlap.seen_ratio(0, set()) == 0


def test_short_items() -> None:
    eight = "which of these eight words comes the last"
    overlap = Overlap(
        [ItemText(0, eight, "last"), ItemText(1, "which of these seven words comes last", ""), ItemText(2, "", "")]
    )
    assert [item.num_ngrams for item in overlap.items.values()] == [1, 0, 0]
    assert overlap.hits(f"So: {eight}? And which of these seven words comes last?") == {0: [Stretch(0, 8, 1)]}
    assert overlap.hits("Which of these eight words comes last?") == {}


def test_nothing_to_look_for_or_in() -> None:
    assert Overlap([]).hits(QUESTION) == {}
    overlap = Overlap([ItemText(0, QUESTION, "")])
    assert overlap.hits("") == overlap.hits("gulls") == overlap.hits("?!") == {}
    assert list(overlap.scan([])) == []
    assert list(overlap.scan(["", QUESTION, "", QUESTION[:40], QUESTION])) == [
        (1, {0: [Stretch(0, 25, 13)]}),
        (4, {0: [Stretch(0, 25, 13)]}),
    ]


def test_no_ngram_goes_from_text_to_text_or_from_question_to_answer() -> None:
    overlap = Overlap([ItemText(0, "one two three", "four five six")], ngram=3)
    assert list(overlap.scan(["one two", "three", "two three four five"])) == []
    assert overlap.hits("one two three four five six") == {0: [Stretch(0, 3, 1), Stretch(3, 3, 1)]}


def test_long_text_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE_CHARACTERS", 7)
    overlap = Overlap([ItemText(0, QUESTION, "")])
    assert overlap.hits(f"x{' ' * 20}{QUESTION} {'y' * 30}\u00a0") == {0: [Stretch(0, 25, 13)]}
    assert list(module.pieces("1234567 89 1234567890 ")) == ["1234567", " 89 1234567890", " "]


def test_many_copies_cost_no_more_than_one() -> None:
    overlap = Overlap([ItemText(i, "buffalo " * 500, "") for i in range(20)])
    hits = overlap.hits("Buffalo " * 50_000)
    assert hits == {i: [Stretch(0, 500, 488)] for i in range(20)}


def test_a_hash_that_collides_is_no_hit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MULTIPLIER", np.uint64(0))  # a hash of the last word alone
    overlap = Overlap([ItemText(0, "red green blue", ""), ItemText(1, "red green", "")], ngram=3)
    assert overlap.hits("green red blue, blue blue blue, x x blue") == {}
    assert overlap.hits("red red green blue") == {0: [Stretch(0, 3, 1)]}


def test_codes_are_drawn_anew_when_items_collide(monkeypatch: pytest.MonkeyPatch) -> None:
    draw, seeds = np.random.default_rng, []

    class Draws:
        def __init__(self, seed: int) -> None:
            seeds.append(seed)
            self.is_dull = seed < 2
            self.generator = draw(seed)

        def integers(self, limit: int, size: int, dtype: type) -> np.ndarray:
            codes = self.generator.integers(limit, size=size, dtype=dtype)
            return np.zeros_like(codes) if self.is_dull else codes

    monkeypatch.setattr(np.random, "default_rng", Draws)
    overlap = Overlap([ItemText(0, "one two three four", "")], ngram=2)
    assert seeds == [0, 1, 2]
    assert overlap.hits("two three") == {0: [Stretch(1, 2, 1)]}


def test_wrong_items() -> None:
    with pytest.raises(ValueError, match="two items have the doc_id 3"):
        Overlap([ItemText(3, "a", ""), ItemText(3, "b", "")])
    with pytest.raises(ValueError, match="two words or more, not 1"):
        Overlap([], ngram=1)


def test_real_questions(shared: Path) -> None:
    """Training questions of GSM8K that share 8-grams with test questions; one of them is put there whole."""
    rows = {
        name: [json.loads(line) for line in (shared / "data" / "gsm8k" / f"{name}.jsonl").open(encoding="utf-8")]
        for name in ("train", "test")
    }
    items = [ItemText(i, row["question"], row["answer"]) for i, row in enumerate(rows["test"])]
    texts = [f"{row['question']}\n{row['answer']}" for row in rows["train"][:2500]]
    texts.append(f"Q: {items[700].question.upper()}")
    found = {index: as_tuples(hits) for index, hits in Overlap(items, ngram=8).scan(texts)}
    holders = {
        gram for item in items for part in (item.question, item.answer) for gram in ngrams(reference_words(part), 8)
    }
    holding = [i for i, text in enumerate(texts) if not holders.isdisjoint(ngrams(reference_words(text), 8))]
    assert len(holding) > 20 and list(found) == holding
    for index in (*holding[:4], len(texts) - 1):
        assert found[index] == reference_hits(items, texts[index], 8)
    assert found[len(texts) - 1][700][0][1] == len(reference_words(items[700].question))
