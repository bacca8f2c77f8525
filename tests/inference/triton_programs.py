"""Programs about Triton's kernels, each in a process of its own: Triton decides when it is imported what it does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import triton
from packaging.version import Version

CHECK = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

def compiled(kernel, types, constants):
    signature = {name: types.get(name, "i32") for name in kernel.arg_names} | dict.fromkeys(constants, "constexpr")
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    made = compile(source, target=GPUTarget("cuda", 90, 32)).asm
    assert len(made["cubin"]) > 1000
    return made["ptx"]
"""


def run(program: str, *arguments: str, environment: dict[str, str], seconds: int) -> str:
    """Return what a program prints, which must end well."""
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stderr
    return done.stdout


def compute(program: str, device: str, dtype: str, seconds: int) -> str:
    """Run a program on a GPU, or interpreted on a CPU; skip where that cannot be."""
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    if device == "cpu" and Version(triton.__version__) < Version("3.9"):
        pytest.skip("the interpreter of older releases of Triton fails with numpy 2.4")
    environment = os.environ | {"TRITON_INTERPRET": "01"[device == "cpu"]}
    return run(program, device, dtype, environment=environment, seconds=seconds)


def compile_for_a_gpu(program: str, cache: Path) -> None:
    """Run a program that compiles kernels for a GPU that need not be here; `compiled` returns a kernel's PTX."""
    environment = os.environ | {"TRITON_CACHE_DIR": str(cache)}
    environment.pop("TRITON_INTERPRET", None)
    run(CHECK + program, environment=environment, seconds=150)
