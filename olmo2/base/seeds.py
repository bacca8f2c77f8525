"""One seed for a run, an independent random stream for every purpose."""

import hashlib


def stream_seed(seed: int, purpose: str) -> int:
    """Return a 63-bit seed that depends on the run's `seed` and on what it is for.

    Adding a new purpose never shifts the numbers that another one draws.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
