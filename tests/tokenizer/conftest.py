"""What the tests of the tokenizer share: the real dolma2 tokenizer, a small trained one, and awkward strings."""

import random
from pathlib import Path

import pytest

from olmo2.tokenizer.byte_pair import train_byte_pair
from olmo2.tokenizer.tokenizer import Tokenizer, load_tokenizer

DOLMA2 = Path(__file__).parents[2].parent / "shared" / "data" / "tokenizer" / "tokenizer.json"
WORDS = [
    *(
        "the",
        "The",
        "THEY'RE",
        "don't",
        "I'd",
        "we'Ve",
        "'s",
        "naïve",
        "Ünïcødé",
        "日本語のテキスト",
        "кириллица",
        "हिन्दी",
        "ไทย",
    ),
    *("🙂", "👩‍👩‍👧‍👦", "🇩🇪", "e\u0301", "ſ", "K", "x²", "1", "12", "1234567", "٣٤٥", "½", "Ⅷ", "1.0e-5;"),
    *("<|endoftext|>", "<|pad|>", "<|im_start|>", "<|extra_id_0|>", "<|extra_id_10|>", "|||PHONE_NUMBER|||"),
    *("<|endoftext", "<|", "|>", "endoftext|>", "||", "<|endoftext|><|endoftext|>", "|||", "<|<|pad|>"),
    *(
        "def f(x):",
        "return x==1",
        "// /* */",
        "#!?",
        "...",
        "---",
        "\x00",
        "\x7f",
        "\ufeff",
        "\u200b",
        "\ufffd",
        "\U000f0000",
    ),
]
GAPS = ["", "", " ", " ", "  ", "    ", "\t", "\n", "\n\n", "\r\n", " \n ", "\n\t\t", "\u00a0", "\u2003"]


@pytest.fixture(scope="session")
def strings() -> list[str]:
    """Awkward strings: every piece alone and two thousand random sequences of them."""
    draw = random.Random(0)
    mixed = ["".join(draw.choice(WORDS) + draw.choice(GAPS) for _ in range(draw.randint(1, 12))) for _ in range(2000)]
    return ["", *WORDS, *GAPS, *mixed]


@pytest.fixture(scope="session")
def dolma2() -> Tokenizer:
    """The tokenizer of OLMo 2."""
    if not DOLMA2.is_file():
        pytest.skip(f"the dolma2 tokenizer is not at {DOLMA2}")
    return load_tokenizer(DOLMA2)


@pytest.fixture(scope="session")
def trained() -> Tokenizer:
    """A tokenizer of 300 tokens, trained on two sentences."""
    return train_byte_pair(["the cat sat on the mat, and the hat sat on the cat. " * 20, "12 + 34 = 46\n" * 20], 300)
