"""Which errors are tried again, and what is said of the others."""

import pytest

from olmo2.base import retry
from olmo2.base.errors import RunError, UsageError
from olmo2.base.retry import RemoteNotFound, is_transient, patiently, protocol_of, status_of


class HttpError(OSError):
    """An error that carries a status as those of aiohttp do."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made."""
    made: list[float] = []
    monkeypatch.setattr(retry.time, "sleep", made.append)
    return made


def failing(*errors: Exception) -> tuple[list[int], object]:
    calls: list[int] = []

    def call() -> str:
        calls.append(1)
        if len(calls) <= len(errors):
            raise errors[len(calls) - 1]
        return "here"

    return calls, call


def test_pauses_grow_and_differ(pauses: list[float]) -> None:
    calls, call = failing(TimeoutError(), ConnectionResetError("reset"), HttpError(503), EOFError("short"))
    assert patiently("read", "s3://b/a", call) == "here"
    assert len(calls) == 5
    assert len(pauses) == 4
    for pause, least in zip(pauses, (0.5, 1, 2, 4), strict=True):
        assert least <= pause <= 1.5 * least


def test_the_last_attempt_is_the_last(pauses: list[float]) -> None:
    calls, call = failing(*[ConnectionRefusedError("nobody\nis there.")] * 9)
    with pytest.raises(RunError, match=r"^cannot read s3://b/a after 5 attempts: nobody is there; check the network"):
        patiently("read", "s3://b/a", call)
    assert len(calls) == 5


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (FileNotFoundError("b/a"), RemoteNotFound, "there is no s3://b/a"),
        (HttpError(404), RemoteNotFound, "there is no s3://b/a"),
        (HttpError(410), RemoteNotFound, "there is no s3://b/a"),
        (PermissionError("denied"), UsageError, r"the server refuses it \(denied\); set AWS_ACCESS_KEY_ID"),
        (HttpError(401), UsageError, "the server refuses it"),
        (HttpError(416), RunError, "cannot read s3://b/a: status 416"),
        (HttpError(301), RunError, "cannot read s3://b/a: status 301"),
    ],
)
def test_what_another_attempt_cannot_help(
    pauses: list[float], error: Exception, kind: type[Exception], message: str
) -> None:
    calls, call = failing(error)
    with pytest.raises(kind, match=message):
        patiently("read", "s3://b/a", call)
    assert (len(calls), pauses) == (1, [])


def test_the_cause_counts() -> None:
    """fsspec says of a web server that cannot be reached that the file is not there."""
    calls = []

    def call() -> None:
        calls.append(1)
        try:
            raise ConnectionRefusedError("refused")
        except ConnectionRefusedError as cause:
            if len(calls) == 1:
                raise FileNotFoundError("http://h/a") from cause

    patiently("read", "http://h/a", call)
    assert len(calls) == 2


def test_a_defect_is_not_hidden(pauses: list[float]) -> None:
    calls, call = failing(KeyError("x"))
    with pytest.raises(KeyError):
        patiently("read", "s3://b/a", call)
    assert len(calls) == 1


@pytest.mark.parametrize("code", ["503", 503])
def test_a_status_may_be_text(code: object) -> None:
    error = OSError()
    error.code = code  # type: ignore[attr-defined]
    assert status_of(error) == 503
    assert is_transient(error)


def test_protocols() -> None:
    assert [protocol_of(name) for name in ("s3://b", "https://h/x", "a/b", "/a://b"[:2])] == ["s3", "https", "", ""]
