"""Tensors of another trainer under our names: renamed, and cut out of fused ones, one at a time.

A trainer's layout is a table: each of its tensors -> the ones of ours that lie in it, stacked along the rows.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from olmo2.base.errors import UsageError
from olmo2.checkpoint.load import describe_names, empty_model
from olmo2.checkpoint.tensors import DTYPES
from olmo2.model.sizes import ModelConfig

Layout = Mapping[str, tuple[str, ...]]


class Header(NamedTuple):
    """What is known of a tensor before it is read."""

    shape: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class ForeignTensors:
    """Tensors under another trainer's names."""

    source: str  # named in errors
    headers: Mapping[str, Header]
    read: Callable[[str], Tensor]


class RenamedTensors(Mapping[str, Tensor]):
    """The tensors that a model of `config` has, read from a foreign source when they are asked for."""

    def __init__(self, tensors: ForeignTensors, layout: Layout, config: ModelConfig) -> None:
        """Raises UsageError, before anything is read, if a tensor is missing, unknown, or of another shape or kind."""
        weights = empty_model(config, torch.float32, "meta").state_dict()
        self.shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
        self._tensors = tensors
        self._place: dict[str, tuple[str, int]] = {}  # our name -> theirs, and the row where it starts
        source, headers = tensors.source, tensors.headers
        if missing := [name for name in layout if name not in headers]:
            raise UsageError(f"{source} lacks {describe_names(missing)}, which an OLMo 2 model of its config has")
        if unknown := [name for name in headers if name not in layout]:
            raise UsageError(f"{source} holds {describe_names(unknown)}, which an OLMo 2 model of its config has not")
        for theirs, ours in layout.items():
            row = 0
            for name in ours:
                self._place[name] = theirs, row
                row += self.shapes[name][0]
            wanted = (row, *self.shapes[ours[0]][1:])
            if headers[theirs].shape != wanted:
                found = headers[theirs].shape
                raise UsageError(f"{source}: {theirs} has shape {found}, but its config asks for {wanted}")
            if headers[theirs].dtype not in DTYPES.values():
                raise UsageError(f"{source}: {theirs} is stored as {headers[theirs].dtype}, which cannot be read")

    @property
    def dtype(self) -> torch.dtype:
        """The narrowest dtype that holds every tensor exactly."""
        return reduce(torch.promote_types, (header.dtype for header in self._tensors.headers.values()))

    def __getitem__(self, name: str) -> Tensor:
        theirs, row = self._place[name]
        return self._tensors.read(theirs)[row : row + self.shapes[name][0]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)
