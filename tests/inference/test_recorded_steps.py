"""Recorded steps give what steps without a recording give.

The graph and its kernels need a GPU (test_gpu_forward.py compares those with the model); here the model's own forward
stands in their place.
"""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from olmo2.inference.engine import Engine, EngineSettings
from olmo2.inference.paged_cache import PagedCache, Slice, StepCache
from olmo2.inference.recorded_steps import Forward, RecordedSteps, Replay, power_of_two, recorded_steps
from olmo2.inference.request import Request
from olmo2.inference.sampling import SamplingSettings
from olmo2.model.transformer import Transformer
from olmo2.tokenizer.tokenizer import Tokenizer


def record(forward: Callable[[], Tensor]) -> Replay:
    """As a graph does: run once while recording, and write every result to the same place."""
    result = forward()
    return lambda: result.copy_(forward())


def plain_forward(model: Transformer, cache: PagedCache) -> Forward:
    def forward(ids: Tensor, places: Tensor, pages: Tensor) -> Tensor:
        slices = [Slice(own, place, 1) for own, place in zip(pages.tolist(), places.tolist(), strict=True)]
        return model(ids[None], cache=StepCache(cache, slices))[0].float()

    return forward


def caches(model: Transformer) -> tuple[PagedCache, PagedCache]:
    first, second = (PagedCache(model.config, 12, dtype=model.dtype, device=model.device) for _ in range(2))
    first.keys[:], first.values[:] = torch.randn_like(first.keys), torch.randn_like(first.values)
    second.keys[:], second.values[:] = first.keys, first.values
    return first, second


@torch.inference_mode()
@pytest.mark.parametrize("starts", [[0], [15, 16], [3, 40, 31], [47, 0, 1, 2, 3]])
def test_a_recorded_step_equals_another(tiny_model: Transformer, starts: list[int]) -> None:
    ours, theirs = caches(tiny_model)
    recorded = RecordedSteps(plain_forward(tiny_model, ours), ours, record)
    for shift in range(2):  # the second time, what was recorded is used
        slices = [Slice([2 * row, 2 * row + 1, row + 5], start - shift, 1) for row, start in enumerate(starts) if start]
        slices = slices or [Slice([4], 0, 1)]
        ids = [7 + row for row in range(len(slices))]
        found = recorded.logits(ids, slices)
        expected = tiny_model(torch.tensor([ids]), cache=StepCache(theirs, slices))[0]
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours.keys[:, :-1], theirs.keys[:, :-1])
    assert len(recorded.recordings) <= 2


def test_the_engine_answers_alike_with_recordings(tiny_model: Transformer, tokenizer: Tokenizer) -> None:
    prompts = [[1, 2, 3], list(range(1, 40)), [9] * 17]
    requests = [
        Request(prompt, SamplingSettings(max_new_tokens=number, ignore_end=True), logprobs=True)
        for prompt, number in zip(prompts, (40, 12, 25), strict=True)
    ]
    plain, recording = (Engine(tiny_model, tokenizer, EngineSettings(cache_tokens=256)) for _ in range(2))
    plain.compiled = recording.compiled = None
    recording.recorded = RecordedSteps(plain_forward(tiny_model, recording.cache), recording.cache, record)
    for ours, theirs in zip(recording.run(requests), plain.run(requests), strict=True):
        assert ours.token_ids == theirs.token_ids
        torch.testing.assert_close(torch.tensor(ours.logprobs), torch.tensor(theirs.logprobs), rtol=0, atol=1e-5)
    shapes = recording.recorded.recordings
    assert (1, 4) in shapes and (4, 4) in shapes and all(rows <= 4 for rows, _ in shapes)


@pytest.mark.parametrize(("number", "power"), [(1, 1), (2, 2), (3, 4), (64, 64), (65, 128)])
def test_powers(number: int, power: int) -> None:
    assert power_of_two(number) == power


def test_only_gpus_record(tiny_model: Transformer) -> None:
    assert recorded_steps(tiny_model, caches(tiny_model)[0]) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="a graph needs a GPU")
def test_a_graph_on_a_gpu(tiny_model: Transformer, tokenizer: Tokenizer) -> None:
    prompts = [[1, 2, place] for place in range(5)] + [list(range(1, 60))]
    requests = [
        Request(prompt, SamplingSettings(max_new_tokens=20 + len(prompt), ignore_end=True), logprobs=True)
        for prompt in prompts
    ]
    expected = Engine(tiny_model, tokenizer).run(requests)
    engine = Engine(copy.deepcopy(tiny_model).to("cuda"), tokenizer, EngineSettings(cache_tokens=1024))
    for _ in range(2):  # the second time, what was recorded is used
        for ours, theirs in zip(engine.run(requests), expected, strict=True):
            assert ours.token_ids == theirs.token_ids
            torch.testing.assert_close(torch.tensor(ours.logprobs), torch.tensor(theirs.logprobs), rtol=0, atol=1e-4)
    assert engine.recorded is not None and len(engine.recorded.recordings) > 2
