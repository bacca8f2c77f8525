"""What the gate lets through, without a network: messages of ASGI by hand."""

import asyncio
import json
from typing import Any

import pytest

from olmo2.inference.http_limits import Gate, host_name
from olmo2.inference.openai_requests import Limits


def call(
    parts: list[bytes], *, headers: dict[str, str] | None = None, seconds: float = 0, path: str = "/v1/x", **gate: Any
) -> tuple[int, bytes, list[tuple[str, int]]]:
    """Send a body in parts, each after a pause; return status, body and what was counted."""
    counted: list[tuple[str, int]] = []
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"read " + message["body"]})

    async def receive() -> Any:
        await asyncio.sleep(seconds)
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message: Any) -> None:
        sent.append(message)

    limits = Limits(body_bytes=1024, body_seconds=0.2)
    settings: dict[str, Any] = {"api_key": None, "hosts": None} | gate
    own = Gate(app, limits=limits, count=lambda *each: counted.append(each), **settings)
    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    asyncio.run(own({"type": "http", "path": path, "headers": raw}, receive, send))
    return sent[0]["status"], b"".join(each.get("body", b"") for each in sent[1:]), counted


def message(body: bytes) -> str:
    return str(json.loads(body)["error"]["message"])


def test_a_body_in_parts() -> None:
    assert call([b"a", b"b", b""]) == (200, b"read ab", [("other", 200)])


def test_bodies_that_are_too_long_said_and_unsaid() -> None:
    for parts, headers in (([b"x" * 600, b"x" * 600], {}), ([b""], {"content-length": "5000"})):
        status, body, counted = call(parts, headers=headers)
        assert status == 413 and "longer than the 1024 bytes" in message(body) and counted == [("other", 413)]


def test_a_length_that_is_none() -> None:
    status, body, _ = call([b""], headers={"content-length": "-5"})
    assert status == 400 and "content-length is '-5'" in message(body)


def test_a_body_that_does_not_come() -> None:
    status, body, _ = call([b"a", b"b"], seconds=0.15)
    assert status == 408 and "did not come within 0.2 s" in message(body)


@pytest.mark.parametrize(
    ("path", "header", "status"),
    [
        ("/v1/models", None, 401),
        ("/metrics", None, 401),
        ("/v1/models", "Bearer key", 200),
        ("/v1/models", "bearer  key", 200),
        ("/v1/models", "key", 401),
        ("/v1/models", "Basic key", 401),
        ("/v1/models", "Bearer kex", 401),
        ("/v1/models", "Bearer k\xe9y", 401),
        ("/", None, 200),
        ("/page/chat.js", None, 200),
        ("/health", None, 200),
    ],
)
def test_keys(path: str, header: str | None, status: int) -> None:
    assert call([b""], headers={"authorization": header} if header else {}, path=path, api_key="key")[0] == status


@pytest.mark.parametrize(
    ("host", "name"),
    [(b"localhost:80", "localhost"), (b"LOCALHOST", "localhost"), (b"[::1]:80", "::1"), (b"::1", "::1"), (b"", "")],
)
def test_names_of_hosts(host: bytes, name: str) -> None:
    assert host_name(host) == name


def test_other_hosts_are_refused() -> None:
    status, body, _ = call([b""], headers={"host": "evil.example"}, hosts=("localhost",))
    assert status == 403 and "not called by that name" in message(body)
