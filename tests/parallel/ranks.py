"""Running a function on several processes of this machine, as torchrun would."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 240


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(rank: int, world_size: int, port: int) -> dict[str, str]:
    return os.environ | {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world_size),
        "LOCAL_WORLD_SIZE": str(world_size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        "GLOO_SOCKET_IFNAME": "lo",
    }


def start(command: Sequence[str], world_size: int) -> list[subprocess.Popen[str]]:
    """Start one process a rank of `python COMMAND...`."""
    port = free_port()
    return [
        subprocess.Popen(
            [sys.executable, *command],
            env=environment(rank, world_size, port),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for rank in range(world_size)
    ]


def finish(processes: Sequence[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Return (exit status, standard output, standard error) of every rank; none may take longer than the limit."""
    end = time.monotonic() + LIMIT_SECONDS
    try:
        outcomes = []
        for process in processes:
            out, err = process.communicate(timeout=max(end - time.monotonic(), 1))
            outcomes.append((process.returncode, out, err))
        return outcomes
    finally:
        for process in processes:
            process.kill()


def run_on_ranks(module: str, world_size: int, **arguments: Any) -> None:
    """Run `python -m MODULE JSON` on every rank; raise AssertionError with what they wrote if one fails."""
    outcomes = finish(start(["-m", module, json.dumps(arguments)], world_size))
    assert all(status == 0 for status, _, _ in outcomes), "\n".join(err[-3000:] for _, _, err in outcomes)
