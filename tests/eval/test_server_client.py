"""Servers that are busy, slow, broken or hostile: tried again, counted, or one sentence; and the key goes nowhere."""

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from olmo2.base.errors import RunError, UsageError
from olmo2.eval import server_client
from olmo2.eval.server_client import (
    RequestFailed,
    ServerClient,
    ServerSettings,
    first_choice,
    logprob_of,
    text_of,
    tokens_used,
)
from tests.eval.asking import FakeServer, Handler, Seen, chat_answer, fake_server

FINE: tuple[int, Any] = (200, {"fine": True})


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No long pauses, no way through a proxy, and no key."""
    monkeypatch.setattr(server_client, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def client_of(fake: FakeServer, **settings: Any) -> ServerClient:
    return ServerClient(fake.address, "tiny", ServerSettings(**{"attempts": 3, "timeout_seconds": 5, **settings}))


def wait_for_ever(handler: Handler, seen: Seen) -> None:
    handler.fake.is_over.wait(60)


def close_at_once(handler: Handler, seen: Seen) -> None:
    handler.close_connection = True


def half_an_answer(handler: Handler, seen: Seen) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [{"text": "one')


def half_an_answer_of_unknown_length(handler: Handler, seen: Seen) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b'{"choices": [{"text": "one')


def endless(handler: Handler, seen: Seen) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not handler.fake.is_over.is_set():
        handler.wfile.write(b" " * 2**20)


def drop_by_drop(handler: Handler, seen: Seen) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not handler.fake.is_over.wait(0.02):
        handler.wfile.write(b" ")


@pytest.mark.parametrize(
    "first",
    [
        lambda handler, seen: (500, {"error": {"message": "once"}}),
        lambda handler, seen: (503, b"busy"),
        lambda handler, seen: (429, {"error": {"message": "slow down"}}),
        lambda handler, seen: (200, b"not JSON"),
        lambda handler, seen: (200, ["a", "list"]),
        lambda handler, seen: (200, b"\xff\xfe\xff"),
        close_at_once,
        half_an_answer,
        half_an_answer_of_unknown_length,
    ],
)
def test_what_fails_for_a_moment_is_tried_again(first: Callable[[Handler, Seen], Any]) -> None:
    with fake_server(lambda handler, seen: first(handler, seen) if len(handler.fake.seen) == 1 else FINE) as fake:
        assert client_of(fake).call("completions", {"a": 1}) == FINE[1]
        assert [(each.path, each.body) for each in fake.seen] == [("/v1/completions", {"a": 1})] * 2


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda handler, seen: (500, {"error": {"message": "it is\nbroken"}}), r"status 500: it is broken"),
        (lambda handler, seen: (500, b""), "status 500: Internal Server Error"),
        (lambda handler, seen: (200, b"<html>hello"), "the server's answer is not JSON: b'<html>hello'"),
        (lambda handler, seen: (200, b"[" * 100_000), "recursion"),
        (lambda handler, seen: (200, b"7"), "the server's answer is no JSON object"),
        (wait_for_ever, "timed out"),
        (drop_by_drop, "the server's answer did not end in time"),
        (endless, "the server's answer has no end"),
        (half_an_answer, "the server's answer is not JSON"),
        (close_at_once, "Remote end closed connection without response"),
    ],
)
def test_what_fails_for_ever_is_told(
    answer: Callable[[Handler, Seen], Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_client, "MOST_ANSWER_BYTES", 8 * 2**20)
    with fake_server(answer) as fake:
        begin = time.monotonic()
        with pytest.raises(RequestFailed, match=says) as failed:
            client_of(fake, timeout_seconds=0.5, attempts=2).call("completions", {})
        assert str(failed.value).endswith("(2 attempts)") and "\n" not in str(failed.value)
        assert len(fake.seen) == 2 and time.monotonic() - begin < 10


def test_a_server_that_is_not_there() -> None:
    with fake_server(lambda handler, seen: FINE) as fake:
        pass
    with pytest.raises(RequestFailed, match="Connection refused"):
        client_of(fake).call("completions", {})


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 422, 301, 307])
def test_what_is_refused_is_not_asked_again(status: int) -> None:
    with fake_server(lambda handler, seen: (status, {"error": {"message": "no, thanks"}})) as fake:
        with pytest.raises(RequestFailed, match=f"^status {status}: no, thanks$") as failed:
            client_of(fake).call("completions", {})
        assert failed.value.status == status and len(fake.seen) == 1


@pytest.mark.parametrize(("told", "least", "most"), [("1", 1, 5), ("0", 0, 4), ("soon", 0, 4), ("3600", 1.4, 5)])
def test_a_busy_server_says_when_to_come_again(told: str, least: float, most: float) -> None:
    """But no later than a request may take."""

    def busy(handler: Handler, seen: Seen) -> tuple[int, Any] | None:
        if len(handler.fake.seen) > 1:
            return FINE
        handler.send(429, {}, Retry_After=told)
        return None

    with fake_server(busy) as fake:
        begin = time.monotonic()
        assert client_of(fake, timeout_seconds=1.5).call("completions", {}) == FINE[1]
        assert least <= time.monotonic() - begin < most


def test_a_redirect_is_not_followed() -> None:
    """The key would go there, wherever that is."""
    with fake_server(lambda handler, seen: FINE) as elsewhere:

        def lead_away(handler: Handler, seen: Seen) -> None:
            handler.send(302, {}, Location=f"{elsewhere.address}/completions")

        with fake_server(lead_away) as fake, pytest.raises(RequestFailed, match="status 302: "):
            client_of(fake).call("completions", {})
        assert elsewhere.seen == []


def test_the_key_is_sent_and_never_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", " sk-very-secret\n")

    def repeat(handler: Handler, seen: Seen) -> tuple[int, Any]:
        said = f"wrong key {seen.headers['Authorization'].removeprefix('Bearer ')}"
        return [(401, {"error": {"message": said}}), (200, said.encode()), (500, said.encode())][
            len(handler.fake.seen) % 3
        ]

    with fake_server(repeat) as fake:
        client = client_of(fake, key_variable="A_KEY", attempts=1)
        for _ in range(3):
            with pytest.raises(RequestFailed, match=r"wrong key \(the key\)"):
                client.call("completions", {})
        assert {each.headers["Authorization"] for each in fake.seen} == {"Bearer sk-very-secret"}
        told: list[object] = []
        client.each(
            [0], lambda item: first_choice({"error": "sk-very-secret is wrong"}), lambda _, said: told.append(said)
        )
        assert told == ["the server says: (the key) is wrong"]
    monkeypatch.setenv("A_KEY", "sk-\x1bsecret")
    with pytest.raises(UsageError, match=r"^A_KEY holds no key: it has characters that cannot be sent$"):
        client_of(fake, key_variable="A_KEY")


def test_a_key_is_not_told_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a server says is cut, after the key is taken out of it."""
    monkeypatch.setenv("A_KEY", "sk-very-secret")
    for length in range(280, 302):
        said = {"error": {"message": "x" * length + "sk-very-secret"}}
        with fake_server(lambda handler, seen, said=said: (401, said)) as fake:  # type: ignore[misc]
            with pytest.raises(RequestFailed) as caught:
                client_of(fake, key_variable="A_KEY", attempts=1).call("models", None)
            assert "sk-" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "is_sent"),
    [
        ("https://api.example.com/v1", True),
        ("http://localhost:8000/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://10.0.0.3:8000/v1", False),
        ("http://judge.example.com/v1", False),
    ],
)
def test_a_key_that_is_not_named_stays_on_safe_ways(url: str, is_sent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    assert bool(ServerClient(url, "m", ServerSettings()).key) == is_sent
    assert ServerClient(url, "m", ServerSettings(key_variable="OPENAI_API_KEY")).key == "sk-very-secret"


def test_halves_of_characters_are_no_text() -> None:
    answer = b'{"error": {"message": "cannot read \\ud83d"}}'
    with fake_server(lambda handler, seen: (400, answer)) as fake, pytest.raises(RequestFailed) as caught:
        client_of(fake, attempts=1).call("models", None)
    assert str(caught.value).encode() == "status 400: cannot read \ufffd".encode()


def test_without_a_key_none_is_sent() -> None:
    with fake_server(lambda handler, seen: FINE) as fake:
        client_of(fake).call("models", None)
        assert "Authorization" not in fake.seen[0].headers and fake.seen[0].body is None


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8000",
        "ftp://host/v1",
        "http://",
        "http://[::1/v1",
        "http://host:port/v1",
        "http://a b/v1",
        "http://h:0/",
    ],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(UsageError, match=r"is no address of a server; give one such as http://127.0.0.1:8000/v1"):
        ServerClient(url, "tiny", ServerSettings())


