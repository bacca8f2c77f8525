"""Products of few tokens with quantized weights on a GPU, in Triton: the packed weights are read as they lie.

Generating reads every weight for every token, so that 8 or 4 bits of each are a half or a quarter of the time. With
many tokens the arithmetic is what takes time, and floating-point weights are made for one large product.

Shapes   M tokens · O rows (out_features) · I columns (in_features) · G groups of columns that share a scale
"""

import math

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from olmo2.model.quantized import QuantizedLinear
from olmo2.model.transformer import Transformer

MOST_TOKENS = 64  # that are multiplied with packed weights
MOST_ONE_BY_ONE = 4  # of these, so many each for itself: tensor cores want 16
MOST_COLUMNS, FEWEST_COLUMNS = 512, 32  # that are read at a time


def use_gpu_products(model: Transformer) -> None:
    """Let the quantized layers of a model multiply with `multiply`."""
    for module in model.modules():
        if isinstance(module, QuantizedLinear):
            module.product = multiply


def multiply(x: Tensor, layer: QuantizedLinear) -> Tensor:
    """Return x (..., I) times the layer's weights, (..., O), in the dtype of x; sums are float32."""
    num_tokens, bits = x.numel() // layer.in_features, layer.scheme.bits
    num_groups = layer.weight_scale.shape[1]
    columns = math.gcd(layer.in_features // num_groups, MOST_COLUMNS)  # of one group, and no rest
    if not 0 < num_tokens <= MOST_TOKENS or columns < FEWEST_COLUMNS:
        return F.linear(x, layer.weight.to(x.dtype))
    inputs = x.reshape(num_tokens, layer.in_features).contiguous()
    y = torch.empty(num_tokens, layer.out_features, dtype=x.dtype, device=x.device)
    shape = layer.out_features, layer.in_features, num_groups
    packed = layer.weight_packed.view(torch.uint8)
    if num_tokens <= MOST_ONE_BY_ONE:
        rows = 8
        grid = triton.cdiv(layer.out_features, rows), num_tokens
        one_token[grid](inputs, packed, layer.weight_scale, y, *shape, BITS=bits, ROWS=rows, COLUMNS=columns)
    else:
        rows, tokens = 32, 16
        grid = triton.cdiv(layer.out_features, rows), triton.cdiv(num_tokens, tokens)
        some_tokens[grid](
            inputs, packed, layer.weight_scale, y, num_tokens, *shape,
            BITS=bits, ROWS=rows, COLUMNS=min(columns, 128), TOKENS=tokens,
        )  # fmt: skip
    return y.unflatten(0, x.shape[:-1])


@triton.jit
def one_token(
    x,  # (M, I)
    packed,  # (O, I·BITS/8) bytes
    scales,  # (O, G)
    y,  # (M, O)
    num_rows,
    num_columns,
    num_groups,
    BITS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Multiply ROWS rows with one token."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    token = tl.program_id(1)
    NUM_BYTES: tl.constexpr = COLUMNS * BITS // 8
    places = tl.arange(0, NUM_BYTES)
    own = packed + rows.to(tl.int64)[:, None] * (num_columns * BITS // 8) + places[None, :]
    totals = tl.zeros((ROWS,), dtype=tl.float32)
    for start in range(0, num_columns, COLUMNS):
        numbers = tl.load(own + start * BITS // 8, mask=rows[:, None] < num_rows, other=0)
        inputs = x + token * num_columns + start
        if BITS == 8:
            some = tl.load(inputs + places).to(tl.float32)
            part = tl.sum((numbers.to(tl.float32) - 128) * some[None, :], axis=1)
        else:  # the lower half of a byte is the column before that of the higher
            even = tl.load(inputs + 2 * places).to(tl.float32)
            odd = tl.load(inputs + 2 * places + 1).to(tl.float32)
            low, high = (numbers & 15).to(tl.float32) - 8, (numbers >> 4).to(tl.float32) - 8
            part = tl.sum(low * even[None, :] + high * odd[None, :], axis=1)
        group = start * num_groups // num_columns
        totals += part * tl.load(scales + rows * num_groups + group, mask=rows < num_rows, other=0).to(tl.float32)
    tl.store(y + token * num_rows + rows, totals.to(y.dtype.element_ty), mask=rows < num_rows)


@triton.jit
def some_tokens(
    x,
    packed,
    scales,
    y,
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
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    tokens = tl.program_id(1) * TOKENS + tl.arange(0, TOKENS)
    NUM_BYTES: tl.constexpr = COLUMNS * BITS // 8
    places = tl.arange(0, NUM_BYTES)
    own = packed + rows.to(tl.int64)[:, None] * (num_columns * BITS // 8) + places[None, :]
    is_token = tokens[:, None] < num_tokens
    totals = tl.zeros((TOKENS, ROWS), dtype=tl.float32)
    for start in range(0, num_columns, COLUMNS):
        numbers = tl.load(own + start * BITS // 8, mask=rows[:, None] < num_rows, other=0)
        inputs = x + tokens[:, None] * num_columns + start
        if BITS == 8:
            some = tl.load(inputs + places[None, :], mask=is_token, other=0)
            weights = (numbers.to(tl.float32) - 128).to(some.dtype)
            part = tl.dot(some, tl.trans(weights), input_precision="ieee")
        else:
            even = tl.load(inputs + 2 * places[None, :], mask=is_token, other=0)
            odd = tl.load(inputs + 2 * places[None, :] + 1, mask=is_token, other=0)
            low, high = (numbers & 15).to(tl.float32) - 8, (numbers >> 4).to(tl.float32) - 8
            part = tl.dot(even, tl.trans(low.to(even.dtype)), input_precision="ieee")
            part += tl.dot(odd, tl.trans(high.to(odd.dtype)), input_precision="ieee")
        group = start * num_groups // num_columns
        scale = tl.load(scales + rows * num_groups + group, mask=rows < num_rows, other=0).to(tl.float32)
        totals += part * scale[None, :]
    is_wanted = is_token & (rows[None, :] < num_rows)
    tl.store(y + tokens[:, None] * num_rows + rows[None, :], totals.to(y.dtype.element_ty), mask=is_wanted)
