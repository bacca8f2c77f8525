"""The verb: what it prints, listens on and refuses."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from olmo2.base.errors import RunError, UsageError
from olmo2.inference.serve import ServeRecipe, listen, read_key, serve


def test_from_the_command_line_to_ctrl_c(model_folder: Path) -> None:
    command = [sys.executable, "-m", "olmo2", "serve", str(model_folder), "--port=0", "--device=cpu"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            found = re.search(r"model answers at (http://127\.0\.0\.1:\d+)/v1", line)
            assert found, line
            asked = {"model": "model", "prompt": "a", "max_tokens": 2}
            assert httpx.post(f"{found[1]}/v1/completions", json=asked, timeout=60).status_code == 200
            server.send_signal(signal.SIGINT)
            out, err = server.communicate(timeout=30)
            assert (out, err) == ("stopped\n", "") and server.returncode == 0
        finally:
            server.kill()


def test_a_port_that_is_taken_is_said_before_the_model_is_loaded(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(RunError, match=rf"cannot listen on 127\.0\.0\.1, port {port} \(Address already in use\)"):
            serve(ServeRecipe(model=str(tmp_path / "no model"), port=port))


@pytest.mark.parametrize("host", ["no.such.host.invalid", ".x", "é..é", "a" * 64])
def test_a_host_that_is_none(host: str) -> None:
    with pytest.raises(RunError, match=rf"cannot listen on {re.escape(host)}, port 0 \(.+\); choose another --port"):
        listen(host, 0)


def test_answers_under_way_are_told_of_the_end(model_folder: Path) -> None:
    """They get a while, then an event that says so, and no half of an answer without one."""
    command = [sys.executable, "-c", STOPPING, str(model_folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[3].removesuffix("/v1,")
            asked = {"model": "model", "prompt": "a", "max_tokens": 100, "ignore_eos": True, "stream": True}
            with httpx.stream("POST", f"{address}/v1/completions", json=asked, timeout=60) as stream:
                lines = stream.iter_lines()
                first = next(lines)
                server.send_signal(signal.SIGINT)
                events = [line for line in lines if line]
            assert "text_completion" in first and events[-1] == "data: [DONE]"
            assert "the server is stopping" in events[-2]
            out, err = server.communicate(timeout=30)
            assert (out, err) == ("stopped\n", "") and server.returncode == 0
        finally:
            server.kill()


STOPPING = """
import sys, time
from olmo2.inference import serve
from olmo2.inference.engine import Engine

step = Engine.step

def slow(engine):
    time.sleep(0.1)
    return step(engine)

Engine.step = slow
serve.GRACE_SECONDS = 0.5
serve.serve(serve.ServeRecipe(model=sys.argv[1], port=0, device="cpu"))
"""


def test_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLMO2_API_KEY", raising=False)
    assert read_key(ServeRecipe(model="x")) is None
    monkeypatch.setenv("OLMO2_API_KEY", "from-there\n")
    assert read_key(ServeRecipe(model="x")) == "from-there"
    for wrong in ("é", " ", "a\tb"):
        monkeypatch.setenv("OLMO2_API_KEY", wrong)
        with pytest.raises(UsageError, match="the environment variable OLMO2_API_KEY must hold a key of plain"):
            read_key(ServeRecipe(model="x"))
    file = tmp_path / "key"
    file.write_text("secret\n")
    assert read_key(ServeRecipe(model="x", api_key_file=str(file))) == "secret"
    for content, message in ((b"", "must hold a key"), (b"\xff", "cannot be read"), ("é".encode(), "must hold a key")):
        file.write_bytes(content)
        with pytest.raises(UsageError, match=message):
            read_key(ServeRecipe(model="x", api_key_file=str(file)))
    with pytest.raises(UsageError, match=r"api_key_file: .*gone cannot be read \(No such file"):
        read_key(ServeRecipe(model="x", api_key_file=str(tmp_path / "gone")))


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(UsageError, match=r"needs uvicorn: pip install 'olmo2\[serve\]'"):
        serve(ServeRecipe(model="x"))
