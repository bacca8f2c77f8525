"""Products of few tokens with a matrix of weights on a GPU, in Triton: packed weights are read as they lie.

Generating reads every weight for every token, so a product is as fast as memory is: what counts is that enough of it
is asked for at a time. Weights of 8 or 4 bits are a half or a quarter of the bytes. With many tokens the arithmetic is
what takes time, and floating-point weights are made for one large product.

Shapes   M tokens · O rows (out_features) · I columns (in_features) · G groups of columns that share a scale
"""

from functools import cache

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor, nn
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from olmo2.inference.gpu_weights import ONE_TOKEN_COLUMNS, Weights
from olmo2.model.quantized import QuantizedLinear

MOST_TOKENS = 64  # that are multiplied with packed weights
MANY_ROWS = 8192  # of which a program takes more, as there are programs enough
UNPACKED_COLUMNS = 1024


@cache
def chaining(device: torch.device) -> dict[str, bool]:
    """Return what lets a kernel begin while the one before it ends; it then waits before it reads what that writes.

    Source: CUDA's programmatic dependent launch, from the Hopper generation on. Every kernel launched so must wait,
    so that when one is done all before it are.
    """
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < (9, 0):
        return {"IS_CHAINED": False}
    return {"IS_CHAINED": True, "launch_pdl": True}


def use_gpu_products(model: nn.Module) -> None:
    """Let the quantized layers of a model multiply with `multiply`."""
    for module in model.modules():
        if isinstance(module, QuantizedLinear):
            module.product = multiply


def multiply(x: Tensor, layer: QuantizedLinear) -> Tensor:
    """Return x (..., I) times the weights of a layer, (..., O), in the dtype of x; sums are float32."""
    weights = Weights(layer.weight_packed.view(torch.uint8), layer.in_features, layer.scheme.bits, layer.weight_scale)
    return product(x.reshape(-1, layer.in_features).contiguous(), weights).unflatten(0, x.shape[:-1])


def product(x: Tensor, weights: Weights, dtype: torch.dtype | None = None) -> Tensor:
    """Return x (M, I) times the weights, (M, O) in `dtype`, that of x if None; sums are float32."""
    num_tokens, num_rows = len(x), len(weights.numbers)
    if num_tokens == 1 and weights.can_be_read:
        return product_of_one_token(x, weights, torch.empty(1, num_rows, dtype=dtype or x.dtype, device=x.device))
    if not weights.is_packed:
        y = F.linear(x, weights.numbers.to(x.dtype))
    elif 0 < num_tokens <= MOST_TOKENS and weights.can_be_read:
        y = torch.empty(num_tokens, num_rows, dtype=x.dtype, device=x.device)
        product_of_some_tokens(x, weights, y)
    else:
        y = F.linear(x, unpacked(weights, x.dtype))
    return y.to(dtype or x.dtype)


def gated_product(x: Tensor, weights: Weights) -> Tensor:
    """Return silu(gate) · up, (M, O / 2), of the products of x (M, I): the first half of the rows is the gate's."""
    num_rows = len(weights.numbers) // 2
    if len(x) == 1 and weights.can_be_read:
        return product_of_one_token(x, weights, torch.empty(1, num_rows, dtype=x.dtype, device=x.device), gated=True)
    both = product(x, weights)
    y = torch.empty(len(x), num_rows, dtype=x.dtype, device=x.device)
    gate_rows[len(x), triton.cdiv(num_rows, 1024)](both, y, num_rows, WIDTH=1024)
    return y


def product_of_one_token(
    x: Tensor,
    weights: Weights,
    y: Tensor,
    *,
    gated: bool = False,
    rows: int | None = None,
    columns: int = ONE_TOKEN_COLUMNS,
    warps: int = 4,
) -> Tensor:
    """Fill y (1, O), or (1, O / 2) if gated, and return it."""
    columns = min(triton.next_power_of_2(weights.columns), columns)
    groups = columns // weights.group_size if weights.has_groups else 1
    num_rows, scales = y.shape[1], weights.scales
    rows = rows or (2 if weights.bits == 4 else 4)
    one_token[(triton.cdiv(num_rows, rows),)](
        x, weights.numbers, weights.numbers if scales is None else scales, y,
        num_rows, weights.columns, 1 if scales is None else scales.shape[1],
        BITS=weights.bits, IS_GATED=gated, ROWS=rows, GROUPS=groups, COLUMNS=columns // groups,
        HAS_GROUPS=weights.has_groups, num_warps=warps, **chaining(x.device),
    )  # fmt: skip
    return y