@pytest.mark.parametrize("url", ["http://me:secret@host/v1", "https://secret@host/v1", "http://host/v1?key=secret"])
def test_an_address_with_a_secret_is_refused_without_telling_it(url: str) -> None:
    with pytest.raises(UsageError, match="the address of the server at host must end with its path") as refused:
        ServerClient(url, "tiny", ServerSettings())
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("listed", "context"),
    [
        ({"data": [{"id": "other", "max_model_len": 7}, {"id": "tiny", "max_model_len": 2048}]}, 2048),
        ({"data": [{"id": "tiny"}]}, None),
        ({"data": [{"id": "tiny", "max_model_len": "2048"}, 7]}, None),
        ({"data": [{"id": "tiny", "max_model_len": -1}]}, None),
        ({"data": [{"id": "other", "max_model_len": 7}]}, None),
        ({"data": {}}, None),
        ({}, None),
    ],
)
def test_the_context_that_a_server_tells(listed: Any, context: int | None) -> None:
    with fake_server(lambda handler, seen: (200, listed)) as fake:
        assert client_of(fake).context() == context


def test_a_server_that_lists_nothing_or_is_down() -> None:
    with fake_server(lambda handler, seen: (404, {})) as fake:
        assert client_of(fake).context() is None
        unnamed = ServerClient(fake.address, None, ServerSettings())
        with pytest.raises(RunError, match=r"/v1 does not say which models it has: status 404: .*; name one$"):
            _ = unnamed.model
    with pytest.raises(RunError, match=r"/v1 does not answer: .*Connection refused"):
        client_of(fake).context()
    with fake_server(lambda handler, seen: (200, {"data": [{"id": "first"}, {"id": "second"}]})) as fake:
        assert ServerClient(fake.address, None, ServerSettings()).model == "first"


