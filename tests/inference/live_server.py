"""A server in a thread, on a port of this machine, for tests that call it as clients do."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from olmo2.inference.engine import Engine


@contextmanager
def serving(engine: Engine, *arguments: Any, **settings: Any) -> Iterator[str]:
    """Serve an engine as `tiny`; give the address."""
    import uvicorn

    from olmo2.inference.http_app import make_app

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    app = make_app(engine, "tiny", *arguments, **settings)
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]))
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
