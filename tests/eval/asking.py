"""What the tests of asking share: a model folder, tasks of a few items, and a server that does as it is told."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch

from olmo2.base.files import atomic_folder
from olmo2.checkpoint.folder import write_model_folder
from olmo2.eval.loading import LoadedTask
from olmo2.eval.sources import Source
from olmo2.eval.task import AnyItem, Likelihood, Option, Prompt, Ranked, Task, Written
from olmo2.model.init import initialise
from olmo2.model.sizes import ModelConfig
from olmo2.model.transformer import Transformer
from olmo2.tokenizer.tokenizer import Tokenizer
from tests.conftest import TINY

ROOMY = replace(TINY, max_position_embeddings=512)


def write_model(path: Path, tokenizer: Tokenizer, config: ModelConfig = ROOMY, *, seed: int = 0) -> Path:
    """Write a model folder whose likeliest token is far from the second: no rounding changes what it writes."""
    model = Transformer(config)
    initialise(model, seed)
    weights = model.state_dict()
    weights["lm_head.weight"] = weights["lm_head.weight"] * 20
    with atomic_folder(path) as partial:
        write_model_folder(partial, weights, config, tokenizer, dtype=torch.float32)
    return path


def contains(response: str) -> dict[str, float]:
    """Grade an answer by something that differs from answer to answer."""
    return {"score": len(response) % 7 / 7}


def likelier(likelihoods: Sequence[Likelihood]) -> dict[str, float]:
    """Grade options: whether the first is the likelier one."""
    return {"score": float(likelihoods[0].logprob > likelihoods[-1].logprob)}


def written(doc_id: int, prompt: Prompt) -> Written:
    """An item to be answered in writing."""
    return Written(doc_id, prompt.text, "", prompt, contains)


def ranked(doc_id: int, prompt: Prompt, continuations: Sequence[str]) -> Ranked:
    """An item whose continuations are measured."""
    return Ranked(doc_id, prompt.text, "", tuple(Option(prompt, each) for each in continuations), likelier)


def task_of(
    items: Sequence[AnyItem], *, name: str = "made:up", max_new_tokens: int = 8, stop: tuple[str, ...] = ()
) -> Task:
    """A task of some items."""
    return Task(name, 1, "", lambda source: items, "score", len(items), max_new_tokens=max_new_tokens, stop=stop)


def loaded(task: Task) -> LoadedTask:
    """A task as it comes from its data."""
    return LoadedTask(task, Source(), list(task.load(Source())))


@dataclass
class Seen:
    """What a server was sent."""

    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class FakeServer:
    """A server, what it was sent, and how it answers: with a status and a body, or in its own way."""

    address: str
    answer: Callable[["Handler", Seen], tuple[int, Any] | None]
    seen: list[Seen] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)  # for answers that wait


class Handler(BaseHTTPRequestHandler):
    """Hands every request to the server's `answer`."""

    fake: FakeServer

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        seen = Seen(self.path, dict(self.headers), json.loads(self.rfile.read(length) or b"null"))
        self.fake.seen.append(seen)
        told = self.fake.answer(self, seen)
        if told is not None:
            self.send(*told)

    do_GET = do_POST

    def send(self, status: int, body: Any, **headers: str) -> None:
        """Answer with JSON, or with bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Be quiet."""


class QuietServer(ThreadingHTTPServer):
    """Does not report clients that go away."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Be quiet."""


@contextmanager
def fake_server(answer: Callable[[Handler, Seen], tuple[int, Any] | None]) -> Iterator[FakeServer]:
    """Run a server in a thread; its address goes as far as /v1."""
    handler = type("OneHandler", (Handler,), {})
    server = QuietServer(("127.0.0.1", 0), handler)
    fake = FakeServer(f"http://127.0.0.1:{server.server_address[1]}/v1", answer)
    handler.fake = fake  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        fake.is_over.set()
        server.shutdown()
        server.server_close()


def chat_answer(text: Any = "7", *, reason: Any = "stop", **choice: Any) -> dict[str, Any]:
    """What /v1/chat/completions answers."""
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "message": message, "finish_reason": reason, **choice}]}
