"""Prompts -> completions, token by token, with a key-value cache.

Shapes   B prompts of a batch, padded on the left · T prompt tokens of the longest
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from olmo2.base.errors import UsageError
from olmo2.inference.sampling import SamplingSettings, choose_tokens
from olmo2.model.kv_cache import KVCache
from olmo2.model.transformer import Transformer


def complete(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    settings: SamplingSettings,
    *,
    stop_id: int,
    batch_prompts: int = 64,
) -> list[list[int]]:
    """Return the completion of every prompt, without the stop token; batches are made of prompts of like length."""
    completions: list[list[int]] = [[] for _ in prompts]
    by_length = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    for start in range(0, len(prompts), batch_prompts):
        indices = by_length[start : start + batch_prompts]
        rooms = [num_new_tokens(model, len(prompts[index]), settings) for index in indices]
        is_done = [False] * len(indices)
        for number, tokens in enumerate(decode(model, [prompts[index] for index in indices], settings), 1):
            for row, token in enumerate(tokens.tolist()):
                is_done[row] = is_done[row] or token == stop_id
                if not is_done[row]:
                    completions[indices[row]].append(token)
                    is_done[row] = number == rooms[row]
            if all(is_done):
                break
    return completions


def decode(model: Transformer, prompts: Sequence[Sequence[int]], settings: SamplingSettings) -> Iterator[Tensor]:
    """Yield the next token of every prompt as (B,), until max_new_tokens or the context's end; the caller stops early.

    It is the shortest prompt that reaches the context's end last: what comes beyond `num_new_tokens` of a longer one
    is not to be used. Raises UsageError for an empty prompt or one that leaves no room in the context.
    """
    lengths, context = list(map(len, prompts)), model.config.max_position_embeddings
    longest, shortest = max(lengths), min(lengths)
    if shortest == 0:
        raise UsageError("a prompt is empty; give at least one token")
    if longest >= context:
        raise UsageError(f"a prompt of {longest} tokens does not fit the model's context of {context}; shorten it")
    device = model.device
    capacity = longest + num_new_tokens(model, shortest, settings) - 1  # the last token is never read
    dtype = model.model.compute_dtype or model.lm_head.weight.dtype
    cache = KVCache(model.config, len(prompts), capacity, dtype=dtype, device=device)
    generator = torch.Generator().manual_seed(settings.seed)

    input_ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    document_ids = torch.full((len(prompts), longest), -1, dtype=torch.int32)
    for row, prompt in enumerate(prompts):
        input_ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        document_ids[row, longest - len(prompt) :] = 0
    input_ids, document_ids = input_ids.to(device), document_ids.to(device)
    while True:
        with torch.inference_mode():
            logits = model(input_ids, document_ids=document_ids, head=last_logits, cache=cache)
            tokens = choose_tokens(logits, settings, generator)
        yield tokens
        if cache.length >= capacity:
            return
        input_ids, document_ids = tokens[:, None], torch.zeros_like(tokens[:, None])


def num_new_tokens(model: Transformer, prompt_tokens: int, settings: SamplingSettings) -> int:
    """Return how many tokens can follow a prompt: as many as asked for, and one more than the context can read."""
    return min(settings.max_new_tokens, model.config.max_position_embeddings - prompt_tokens + 1)


def last_logits(hidden: Tensor, lm_head_weight: Tensor) -> Tensor:
    """Return logits (B, V) of the last position only."""
    return hidden[:, -1] @ lm_head_weight.to(hidden.dtype).T