def product_of_some_tokens(
    x: Tensor, weights: Weights, y: Tensor, *, rows: int | None = None, columns: int = 256, warps: int = 4
) -> None:
    """Fill y (M, O) with products of packed weights."""
    assert weights.scales is not None
    num_tokens, num_rows = y.shape
    tokens = min(max(triton.next_power_of_2(num_tokens), 16), 64)
    if rows is None:
        rows, columns = (32, 256) if tokens == 16 else (64, 128) if num_rows > MANY_ROWS else (16, 256)
    columns = min(weights.group_size, columns) if weights.has_groups else columns
    grid = triton.cdiv(num_tokens, tokens), triton.cdiv(num_rows, rows)
    some_tokens[grid](
        x, weights.numbers, weights.scales, y, num_tokens, num_rows, weights.columns, weights.scales.shape[1],
        BITS=weights.bits, ROWS=rows, COLUMNS=columns, TOKENS=tokens,
        num_warps=warps,
    )  # fmt: skip


def unpacked(weights: Weights, dtype: torch.dtype) -> Tensor:
    """Return packed weights as floating-point numbers, (O, I), for products of many tokens."""
    assert weights.scales is not None
    whole = torch.empty(len(weights.numbers), weights.columns, dtype=dtype, device=weights.numbers.device)
    unpack_rows[len(whole), triton.cdiv(weights.columns, UNPACKED_COLUMNS)](
        weights.numbers, weights.scales, whole, weights.columns, weights.scales.shape[1],
        BITS=weights.bits, COLUMNS=UNPACKED_COLUMNS,
    )  # fmt: skip
    return whole


@triton.jit
def one_token(
    x,  # (I)
    weights,  # (O, I), or packed (O, I·BITS/8) bytes
    scales,  # (O, G), or unused
    y,  # (O), or (O / 2) if gated
    num_rows,  # of y
    num_columns,
    num_groups,
    BITS: tl.constexpr,
    IS_GATED: tl.constexpr,
    ROWS: tl.constexpr,
    GROUPS: tl.constexpr,
    COLUMNS: tl.constexpr,
    HAS_GROUPS: tl.constexpr,
    IS_CHAINED: tl.constexpr,
):
    """Multiply ROWS rows with a token, and if gated as many that lie num_rows further."""
    if IS_CHAINED:
        gdc_launch_dependents()
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    is_row = rows < num_rows
    sums = row_sums(
        x, weights, scales, rows, is_row, num_columns, num_groups,
        BITS, ROWS, GROUPS, COLUMNS, HAS_GROUPS, IS_CHAINED,
    )  # fmt: skip
    if IS_GATED:
        others = row_sums(
            x, weights, scales, rows + num_rows, is_row, num_columns, num_groups,
            BITS, ROWS, GROUPS, COLUMNS, HAS_GROUPS, IS_CHAINED,
        )  # fmt: skip
        sums = sums * tl.sigmoid(sums) * others
    tl.store(y + rows, sums.to(y.dtype.element_ty), mask=is_row)


