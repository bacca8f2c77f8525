"""A new byte-level BPE vocabulary with dolma2's way of cutting text and dolma2's added tokens.

The ids are: the 256 bytes, the merges in the order they were learned, then the added tokens.
"""

from collections.abc import Iterable

import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers

from olmo2.base.errors import UsageError
from olmo2.tokenizer.special_tokens import DOLMA2_ADDED_TOKENS
from olmo2.tokenizer.tokenizer import Tokenizer

NUM_BYTES = 256
SMALLEST_VOCAB_SIZE = NUM_BYTES + len(DOLMA2_ADDED_TOKENS)
SHAPES_OF_WORDS = (  # tried in this order at each place in the text
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|"  # the ends of English contractions
    r"[^\r\n\p{L}\p{N}]?\p{L}+|"  # letters, with the space or sign before them
    r"\p{N}{1,3}|"  # digits by threes, from the left
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|"  # punctuation, with the line ends after it
    r"\s*[\r\n]+|"  # blank lines
    r"\s+(?!\S)|"  # spaces, but for the one that belongs to the next word
    r"\s+"
)


def pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    """Return dolma2's rule for cutting text into words, no token ever spanning two, and words into bytes."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SHAPES_OF_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def train_byte_pair(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Learn a vocabulary of exactly `vocab_size` tokens, the added ones included; equal texts give equal files.

    Raises UsageError if `vocab_size` has no room for the bytes and the added tokens, or if the texts do not repeat
    themselves enough to fill it.
    """
    if vocab_size < SMALLEST_VOCAB_SIZE:
        raise UsageError(
            f"vocab_size is {vocab_size}, but {NUM_BYTES} bytes and {len(DOLMA2_ADDED_TOKENS)} added tokens "
            f"need at least {SMALLEST_VOCAB_SIZE}"
        )
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizer()
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(DOLMA2_ADDED_TOKENS),
        min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    for token in DOLMA2_ADDED_TOKENS:  # one at a time: the library would reorder a mixed list
        added = tokenizers.AddedToken(token.text, special=token.is_special, normalized=False)
        if token.is_special:
            backend.add_special_tokens([added])
        else:
            backend.add_tokens([added])
    learned = backend.get_vocab_size(with_added_tokens=True)
    if learned < vocab_size:
        raise UsageError(
            f"vocab_size is {vocab_size}, but the documents hold only enough repeated text for {learned}: "
            f"give more documents or set vocab_size to at most {learned}"
        )
    return Tokenizer(backend.to_str(pretty=True))
