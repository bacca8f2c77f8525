"""The cache hands back everything that was put in, layer by layer."""

import torch

from olmo2.model.kv_cache import KVCache
from tests.model.reference import small_config


def empty_cache(capacity: int = 7) -> KVCache:
    return KVCache(small_config(), 3, capacity, dtype=torch.bfloat16, device=torch.device("cpu"))


def chunk(num_tokens: int) -> torch.Tensor:
    return torch.randn(3, 2, num_tokens, 8).bfloat16()  # (B, K, T, D)


def test_returns_what_it_holds_and_what_is_new() -> None:
    cache, chunks = empty_cache(), [chunk(2) for _ in range(12)]
    for step in range(3):  # each step: keys and values of two layers
        for layer in range(2):
            keys, values = cache.append(layer, chunks[4 * step + 2 * layer], chunks[4 * step + 2 * layer + 1])
            assert torch.equal(keys, torch.cat(chunks[2 * layer : 4 * step + 4 : 4], dim=2))
            assert torch.equal(values, torch.cat(chunks[2 * layer + 1 : 4 * step + 4 : 4], dim=2))
        cache.length += 2
    assert cache.length == 6


def test_starts_empty_with_padding_everywhere() -> None:
    cache = empty_cache()
    assert cache.length == 0
    assert cache.capacity == 7
    assert torch.equal(cache.document_ids, torch.full((3, 7), -1, dtype=torch.int32))
    assert cache.keys.dtype == cache.values.dtype == torch.bfloat16


def test_a_smaller_head_count_makes_a_smaller_cache() -> None:
    assert empty_cache().keys.shape == (2, 3, 2, 7, 8)  # two of four heads
