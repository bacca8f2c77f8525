"""Windows against those of lm-evaluation-harness, and log-likelihoods against one pass of torch over each window."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from olmo2.eval.rolling import Window, document_nats, rolling_windows
from olmo2.inference.engine import Engine, EngineSettings
from olmo2.model.transformer import Transformer
from olmo2.tokenizer.tokenizer import Tokenizer


def test_windows_by_hand() -> None:
    windows = list(rolling_windows(10, window_tokens=4, overlap_tokens=2))
    assert windows == [Window(0, 1, 4), Window(2, 4, 6), Window(4, 6, 8), Window(6, 8, 10)]
    assert list(rolling_windows(6, window_tokens=4)) == [Window(0, 1, 4), Window(2, 4, 6)]  # the last reaches back
    assert list(rolling_windows(1, window_tokens=4)) == []


@given(st.integers(0, 200), st.integers(2, 40), st.data())
def test_windows_are_those_of_lm_eval(num_tokens: int, window_tokens: int, data: st.DataObject) -> None:
    reference = pytest.importorskip("lm_eval.utils")
    overlap_tokens = data.draw(st.integers(1, window_tokens - 1))
    ids, prefix = list(range(num_tokens)), -1
    expected = [
        (context + continuation[-1:], len(continuation))
        for context, continuation in reference.get_rolling_token_windows(ids, prefix, window_tokens - 1, overlap_tokens)
    ]
    whole = [prefix, *ids]
    windows = list(rolling_windows(len(whole), window_tokens=window_tokens, overlap_tokens=overlap_tokens))
    assert [(whole[each.begin : each.end], each.end - each.score_from) for each in windows] == expected


@pytest.mark.parametrize(("window_tokens", "overlap_tokens"), [(16, 1), (16, 15), (128, 1)])
@torch.no_grad()
def test_likelihoods_of_documents(
    tiny_model: Transformer, tokenizer: Tokenizer, window_tokens: int, overlap_tokens: int
) -> None:
    sizes, generator = (0, 1, 15, 16, 33, 100), torch.Generator().manual_seed(0)
    documents = [torch.randint(0, 380, (size,), generator=generator) for size in sizes]
    told: list[int] = []
    found = document_nats(
        Engine(tiny_model, tokenizer, EngineSettings(max_sequences=4, step_tokens=16)),
        [document.numpy().astype(np.uint32) for document in documents],
        window_tokens=window_tokens,
        overlap_tokens=overlap_tokens,
        on_tokens=told.append,
    )
    for document, nats in zip(documents, found, strict=True):
        whole = torch.cat([torch.tensor([tokenizer.eos_id]), document])
        expected = 0.0
        for place in range(1, len(whole)):  # one forward for each token, from where its window begins
            end = window_tokens
            while end <= place:
                end += window_tokens - overlap_tokens
            begin = max(0, min(end, len(whole)) - window_tokens)
            logits = tiny_model(whole[None, begin:place])[0, -1]
            expected -= logits.log_softmax(-1)[whole[place]].item()
        assert nats == pytest.approx(expected, rel=1e-4)
    assert sum(told) == sum(sizes)