def outcome(client: ServerClient, num_items: int, fails: Callable[[int], Exception | None]) -> dict[int, Any]:
    """What `each` tells of some items."""
    told: dict[int, Any] = {}

    def ask(item: int) -> int:
        error = fails(item)
        if error is not None:
            raise error
        return item * item

    client.each(range(num_items), ask, told.__setitem__)
    return told


@pytest.fixture
def unasked() -> ServerClient:
    return ServerClient("http://127.0.0.1:9/v1", "tiny", ServerSettings(concurrency=4))


def test_each_item_comes_back_once(unasked: ServerClient) -> None:
    told = outcome(unasked, 100, lambda item: RequestFailed("odd", 400) if item % 2 else None)
    assert told == {item: "odd" if item % 2 else item * item for item in range(100)}
    assert outcome(unasked, 0, lambda item: None) == {}


def test_many_failures_in_a_row_are_the_server_s(unasked: ServerClient) -> None:
    with pytest.raises(
        RunError, match=r"^http://127.0.0.1:9/v1 does not answer: it is down; repeat the command to go on$"
    ):
        outcome(unasked, 100, lambda item: RequestFailed("it is down") if item > 50 else None)
    assert len(outcome(unasked, 15, lambda item: RequestFailed("it is down"))) == 15
    refused = outcome(unasked, 100, lambda item: RequestFailed("too long", 400))
    assert set(refused.values()) == {"too long"}, "a refusal is about its request"
    assert len(outcome(unasked, 100, lambda item: RequestFailed("slow") if item % 9 else None)) == 100


