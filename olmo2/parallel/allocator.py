"""Keep the memory of large tensors between steps on CPUs.

glibc gives every block above 32 MB back to the system when it is freed; the page faults of getting it again can
cost more than the arithmetic done on it.
"""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)
KEEP_BYTES = 2**31 - 1  # the largest value mallopt takes


def tune_allocator() -> bool:
    """Let glibc keep freed memory of up to 2 GB a block for this process; tell whether there is a glibc to tune.

    Same effect as MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ in the environment. Memory held shrinks no more.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    settings = (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD)
    return all(libc.mallopt(setting, KEEP_BYTES) == 1 for setting in settings)
