"""Token files in remote folders: found by listing, and read window by window as parts of files."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from olmo2.base.remote import RemoteFile, can_be_listed, find_remote, in_parallel, list_remote, read_range

LIST_FROM = 8  # as many files of one folder are found faster by listing it than one by one


class RemoteTokens:
    """The tokens of a remote file, (num_tokens,) integers, read from the server slice by slice as they are taken."""

    def __init__(self, name: str, dtype: str, num_tokens: int, header_bytes: int) -> None:
        """Remember where the tokens are; nothing is read."""
        self.name = name
        self.dtype = np.dtype(dtype)
        self._num_tokens = num_tokens
        self._header_bytes = header_bytes

    def __len__(self) -> int:
        """Return the number of tokens."""
        return self._num_tokens

    def __getitem__(self, wanted: slice) -> np.ndarray:
        """Read the tokens of a slice without a step. Raises RunError if the server does not give them."""
        start, stop, step = wanted.indices(self._num_tokens)
        assert step == 1, "only consecutive tokens are one part of a file"
        first, last = (self._header_bytes + at * self.dtype.itemsize for at in (start, max(start, stop)))
        return np.frombuffer(read_range(self.name, first, last), self.dtype)


def look_at_remote(names: Iterable[str]) -> dict[str, RemoteFile]:
    """Look at files by name, without reading them; those that are not there are left out.

    A folder of which many files are wanted is listed once; other files are looked at one by one, several at a time.
    """
    wanted: dict[str, list[str]] = defaultdict(list)
    for name in dict.fromkeys(names):
        wanted[name.rpartition("/")[0]].append(name)
    listed = [folder for folder, inside in wanted.items() if len(inside) >= LIST_FROM and can_be_listed(folder)]
    found = {file.name: file for files in in_parallel(list_remote, listed) for file in files}
    single = [name for folder, inside in wanted.items() if folder not in listed for name in inside]
    found |= {file.name: file for file in in_parallel(find_remote, single) if file is not None}
    return {name: found[name] for inside in wanted.values() for name in inside if name in found}


def read_starts(files: Sequence[RemoteFile], num_bytes: int) -> list[bytes]:
    """Read up to `num_bytes` from the start of each file, several at a time."""
    return in_parallel(lambda file: read_range(file.name, 0, min(num_bytes, file.num_bytes)), files)
