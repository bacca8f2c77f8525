"""Figures of a server for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from olmo2.inference.engine_worker import EngineWorker
from olmo2.inference.pages import PAGE_TOKENS
from olmo2.inference.request import Completion

SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)


class ServerMetrics:
    """Counts what the server does; `text` is what /metrics returns."""

    def __init__(self, worker: EngineWorker) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # which double the figures
        engine, registry = worker.engine, CollectorRegistry()
        self.registry = registry
        self.requests = Counter("olmo2_requests", "Requests by path and status", ["path", "status"], registry=registry)
        self.tokens = Counter(
            "olmo2_tokens", "Tokens: of prompts, of those reused, written", ["kind"], registry=registry
        )
        self.first = Histogram(
            "olmo2_first_token_seconds", "From a request to its first token", buckets=SECONDS, registry=registry
        )
        self.whole = Histogram(
            "olmo2_request_seconds", "From a request to its whole answer", buckets=SECONDS, registry=registry
        )
        gauges = {
            "olmo2_requests_open": ("Answers under way or waiting", lambda: worker.num_open),
            "olmo2_sequences_running": ("Answers that the engine works on", lambda: len(engine.scheduler.running)),
            "olmo2_sequences_waiting": ("Answers that wait for room", lambda: len(engine.scheduler.waiting)),
            "olmo2_cache_tokens": ("Tokens that have room in the cache", lambda: engine.pool.num_pages * PAGE_TOKENS),
            "olmo2_cache_tokens_free": ("Of these, not in use", lambda: engine.pool.num_available * PAGE_TOKENS),
        }
        for name, (help, value) in gauges.items():
            Gauge(name, help, registry=registry).set_function(value)

    def note_request(self, path: str, status: int) -> None:
        """Count an answer of the server, error or not."""
        self.requests.labels(path, status).inc()

    def note(self, completion: Completion, prompt_tokens: int) -> None:
        """Count the tokens of an answer."""
        self.tokens.labels("prompt").inc(prompt_tokens)
        self.tokens.labels("reused").inc(completion.num_cached)
        self.tokens.labels("written").inc(len(completion.token_ids))

    def text(self) -> bytes:
        """Return all figures as Prometheus reads them."""
        return generate_latest(self.registry)
