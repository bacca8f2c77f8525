"""Servers on this machine's loopback address that stand for remote ones: whole, flaky, and without parts of files."""

import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@contextmanager
def serve(handler: Any) -> Iterator[str]:
    """Serve on a free port in a thread and yield the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class WebHandler(SimpleHTTPRequestHandler):
    """Serve a folder; with has_ranges also parts of its files, as web servers do."""

    has_ranges = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        wanted = self.headers.get("Range")
        if not (self.has_ranges and wanted and path.is_file()):
            return super().do_GET()
        first, last = wanted.removeprefix("bytes=").split("-")
        data = path.read_bytes()[int(first) : int(last) + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class WholeFilesHandler(WebHandler):
    """Serve a folder and answer a wish for a part with the whole file."""

    has_ranges = False


def web_server(folder: Path, handler: type[WebHandler] = WebHandler) -> Any:
    """Serve a folder over http."""
    return serve(partial(handler, directory=str(folder)))


class GcsHandler(BaseHTTPRequestHandler):
    """Answer as Google Cloud Storage does for a bucket that holds one file, x/a."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        entry = {"name": "x/a", "bucket": "bucket", "size": "5", "etag": "e1"}
        entry |= dict.fromkeys(("updated", "timeCreated"), "2026-01-01T00:00:00Z")
        status, body = 404, b'{"error": {"code": 404, "message": "Not Found"}}'
        if self.path.split("?")[0].endswith("/b/bucket/o"):
            status, body = 200, json.dumps({"items": [entry]}).encode()
        elif "x%2Fa" in self.path:
            status, body = 206, b"hello"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def flaky_server(target: str, failures: list[int]) -> Iterator[tuple[str, list[int]]]:
    """Yield the address of a server whose first connections fail and whose others lead to `target`.

    `failures` are the statuses to answer with, first to last, and may be filled again; 0 breaks the connection. The
    second thing yielded grows by one for each connection.
    """
    host, _, port = target.removeprefix("http://").partition(":")
    seen: list[int] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            seen.append(1)
            if failures:
                self.request.recv(2**16)
                if status := failures.pop(0):
                    self.request.sendall(f"HTTP/1.1 {status} -\r\nContent-Length: 0\r\n\r\n".encode())
                return
            with socket.create_connection((host, int(port))) as onward:
                back = threading.Thread(target=pump, args=(onward, self.request), daemon=True)
                back.start()
                pump(self.request, onward)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
        server.shutdown()


def pump(source: socket.socket, target: socket.socket) -> None:
    """Pass on everything that comes from a connection until it ends."""
    with suppress(OSError):
        while data := source.recv(2**16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
