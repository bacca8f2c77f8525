"""Rewards in batches, against transformers one conversation at a time."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from olmo2.base.errors import UsageError
from olmo2.checkpoint.folder import load_model
from olmo2.inference.reward_scoring import batches_by_length, reward_of, reward_of_tokens
from olmo2.tokenizer.tokenizer import Tokenizer

LENGTHS = (5, 128, 1, 40, 7, 129, 5)  # the model's context is 128


def random_conversations() -> list[list[int]]:
    """Token ids of those lengths."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(1, 370, (length,), generator=generator).tolist() for length in LENGTHS]


@torch.no_grad()
def slow_rewards(folder: Path, conversations: Sequence[Sequence[int]]) -> list[float]:
    """The scores of transformers at the last token, whatever it is."""
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    states = [model.model(torch.tensor([list(ids)])).last_hidden_state for ids in conversations]
    return [model.score(each)[0, -1, 0].item() for each in states]


@pytest.mark.parametrize("batch_tokens", [1, 64, 10_000])
def test_rewards_equal_transformers_however_they_are_batched(reward_folder: Path, batch_tokens: int) -> None:
    model, _ = load_model(reward_folder, head="reward")
    conversations = random_conversations()
    ticks: list[int] = []
    rewards = reward_of_tokens(model, conversations, batch_tokens=batch_tokens, tick=ticks.append)
    assert rewards[5] is None, "longer than the context"
    del rewards[5], conversations[5]
    assert rewards == pytest.approx(slow_rewards(reward_folder, conversations), rel=1e-4, abs=1e-5)
    assert sum(ticks) == sum(LENGTHS) - 129


def test_batches_are_of_similar_length_and_within_bounds() -> None:
    conversations = random_conversations()
    batches = list(batches_by_length(conversations, context=128, batch_tokens=80))
    assert batches == [[1], [3, 4], [0, 6, 2]]
    assert list(batches_by_length([[1] * 5], context=4, batch_tokens=80)) == []


def test_a_conversation_is_laid_out_by_the_chat_template(reward_folder: Path) -> None:
    model, tokenizer = load_model(reward_folder, head="reward")
    question = {"role": "user", "content": "What is 12 + 30?"}
    answered = [question, {"role": "assistant", "content": "42"}]
    texts = [
        "<|endoftext|><|user|>\nWhat is 12 + 30?\n",  # not answered: its last token is the newline
        "<|endoftext|><|user|>\nWhat is 12 + 30?\n<|assistant|>\n42<|endoftext|>",
    ]
    ids = [tokenizer.encode(text, allow_special=True) for text in texts]
    assert ids[1][-1] == tokenizer.eos_id
    expected = slow_rewards(reward_folder, ids)
    assert reward_of(model, tokenizer, [[question], answered]) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_what_is_no_conversation_is_refused(reward_folder: Path, tokenizer: Tokenizer) -> None:
    model, _ = load_model(reward_folder, head="reward")
    with pytest.raises(UsageError, match=r"messages\[0\]: the role must be system, user or assistant, not 'judge'"):
        reward_of(model, tokenizer, [[{"role": "judge", "content": "a"}]])
    assert reward_of(model, tokenizer, []) == []
