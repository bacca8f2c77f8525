"""The allocator keeps a freed block instead of handing it back."""

import resource
import subprocess
import sys
from unittest.mock import patch

import pytest

from olmo2.parallel.allocator import tune_allocator

COUNT_FAULTS = """
import resource, sys, torch
from olmo2.parallel.allocator import tune_allocator

if sys.argv[1] == "tuned":
    assert tune_allocator()
torch.ones(10**8, dtype=torch.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(10**8, dtype=torch.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    """Faults of filling 100 MB that were filled and freed before."""
    done = subprocess.run([sys.executable, "-c", COUNT_FAULTS, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")
def test_freed_memory_is_kept() -> None:
    pages = 10**8 // resource.getpagesize()
    if page_faults("as it is") < pages / 2:
        pytest.skip("this allocator keeps large blocks of its own accord")
    assert page_faults("tuned") < pages / 100


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_are_left_alone(platform: str) -> None:
    with patch.object(sys, "platform", platform), patch("ctypes.CDLL", side_effect=AssertionError):
        assert tune_allocator() is False
