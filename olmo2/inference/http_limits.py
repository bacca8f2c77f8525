"""What stands between the network and the endpoints: names of hosts, keys, sizes and times of bodies.

Plain ASGI: an answer that streams passes through untouched.
"""

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from olmo2.inference.openai_answers import error_object
from olmo2.inference.openai_requests import Limits

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS = ("/", "/health")  # and whatever lies below /page: they tell nothing
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


class RefusedBodyError(Exception):
    """A body is too long, or comes too slowly."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class Gate:
    """Lets requests through to `app` that may pass, with bodies that are read within the limits.

    `hosts` are the names under which the server may be called; null = any. They keep a page on another host, whose name
    was made to lead to this machine, from talking to a server that trusts its neighbours (DNS rebinding).
    """

    def __init__(
        self,
        app: App,
        *,
        limits: Limits,
        api_key: str | None,
        hosts: Sequence[str] | None,
        count: Callable[[str, int], None],
    ) -> None:
        """`count` is told the path and the status of every answer."""
        self.app, self.limits, self.api_key, self.hosts, self.count = app, limits, api_key, hosts, count
        self.stop_soon: Callable[[], None] = lambda: None  # gives up the answers under way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the app answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        send = self.counted(scope, send)
        refusal = self.refusal(scope["path"], headers)
        if refusal is None and not (length := headers.get(b"content-length", b"0")).isdigit():
            refusal = 400, f"content-length is {length.decode('latin-1')!r}"
        if refusal is None and int(headers.get(b"content-length", b"0")) > self.limits.body_bytes:
            refusal = 413, self.too_long()
        if refusal is None:
            try:
                body = await self.body(receive)
            except RefusedBodyError as error:
                refusal = error.status, error.message
        if refusal is not None:
            await answer(send, *refusal)
            return
        is_read = False

        async def again() -> Message:
            """Hand over the body once, then wait for the client to go."""
            nonlocal is_read
            if is_read:
                return await receive()
            is_read = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, again, send)

    def counted(self, scope: Scope, send: Send) -> Send:
        """Return `send`, which also counts the status that goes through it, under the path of the endpoint."""

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.count(getattr(scope.get("route"), "path", "other"), message["status"])
            await send(message)

        return counting

    def refusal(self, path: str, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        """Return status and reason where a request may not pass."""
        if self.hosts is not None and host_name(headers.get(b"host", b"")) not in self.hosts:
            return 403, "this server is not called by that name; use localhost, or start it with --host"
        if self.api_key is None or path in OPEN_PATHS or path.startswith("/page/"):
            return None
        scheme, _, given = headers.get(b"authorization", b"").strip().partition(b" ")
        if scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), self.api_key.encode()):
            return None
        return 401, "the API key is missing or wrong; send it as 'Authorization: Bearer KEY'"

    async def body(self, receive: Receive) -> bytes:
        """Read a body. Raises RefusedBodyError if it is too long or does not come in time."""
        parts = bytearray()
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                while True:
                    message = await receive()
                    parts += message.get("body", b"")
                    if len(parts) > self.limits.body_bytes:
                        raise RefusedBodyError(413, self.too_long())
                    if not message.get("more_body", False):
                        return bytes(parts)
        except TimeoutError:
            raise RefusedBodyError(408, f"the body did not come within {self.limits.body_seconds:g} s") from None

    def too_long(self) -> str:
        """Return what is said of a long body."""
        return f"the body is longer than the {self.limits.body_bytes} bytes that this server reads"


def host_name(host: bytes) -> str:
    """Return the name in a Host header, without its port and the brackets of IPv6."""
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.rpartition(":")[0] if text.count(":") == 1 else text


async def answer(send: Send, status: int, message: str) -> None:
    """Send an error object, and close the connection: a body may still be on its way."""
    kind = {401: "authentication_error", 403: "permission_error"}.get(status, "invalid_request_error")
    code = "invalid_api_key" if status == 401 else None
    body = json.dumps(error_object(message, kind=kind, code=code)).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
