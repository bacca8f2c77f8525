import json
from itertools import pairwise
from pathlib import Path

import pytest
from tokenizers import Tokenizer as Backend

from olmo2.base.errors import UsageError
from olmo2.tokenizer.byte_pair import pre_tokenizer, train_byte_pair
from olmo2.tokenizer.special_tokens import DOLMA2_ADDED_TOKENS
from olmo2.tokenizer.tokenizer import Tokenizer


def description(tokenizer: Tokenizer, folder: Path) -> dict:
    tokenizer.save(folder)
    return json.loads((folder / "tokenizer.json").read_text())


def test_words_are_cut_as_dolma2_cuts_them(dolma2: Tokenizer, tmp_path: Path, strings: list[str]) -> None:
    dolma2.save(tmp_path)
    published = Backend.from_file(str(tmp_path / "tokenizer.json")).pre_tokenizer
    ours = pre_tokenizer()
    for text in strings:
        assert ours.pre_tokenize_str(text) == published.pre_tokenize_str(text)


def test_known_cuts() -> None:
    def cut(text: str) -> list[str]:
        return [text[start:end] for _, (start, end) in pre_tokenizer().pre_tokenize_str(text)]

    assert cut("12345678") == ["123", "456", "78"]
    assert cut("We'LL  pay\n\n $5!!\n") == ["We", "'LL", " ", " pay", "\n\n", " $", "5", "!!\n"]


def test_file_is_built_like_dolma2s(dolma2: Tokenizer, trained: Tokenizer, tmp_path: Path) -> None:
    published, ours = description(dolma2, tmp_path / "a"), description(trained, tmp_path / "b")
    for part in ("normalizer", "post_processor", "truncation", "padding"):
        assert ours[part] is published[part] is None
    assert ours["pre_tokenizer"]["pretokenizers"][0] == published["pre_tokenizer"]["pretokenizers"][0]
    assert ours["decoder"]["type"] == published["decoder"]["type"] == "ByteLevel"
    assert ours["model"]["type"] == published["model"]["type"] == "BPE"

    def shape(added: list[dict], vocab_size: int) -> list[dict]:
        return [{**token, "id": token["id"] - vocab_size} for token in added]

    assert shape(ours["added_tokens"], 300) == shape(published["added_tokens"], 100_278)
    bytes_first = sorted(published["model"]["vocab"], key=published["model"]["vocab"].__getitem__)[:256]
    assert sorted(ours["model"]["vocab"], key=ours["model"]["vocab"].__getitem__)[:256] == bytes_first


def test_vocabulary_counts_everything(trained: Tokenizer) -> None:
    assert trained.vocab_size == 300
    assert trained.pad_id == 299
    assert trained.eos_id == 300 - len(DOLMA2_ADDED_TOKENS) + 1
    assert len(trained.encode(" the cat sat")) == 3


def test_every_byte_can_be_encoded() -> None:
    smallest = train_byte_pair(["anything"], 278)
    text = "".join(map(chr, range(0x250))) + "日🙂"
    assert len(smallest.encode(text)) == len(text.encode())
    assert smallest.decode(smallest.encode(text)) == text


def test_training_twice_gives_the_same_file() -> None:
    texts = [f"{i * i} squares and {i * 7 % 13} sevens, word{i % 17} again\n" for i in range(500)]
    first = train_byte_pair(texts, 500)
    assert first.fingerprint == train_byte_pair(iter(texts), 500).fingerprint
    assert first.fingerprint != train_byte_pair(texts, 499).fingerprint


def test_merges_are_those_of_a_slow_reference() -> None:
    text = "low lower lowest newer newest wider widest low low"
    words = [list(word) for word in (text[:3], *(" " + word for word in text.split(" ")[1:]))]
    merges = []
    while len(merges) < 8:
        counts: dict[tuple[str, str], int] = {}
        for word in words:
            for pair in pairwise(word):
                counts[pair] = counts.get(pair, 0) + 1
        best = max(counts.values())
        assert best > 1
        merges.append({pair for pair, count in counts.items() if count == best})
        learned = train_byte_pair([text], 278 + len(merges)).decode([255 + len(merges)])
        pair = next(pair for pair in merges[-1] if "".join(pair) == learned)  # one of the most frequent pairs
        for word in words:
            for i in reversed(range(len(word) - 1)):
                if i < len(word) - 1 and (word[i], word[i + 1]) == pair:
                    word[i : i + 2] = [learned]


@pytest.mark.parametrize("vocab_size", [0, 256, 277])
def test_vocabulary_too_small(vocab_size: int) -> None:
    with pytest.raises(UsageError, match=f"vocab_size is {vocab_size}.*at least 278"):
        train_byte_pair(["text"], vocab_size)


def test_text_too_small_names_the_largest_vocabulary() -> None:
    with pytest.raises(UsageError, match="at most 280"):
        train_byte_pair(["abc abc"], 1000)
    assert train_byte_pair(["abc abc"], 280).vocab_size == 280
