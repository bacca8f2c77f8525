"""Compile the C++ forward for this very processor, once, and keep it for later runs.

The library lies in the package's cache folder under a name that depends on the source, the compiler's flags and the
processor, so that a home shared by different machines holds one for each.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
from functools import cache
from pathlib import Path

from olmo2.base.cache import cache_folder
from olmo2.base.files import partial_path

SOURCE = Path(__file__).with_name("cpu_forward.cpp")
HEADERS = tuple(sorted(SOURCE.parent.glob("cpu_*.h")))
FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fopenmp", "-std=c++17", "-shared", "-fPIC")
COMPILERS = ("g++", "clang++", "c++")


@cache
def load_kernels() -> ctypes.CDLL | str:
    """Return the library; where it cannot be made, a sentence that says why."""
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        return "a C++ compiler (g++ or clang++) is missing"
    sources = (path.read_text() for path in (SOURCE, *HEADERS))
    key = "\n".join((*sources, compiler, *FLAGS, processor()))
    library = cache_folder() / "kernels" / f"cpu-forward-{hashlib.sha256(key.encode()).hexdigest()[:20]}.so"
    try:
        if not library.is_file():
            library.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial = partial_path(library)
            subprocess.run(
                [compiler, *FLAGS, "-o", str(partial), str(SOURCE)], check=True, capture_output=True, text=True
            )
            os.replace(partial, library)
        return ctypes.CDLL(str(library))
    except subprocess.CalledProcessError as error:
        reason = str(error.stderr).strip().splitlines()
        return f"{compiler} could not compile {SOURCE.name}: {reason[0] if reason else error}"
    except OSError as error:
        return f"{library} cannot be made or loaded: {error.strerror or error}"


def processor() -> str:
    """Return what tells kinds of processors apart: the instructions that they have."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
