"""Figures as Prometheus reads them."""

import pytest

from olmo2.inference.engine import Engine
from olmo2.inference.engine_worker import EngineWorker
from olmo2.inference.request import Completion
from olmo2.model.transformer import Transformer
from olmo2.tokenizer.tokenizer import Tokenizer


def test_figures(tiny_model: Transformer, tokenizer: Tokenizer) -> None:
    pytest.importorskip("prometheus_client", reason="figures need the extra serve")
    from prometheus_client.parser import text_string_to_metric_families

    from olmo2.inference.server_metrics import ServerMetrics

    worker = EngineWorker(Engine(tiny_model, tokenizer), most_requests=3)
    metrics = ServerMetrics(worker)
    metrics.note(Completion([1, 2], "", "stop", num_cached=16), 20)
    metrics.note_request("/v1/completions", 429)
    metrics.first.observe(0.02)
    worker.num_open = 2
    found = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }
    assert found["olmo2_tokens_total", (("kind", "prompt"),)] == 20
    assert found["olmo2_tokens_total", (("kind", "reused"),)] == 16
    assert found["olmo2_tokens_total", (("kind", "written"),)] == 2
    assert found["olmo2_requests_total", (("path", "/v1/completions"), ("status", "429"))] == 1
    assert found["olmo2_requests_open", ()] == 2
    assert found["olmo2_first_token_seconds_bucket", (("le", "0.03"),)] == 1
    assert found["olmo2_cache_tokens", ()] == found["olmo2_cache_tokens_free", ()] > 0
