"""The added tokens are dolma2's, in its order and with its marks."""

import json
from pathlib import Path

from olmo2.tokenizer.special_tokens import DOLMA2_ADDED_TOKENS, END_OF_TEXT, PADDING


def test_equal_to_the_real_tokenizer(shared: Path) -> None:
    data = json.loads((shared / "data" / "tokenizer" / "tokenizer.json").read_text())
    published = [(token["content"], token["special"]) for token in data["added_tokens"]]
    assert [(token.text, token.is_special) for token in DOLMA2_ADDED_TOKENS] == published


def test_end_and_padding_are_among_them() -> None:
    special = {token.text for token in DOLMA2_ADDED_TOKENS if token.is_special}
    assert (END_OF_TEXT, PADDING) == ("<|endoftext|>", "<|pad|>")
    assert {END_OF_TEXT, PADDING, "<|im_start|>", "<|im_end|>", "<|endofprompt|>"} <= special
    assert len(DOLMA2_ADDED_TOKENS) == 22
