"""The folder of what this machine can fetch or make again, and how processes take turns with a part of it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from olmo2.base.files import disk_errors


def cache_folder() -> Path:
    """Return the folder that holds what was downloaded, and what else can be made again."""
    return Path(os.environ.get("OLMO2_CACHE") or "~/.cache/olmo2").expanduser()


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Wait until no other process on this machine, such as another rank, downloads or makes `path`."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(path.with_name(f"{path.name}.lock"), "w")  # noqa: SIM115 (closed below)
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