def test_a_defect_is_raised_where_it_is_waited_for(unasked: ServerClient) -> None:
    with pytest.raises(ZeroDivisionError):
        outcome(unasked, 10, lambda item: ZeroDivisionError() if item == 5 else None)


def test_as_many_at_a_time_as_allowed() -> None:
    under_way, most, lock = 0, 0, threading.Lock()

    def ask(item: int) -> int:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.01)
        with lock:
            under_way -= 1
        return item

    client = ServerClient("http://127.0.0.1:9/v1", "tiny", ServerSettings(concurrency=3))
    client.each(range(20), ask, lambda number, found: None)
    assert most == 3


def test_an_interrupt_waits_for_no_answer_and_ends_what_is_under_way() -> None:
    with fake_server(lambda handler, seen: wait_for_ever(handler, seen) if seen.body["n"] else FINE) as fake:
        client = client_of(fake, concurrency=4, timeout_seconds=30)

        def interrupt(number: int, found: Any) -> None:
            raise KeyboardInterrupt

        begin = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            client.each(range(50), lambda item: client.call("completions", {"n": item}), interrupt)
        assert time.monotonic() - begin < 10
        assert all(thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())
        time.sleep(0.1)
        assert len(fake.seen) <= 5, "nothing new is asked"
        assert client.call("completions", {"n": 0}) == FINE[1], "the client can go on"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({}, "the server's answer has no choice"),
        ({"choices": []}, "no choice"),
        ({"choices": [7]}, "no choice"),
        ({"choices": "text"}, "no choice"),
        ({"choices": None}, "no choice"),
        ({"error": {"message": "out of memory"}}, "the server says: out of memory"),
    ],
)
def test_answers_without_a_choice(value: Any, says: str) -> None:
    with pytest.raises(RequestFailed, match=says):
        first_choice(value)


def test_texts_are_whole() -> None:
    assert text_of(chat_answer("fine")["choices"][0], is_chat=True) == "fine"
    assert text_of({"text": "fine", "finish_reason": "length"}, is_chat=False) == "fine"
    assert text_of({"text": "\ud83e\uddee \ud83e", "finish_reason": "stop"}, is_chat=False) == "🧮 �"
    for text in (None, 7, ["a"], {}):
        with pytest.raises(RequestFailed, match="has no text"):
            text_of(chat_answer(text)["choices"][0], is_chat=True)
    for reason in (None, "abort", "content_filter", 7, "error"):
        with pytest.raises(RequestFailed, match="the server broke its answer off: finish_reason is"):
            text_of(chat_answer(reason=reason)["choices"][0], is_chat=True)
    with pytest.raises(RequestFailed, match="has no text"):
        text_of({"message": "hello", "finish_reason": "stop"}, is_chat=True)


def test_log_probabilities_are_numbers() -> None:
    assert [logprob_of(each) for each in (-2.5, -3, 0, 1e-6, -9999.0)] == [-2.5, -3.0, 0.0, 1e-6, -9999.0]
    for value in (None, "-1", True, False, math.nan, math.inf, -math.inf, 0.5, 10**400, -(10**400), [], {}):
        with pytest.raises(RequestFailed, match="as a log-probability"):
            logprob_of(value)


def test_tokens_are_counted_if_the_server_tells_them() -> None:
    assert tokens_used({"usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}}) == (7, 2)
    for usage in (None, [], {}, {"prompt_tokens": "7", "completion_tokens": -1}, {"completion_tokens": True}):
        assert tokens_used({"usage": usage}) == (0, 0)
