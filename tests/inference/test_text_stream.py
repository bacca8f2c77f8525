"""Streamed text equals decoding all tokens at once, cut before the first stop text."""

import random

import pytest

from olmo2.inference.text_stream import TextStream, overlap
from olmo2.tokenizer.tokenizer import Tokenizer


def streamed(tokenizer: Tokenizer, ids: list[int], stop: list[str]) -> list[str]:
    stream = TextStream(tokenizer, stop)
    parts = []
    for i in ids:
        parts.append(stream.push(i))
        if stream.is_stopped:
            break
    return [*parts, stream.finish()]


def test_any_tokens_give_the_text_of_decode(tokenizer: Tokenizer) -> None:
    numbers = random.Random(0)
    for _ in range(300):
        ids = [numbers.randrange(tokenizer.vocab_size + 5) for _ in range(numbers.randrange(12))]
        assert "".join(streamed(tokenizer, ids, [])) == tokenizer.decode(ids)


def test_characters_come_whole(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("é 🙂 日本")
    parts = streamed(tokenizer, ids, [])
    assert len(ids) > 10 and "".join(parts) == "é 🙂 日本"
    assert not any("\N{REPLACEMENT CHARACTER}" in part for part in parts)


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (["cd"], "ab"),
        (["fg", "cd"], "ab"),
        (["x", "h"], "abcdefg"),
        (["defgX"], "abcdefgh"),
        (["abcdefgh"], ""),
        (["ghi"], "abcdefgh"),
    ],
)
def test_stop_texts(tokenizer: Tokenizer, stop: list[str], expected: str) -> None:
    ids = [tokenizer.encode(letter)[0] for letter in "abcdefgh"]
    parts = streamed(tokenizer, ids, stop)
    assert "".join(parts) == expected
    assert all(not part or expected.startswith("".join(parts[: n + 1])) for n, part in enumerate(parts))


def test_overlap() -> None:
    assert [overlap(text, "abab") for text in ("xaba", "xab", "xb", "", "abab")] == [3, 2, 0, 0, 2]


def test_control_tokens_have_no_text(tokenizer: Tokenizer) -> None:
    ids = [*tokenizer.encode("a"), tokenizer.eos_id, tokenizer.pad_id, *tokenizer.encode("b")]
    assert "".join(streamed(tokenizer, ids, [])) == "ab"
