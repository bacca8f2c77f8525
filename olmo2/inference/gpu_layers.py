"""What stands between the products of a step on a GPU, in Triton: norms, rotation, keys and values stored, attention.

Every answer reads one token. Each function is one kernel, or two; what they compute is what the model's modules do,
with the same roundings to the dtype of activations.

Shapes   N tokens, each of another answer · C hidden size · H query heads · K key-value heads · D head width
         Q = (H + 2·K)·D · P pages of each answer · S parts of its keys
"""

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from olmo2.inference.gpu_products import chaining
from olmo2.inference.pages import PAGE_TOKENS

PART_KEYS = 128  # that a program attends to at least, before there are several, and at a time
BUSY_PROGRAMS = 256  # that keep a GPU busy


def add_norm(x: Tensor | None, y: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Return x + norm(y), or norm(y) without x; x and y (N, C)."""
    num_tokens, size = y.shape
    sums = torch.empty_like(y)
    add_norm_rows[(num_tokens,)](
        y if x is None else x, y, weight, sums, size, eps,
        IS_ADDED=x is not None, WIDTH=triton.next_power_of_2(size), num_warps=8, **chaining(y.device),
    )  # fmt: skip
    return sums


def store_rotated(
    projected: Tensor,  # (N, Q): queries, keys and values behind one another
    norms: Tensor,  # (H·D + K·D): weights of the norms of queries and keys
    tables: tuple[Tensor, Tensor],  # cosines and signed sines of every place, each (places, D) float32
    places: Tensor,  # (N)
    pages: Tensor,  # (N, P)
    keys: Tensor,  # (pages, K, p, D): of one layer, like
    values: Tensor,
    eps: float,
) -> Tensor:
    """Norm and rotate queries and keys; put keys and values into the cache and return the queries, (N, H·D)."""
    num_tokens, kv_heads, head_dim = len(places), keys.shape[1], keys.shape[3]
    size, kv_size = projected.shape[1] - 2 * kv_heads * head_dim, kv_heads * head_dim
    queries = torch.empty(num_tokens, size, dtype=projected.dtype, device=projected.device)
    store_rotated_heads[num_tokens, projected.shape[1] // head_dim](
        projected, norms, *tables, places, pages, queries, keys, values, size, kv_size, pages.shape[1], eps,
        HEAD=head_dim, WIDTH=triton.next_power_of_2(head_dim), LONGEST=triton.next_power_of_2(size), PAGE=PAGE_TOKENS,
        **chaining(keys.device),
    )  # fmt: skip
    return queries


def attend(queries: Tensor, keys: Tensor, values: Tensor, places: Tensor, pages: Tensor) -> Tensor:
    """Return what queries (N, H·D) attend to in their pages up to their own place, (N, H·D)."""
    num_tokens, num_pages = pages.shape
    kv_heads, head_dim = keys.shape[1], keys.shape[3]
    heads = queries.shape[1] // head_dim
    parts = num_parts(num_tokens * heads, num_pages * PAGE_TOKENS)
    found = torch.empty_like(queries)
    dtype = torch.float32 if parts > 1 else queries.dtype
    mixed = torch.empty(num_tokens, heads, parts, head_dim, dtype=dtype, device=queries.device) if parts > 1 else found
    weights = torch.empty(num_tokens, heads, parts, 2, dtype=torch.float32, device=queries.device)
    width = triton.next_power_of_2(head_dim)
    attend_part[num_tokens, heads, parts](
        queries, keys, values, places, pages, mixed, weights, heads // kv_heads, kv_heads, num_pages, head_dim**-0.5,
        PARTS=parts, HEAD=head_dim, WIDTH=width, KEYS=min(num_pages * PAGE_TOKENS, PART_KEYS), PAGE=PAGE_TOKENS,
        **chaining(keys.device),
    )  # fmt: skip
    if parts > 1:
        chained = chaining(keys.device)
        join_parts[num_tokens, heads](mixed, weights, found, PARTS=parts, HEAD=head_dim, WIDTH=width, **chained)
    return found


def num_parts(num_rows: int, num_keys: int) -> int:
    """Return into how many parts the keys of each row are divided, a power of two."""
    parts = min(BUSY_PROGRAMS // num_rows, num_keys // PART_KEYS)
    return 1 << max(parts, 1).bit_length() - 1


@triton.jit
def add_norm_rows(
    x, y, weights, sums, num_columns, eps, IS_ADDED: tl.constexpr, WIDTH: tl.constexpr, IS_CHAINED: tl.constexpr
):
    """Norm a row of y, and add one of x to it."""
    if IS_CHAINED:
        gdc_launch_dependents()
        gdc_wait()
    columns = tl.arange(0, WIDTH)
    is_column = columns < num_columns
    places = tl.program_id(0).to(tl.int64) * num_columns + columns
    precise = tl.load(y + places, mask=is_column, other=0).to(tl.float32)
    weight = tl.load(weights + columns, mask=is_column, other=0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(precise * precise, axis=0) / num_columns + eps)
    result = (weight * (precise * scale)).to(y.dtype.element_ty)
    if IS_ADDED:
        before = tl.load(x + places, mask=is_column, other=0)
        result = (before.to(tl.float32) + result.to(tl.float32)).to(y.dtype.element_ty)
    tl.store(sums + places, result, mask=is_column)


@triton.jit
def store_rotated_heads(
    projected,
    norms,
    cosines,
    sines,
    places,
    pages,
    queries,
    keys,
    values,
    size,  # H·D
    kv_size,  # K·D
    num_pages,
    eps,
    HEAD: tl.constexpr,
    WIDTH: tl.constexpr,
    LONGEST: tl.constexpr,
    PAGE: tl.constexpr,
    IS_CHAINED: tl.constexpr,
):
    """Take one head of a token: a query to be returned, or a key or a value to be stored."""
    if IS_CHAINED:
        gdc_launch_dependents()
        gdc_wait()
    row = tl.program_id(0).to(tl.int64)
    first = tl.program_id(1) * HEAD  # column of the head
    inner = tl.arange(0, WIDTH)
    is_inner = inner < HEAD
    own = projected + row * (size + 2 * kv_size)
    place = tl.load(places + row)
    page = tl.load(pages + row * num_pages + place // PAGE)
    if first >= size + kv_size:
        head = (first - size - kv_size) // HEAD
        target = values + ((page * (kv_size // HEAD) + head) * PAGE + place % PAGE) * HEAD
        tl.store(target + inner, tl.load(own + first + inner, mask=is_inner, other=0), mask=is_inner)
    else:
        is_query = first < size
        begin = tl.where(is_query, 0, size)
        length = tl.where(is_query, size, kv_size)
        columns = tl.arange(0, LONGEST)
        whole = tl.load(own + begin + columns, mask=columns < length, other=0).to(tl.float32)
        scale = tl.rsqrt(tl.sum(whole * whole, axis=0) / length + eps)
        other = (inner + HEAD // 2) % HEAD  # of the other half, which rotation swaps with this one
        here = tl.load(own + first + inner, mask=is_inner, other=0).to(tl.float32) * scale
        there = tl.load(own + first + other, mask=is_inner, other=0).to(tl.float32) * scale
        here *= tl.load(norms + first + inner, mask=is_inner, other=0).to(tl.float32)
        there *= tl.load(norms + first + other, mask=is_inner, other=0).to(tl.float32)
        here = here.to(queries.dtype.element_ty).to(tl.float32)
        there = there.to(queries.dtype.element_ty).to(tl.float32)
        cosine = tl.load(cosines + place * HEAD + inner, mask=is_inner, other=0)
        sine = tl.load(sines + place * HEAD + inner, mask=is_inner, other=0)
        rotated = (here * cosine + there * sine).to(queries.dtype.element_ty)
        if is_query:
            tl.store(queries + row * size + first + inner, rotated, mask=is_inner)
        else:
            head = (first - size) // HEAD
            target = keys + ((page * (kv_size // HEAD) + head) * PAGE + place % PAGE) * HEAD
            tl.store(target + inner, rotated, mask=is_inner)


@triton.jit
def attend_part(
    queries,
    keys,
    values,
    places,
    pages,
    mixed,  # (N, H, S, D): averages of values
    weights,  # (N, H, S, 2): the largest score and the sum of weights behind each average, if there are several
    group_size,  # query heads that share a key-value head
    kv_heads,
    num_pages,
    scale,
    PARTS: tl.constexpr,
    HEAD: tl.constexpr,
    WIDTH: tl.constexpr,
    KEYS: tl.constexpr,
    PAGE: tl.constexpr,
    IS_CHAINED: tl.constexpr,
):
    """Attend with one query head to one part of its keys, some keys at a time, with a softmax that grows."""
    if IS_CHAINED:
        gdc_launch_dependents()
        gdc_wait()
    row, head, part = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.program_id(2)
    inner = tl.arange(0, WIDTH)
    is_inner = inner < HEAD
    kv_head = head // group_size
    result = (row * tl.num_programs(1) + head) * PARTS + part
    query = tl.load(queries + (row * tl.num_programs(1) + head) * HEAD + inner, mask=is_inner, other=0)
    query = query.to(tl.float32) * scale
    num_keys = tl.load(places + row).to(tl.int32) + 1
    part_keys = num_pages * PAGE // PARTS
    end = tl.minimum((part + 1) * part_keys, num_keys)
    largest = tl.full((), float("-inf"), dtype=tl.float32)
    total = tl.zeros((), dtype=tl.float32)
    average = tl.zeros((WIDTH,), dtype=tl.float32)
    for start in range(part * part_keys, end, KEYS):
        key_places = start + tl.arange(0, KEYS)
        is_key = key_places < end
        page = tl.load(pages + row * num_pages + key_places // PAGE, mask=is_key, other=0)
        begin = ((page * kv_heads + kv_head) * PAGE + key_places % PAGE) * HEAD
        is_number = is_key[:, None] & is_inner[None, :]
        key = tl.load(keys + begin[:, None] + inner[None, :], mask=is_number, other=0).to(tl.float32)
        value = tl.load(values + begin[:, None] + inner[None, :], mask=is_number, other=0).to(tl.float32)
        scores = tl.where(is_key, tl.sum(key * query[None, :], axis=1), float("-inf"))
        highest = tl.maximum(largest, tl.max(scores, axis=0))
        kept = tl.exp(largest - highest)
        shares = tl.exp(scores - highest)
        total = total * kept + tl.sum(shares, axis=0)
        average = average * kept + tl.sum(value * shares[:, None], axis=0)
        largest = highest
    average = average / tl.maximum(total, 1e-30)  # a part without keys has weight 0
    tl.store(mixed + result * HEAD + inner, average.to(mixed.dtype.element_ty), mask=is_inner)
    if PARTS > 1:
        tl.store(weights + 2 * result, largest)
        tl.store(weights + 2 * result + 1, total)


@triton.jit
def join_parts(
    mixed, weights, found, PARTS: tl.constexpr, HEAD: tl.constexpr, WIDTH: tl.constexpr, IS_CHAINED: tl.constexpr
):
    """Average the parts of a query head by their weights."""
    if IS_CHAINED:
        gdc_launch_dependents()
        gdc_wait()
    row = tl.program_id(0).to(tl.int64) * tl.num_programs(1) + tl.program_id(1)
    inner, parts = tl.arange(0, WIDTH), row * PARTS + tl.arange(0, PARTS)
    is_inner = inner < HEAD
    largest, totals = tl.load(weights + 2 * parts), tl.load(weights + 2 * parts + 1)
    totals *= tl.exp(largest - tl.max(largest, axis=0))
    average = tl.load(mixed + parts[:, None] * HEAD + inner[None, :], mask=is_inner[None, :], other=0)
    average = tl.sum(average * (totals / tl.sum(totals, axis=0))[:, None], axis=0)
    tl.store(found + row * HEAD + inner, average.to(found.dtype.element_ty), mask=is_inner)
