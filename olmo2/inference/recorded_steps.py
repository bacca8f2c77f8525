"""Steps in which every answer reads one token, on a GPU: recorded once as a CUDA graph and played again.

A step is hundreds of short operations; with few answers, calling them takes longer than they do. A recording has fixed
shapes: a number of answers and a number of pages, both rounded up to powers of two. What fills it up reads and writes
the cache's spare page.

Shapes   N answers, rounded up · P pages of each · S = P·p keys · H query heads · K key-value heads · D head width
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from olmo2.inference.paged_cache import PagedCache, Slice
from olmo2.inference.pages import PAGE_TOKENS
from olmo2.model.transformer import Transformer

MOST_ROWS = 256  # more answers keep a GPU busy without a recording
WARM_UPS = 3  # before a recording: libraries choose their kernels in the first calls

Replay = Callable[[], Tensor]  # -> what the recorded function returned, computed anew


class FixedStep:
    """The cache as a recorded forward sees it: all that changes from step to step lies in tensors of fixed shapes."""

    def __init__(self, cache: PagedCache, num_rows: int, num_pages: int) -> None:
        device = cache.keys.device
        self.cache = cache
        self.ids = torch.zeros(1, num_rows, dtype=torch.long, device=device)
        self.places = torch.zeros(num_rows, dtype=torch.long, device=device)
        self.table = torch.full((num_rows, num_pages), cache.spare_page, device=device)
        self.key_places = torch.arange(num_pages * PAGE_TOKENS, device=device)

    def fill(self, ids: Sequence[int], slices: Sequence[Slice]) -> None:
        """Put the next token of each slice in."""
        num_rows, num_pages = self.table.shape
        rest = num_rows - len(ids)
        pages = [each.pages[: each.start // PAGE_TOKENS + 1] for each in slices]
        tables = [[*table, *[self.cache.spare_page] * (num_pages - len(table))] for table in pages]
        self.ids.copy_(torch.tensor([[*ids, *[0] * rest]]))
        self.places.copy_(torch.tensor([*(each.start for each in slices), *[0] * rest]))
        self.table.copy_(torch.tensor(tables + [[self.cache.spare_page] * num_pages] * rest))

    def positions(self, input_ids: Tensor) -> Tensor:
        """Return the place of every token in its sequence, (1, N)."""
        return self.places[None]

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Store keys and values (1, K, N, D); return what queries (1, H, N, D) attend to in their own sequences."""
        page = self.table.gather(1, self.places[:, None] // PAGE_TOKENS)[:, 0]
        offset = self.places % PAGE_TOKENS
        self.cache.store(layer, page, offset, keys, values)
        is_visible = (self.key_places <= self.places[:, None])[:, None, None]  # (N, 1, 1, S)
        return self.cache.attend_each(layer, queries[0], self.table, is_visible)[None]


@dataclass
class Recording:
    """A forward of fixed shapes."""

    step: FixedStep
    replay: Replay


class RecordedSteps:
    """All recordings of a model; each is made when its shapes are first wanted."""

    def __init__(
        self, model: Transformer, cache: PagedCache, record: Callable[[Callable[[], Tensor]], Replay] | None = None
    ) -> None:
        """`record` returns what plays a function again; None = as a CUDA graph."""
        self.model, self.cache, self.record = model, cache, record or record_graph
        self.recordings: dict[tuple[int, int], Recording] = {}

    def logits(self, ids: Sequence[int], slices: Sequence[Slice]) -> Tensor:
        """Read the next token of each slice; return the logits behind it, (len(ids), V) float32."""
        num_pages = max(each.start // PAGE_TOKENS + 1 for each in slices)
        shape = power_of_two(len(ids)), power_of_two(num_pages)
        if shape not in self.recordings:
            self.recordings[shape] = self.recording(*shape)
        recording = self.recordings[shape]
        recording.step.fill(ids, slices)
        return recording.replay()[: len(ids)].clone()

    def recording(self, num_rows: int, num_pages: int) -> Recording:
        """Record a forward."""
        step = FixedStep(self.cache, num_rows, num_pages)

        def forward() -> Tensor:
            return self.model.lm_head(self.model.model(step.ids, None, step)[0]).float()

        return Recording(step, self.record(forward))


def power_of_two(number: int) -> int:
    """Return the least power of two that is not below a number."""
    return 1 << (number - 1).bit_length()


def record_graph(forward: Callable[[], Tensor]) -> Replay:
    """Record a function as a CUDA graph. What it computes during recording is thrown away."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            forward()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = forward()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay
