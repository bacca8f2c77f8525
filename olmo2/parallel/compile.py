"""Compile the blocks of a model in place, where that pays and a compiler is at hand."""

import shutil
import sysconfig
from pathlib import Path
from typing import Literal

import torch

from olmo2.base.errors import UsageError
from olmo2.model.transformer import Transformer

CompileChoice = bool | Literal["auto"]


def compile_blocks(model: Transformer, enabled: CompileChoice, device: torch.device) -> str | None:
    """Compile every block of `model` in place (parameters and their names stay); return why not, if it was not done.

    "auto" compiles where torch's compiler can work and leaves the model as it is elsewhere; True insists.
    All blocks share one graph per input shape.
    Raises UsageError with True where something the compiler needs is missing.
    """
    if enabled is False:
        return None
    missing = missing_for_compile(device)
    if missing is not None:
        if enabled is True:
            raise UsageError(f"compile: true needs {missing}; install it, or set compile: auto or false")
        return f"not compiled (slower): {missing} is missing"
    for block in model.model.layers:
        block.compile(dynamic=False)
    return None


def missing_for_compile(device: torch.device) -> str | None:
    """Name what torch.compile lacks on this machine for this device, None if nothing."""
    if device.type == "mps":
        return "a device other than mps"
    if not any(shutil.which(compiler) for compiler in ("g++", "clang++", "c++")):
        return "a C++ compiler (g++ or clang++)"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        return "Python's C headers (Python.h)"
    return None
