"""Foreign pickles, read without running anything that they ask for.

Files of torch.save go through torch's weights-only loader. Pickles of other kinds go through an unpickler that knows
a few names and refuses all others. In both, objects that are of no use to us become records without behaviour.
"""

import io
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from olmo2.base.errors import RunError


class Record:
    """An object of a foreign class, as what its pickle says of it: constructor arguments, attributes, state."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)
        else:
            self.state = state


PATH_CLASSES = ("pathlib.PosixPath", "pathlib._local.PosixPath")
ARRAY_CLASSES = (
    "numpy.ndarray",
    "numpy.dtype",
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
)


def load_torch_file(file: Path | io.BytesIO, source: str) -> Any:
    """Return what torch.save wrote, on the CPU; tensors of a path are mapped into memory and read when used.

    Paths and numpy arrays, of which trainers' states are full, come back as records. Raises RunError naming `source`
    for a damaged file and for one that asks for anything but tensors and plain values.
    """
    records: list[Any] = [(Record, name) for name in (*PATH_CLASSES, *ARRAY_CLASSES)]
    try:
        with torch.serialization.safe_globals(records):
            return torch.load(file, map_location="cpu", weights_only=True, mmap=isinstance(file, Path))
    except Exception as error:  # a damaged or hostile file may provoke any
        if isinstance(error, OSError) and error.filename is not None:  # the file system's own words
            raise
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise (refusal(source, asked[1]) if asked else damaged(source, error)) from error


def load_records(data: bytes, source: str, known: Mapping[str, Any]) -> Any:
    """Return what is pickled in `data`, using no classes or functions but those in `known`, by dotted name.

    Raises RunError naming `source` for damaged data and for any other name.
    """
    try:
        return RestrictedUnpickler(data, source, known).load()
    except RunError:
        raise
    except Exception as error:  # a damaged or hostile pickle may provoke any
        raise damaged(source, error) from error


class RestrictedUnpickler(pickle.Unpickler):
    """An unpickler to which only the given names mean something."""

    def __init__(self, data: bytes, source: str, known: Mapping[str, Any]) -> None:
        super().__init__(io.BytesIO(data))
        self._source = source
        self._known = known

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name stands for; RunError if it is not one of the known ones. Nothing is imported."""
        if f"{module}.{name}" not in self._known:
            raise refusal(self._source, f"{module}.{name}")
        return self._known[f"{module}.{name}"]


def refusal(source: str, name: str) -> RunError:
    """Return the error for a pickle that asks for a class or function that it has no need of."""
    return RunError(
        f"{source} asks for {name}, which a file of tensors and plain values has no need of; nothing of it was run: "
        "do not trust it, and get the file from where it was published"
    )


def damaged(source: str, error: Exception) -> RunError:
    """Return the error for a file that cannot be read."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return RunError(f"{source} is damaged or cut short ({reason}); copy or download it again")