@triton.jit
def row_sums(
    x,
    weights,
    scales,
    rows,  # (ROWS)
    is_row,  # (ROWS): whether there is such a row
    num_columns,
    num_groups,
    BITS: tl.constexpr,
    ROWS: tl.constexpr,
    GROUPS: tl.constexpr,
    COLUMNS: tl.constexpr,
    HAS_GROUPS: tl.constexpr,
    IS_CHAINED: tl.constexpr,
):
    """Return the products of rows with a token, (ROWS) float32; GROUPS·COLUMNS columns are read at a time."""
    A_BYTE: tl.constexpr = 2 if BITS == 4 else 1  # columns of what is loaded as one number
    NUMBERS: tl.constexpr = COLUMNS // A_BYTE
    groups = tl.arange(0, GROUPS)[:, None]
    columns = groups * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    places = groups * NUMBERS + tl.arange(0, NUMBERS)[None, :]
    own = weights + rows.to(tl.int64)[:, None, None] * (num_columns // A_BYTE) + places[None]
    totals = tl.zeros((ROWS, GROUPS) if HAS_GROUPS else (ROWS, GROUPS, NUMBERS), dtype=tl.float32)
    for start in range(0, num_columns, GROUPS * COLUMNS):
        is_number = is_row[:, None, None] & (start + places * A_BYTE < num_columns)[None]
        numbers = tl.load(own + start // A_BYTE, mask=is_number, other=0)
        if IS_CHAINED:  # weights are there before the token is
            gdc_wait()
        some = tl.load(x + start + columns, mask=start + columns < num_columns, other=0).to(tl.float32)
        if BITS == 4:  # the lower half of a byte is the column before that of the higher
            even, odd = tl.split(tl.reshape(some, (GROUPS, NUMBERS, 2)))
            part = floats_of(numbers & 15, BITS) * even[None] + floats_of(numbers >> 4, BITS) * odd[None]
        else:
            part = floats_of(numbers, BITS) * some[None]
        if HAS_GROUPS:
            own_groups = start // COLUMNS + tl.arange(0, GROUPS)[None, :]
            is_group = is_row[:, None] & (own_groups < num_groups)
            scale = tl.load(scales + rows[:, None] * num_groups + own_groups, mask=is_group, other=0).to(tl.float32)
            totals += tl.sum(part, axis=2) * scale
        else:
            totals += part
    if HAS_GROUPS:
        sums = tl.sum(totals, axis=1)
    else:
        sums = tl.sum(tl.reshape(totals, (ROWS, NUMBERS)), axis=1)
        if BITS <= 8:
            sums *= tl.load(scales + rows, mask=is_row, other=0).to(tl.float32)
    return sums


@triton.jit
def some_tokens(
    x,  # (M, I)
    packed,  # (O, I·BITS/8) bytes
    scales,  # (O, G)
    y,  # (M, O)
    num_tokens,
    num_rows,
    num_columns,
    num_groups,
    BITS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    TOKENS: tl.constexpr,
):
    """Multiply ROWS rows with TOKENS tokens; integers of 8 bits are exact in any dtype of x."""
    tokens = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    rows = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    A_BYTE: tl.constexpr = 8 // BITS
    columns, places = tl.arange(0, COLUMNS)[None, :], tl.arange(0, COLUMNS // A_BYTE)[None, :]
    is_token, is_row = tokens[:, None] < num_tokens, rows[:, None] < num_rows
    own = packed + rows.to(tl.int64)[:, None] * (num_columns // A_BYTE) + places
    inputs = x + tokens[:, None] * num_columns + columns
    totals = tl.zeros((TOKENS, ROWS), dtype=tl.float32)
    for start in range(0, num_columns, COLUMNS):
        is_number = is_row & (start + places * A_BYTE < num_columns)
        numbers = tl.load(own + start // A_BYTE, mask=is_number, other=0)
        some = tl.load(inputs + start, mask=is_token & (start + columns < num_columns), other=0)
        if BITS == 4:
            even, odd = tl.split(tl.reshape(some, (TOKENS, COLUMNS // 2, 2)))
            low, high = floats_of(numbers & 15, BITS).to(some.dtype), floats_of(numbers >> 4, BITS).to(some.dtype)
            part = tl.dot(even, tl.trans(low), input_precision="ieee")
            part += tl.dot(odd, tl.trans(high), input_precision="ieee")
        else:
            part = tl.dot(some, tl.trans(floats_of(numbers, BITS).to(some.dtype)), input_precision="ieee")
        group = start * num_groups // num_columns
        scale = tl.load(scales + rows * num_groups + group, mask=rows < num_rows, other=0).to(tl.float32)
        totals += part * scale[None, :]
    is_wanted = is_token & (rows[None, :] < num_rows)
    tl.store(y + tokens[:, None] * num_rows + rows[None, :], totals.to(y.dtype.element_ty), mask=is_wanted)


@triton.jit
def unpack_rows(
    packed,  # (O, I·BITS/8) bytes
    scales,  # (O, G)
    weights,  # (O, I)
    num_columns,
    num_groups,
    BITS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Make COLUMNS columns of a row floating-point numbers."""
    A_BYTE: tl.constexpr = 8 // BITS
    row, start = tl.program_id(0).to(tl.int64), tl.program_id(1) * COLUMNS
    columns, places = start + tl.arange(0, COLUMNS), start // A_BYTE + tl.arange(0, COLUMNS // A_BYTE)
    is_column, num_bytes = columns < num_columns, num_columns // A_BYTE
    numbers = tl.load(packed + row * num_bytes + places, mask=places < num_bytes, other=0)
    if BITS == 4:
        numbers = tl.reshape(tl.join(numbers & 15, numbers >> 4), (COLUMNS,))
    groups = columns // (num_columns // num_groups)
    scale = tl.load(scales + row * num_groups + groups, mask=is_column, other=0).to(tl.float32)
    values = floats_of(numbers, BITS) * scale
    tl.store(weights + row * num_columns + columns, values.to(weights.dtype.element_ty), mask=is_column)


@triton.jit
def floats_of(numbers, BITS: tl.constexpr):
    """Return weights as float32, packed ones without their scale; of 4 bits there is one in each byte by now."""
    if BITS > 8:
        return numbers.to(tl.float32)
    # The lowest bits of 2^23 as a float32 count ones: two cheap operations instead of a conversion.
    words = numbers.to(tl.int32) | 0x4B000000
    return words.to(tl.float32, bitcast=True) - (8388608.0 + (1 << (BITS - 1)))


@triton.jit
def gate_rows(
    both,  # (M, 2·I): the gate's outputs, then the other's
    y,  # (M, I)
    num_columns,  # I
    WIDTH: tl.constexpr,
):
    """Compute silu(gate) · up."""
    token = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    is_column = columns < num_columns
    begin = both + token * 2 * num_columns
    gate = tl.load(begin + columns, mask=is_column, other=0).to(tl.float32)
    up = tl.load(begin + num_columns + columns, mask=is_column, other=0).to(tl.float32)
    tl.store(y + token * num_columns + columns, (gate * tl.sigmoid(gate) * up).to(y.dtype.element_ty), mask=is_column)
