"""The GPU's products equal those of floating-point weights, here in Triton's interpreter, which needs no GPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="the kernels for GPUs are written in Triton")

# Triton decides when it is imported whether it interprets.
PROGRAM = """
import sys
import torch
from olmo2.inference import gpu_products
from olmo2.inference.gpu_products import multiply, use_gpu_products
from olmo2.model.quantized import QuantizedLinear, Scheme, quantize

dtype = getattr(torch, sys.argv[1])
numbers = torch.Generator().manual_seed(0)
shapes = [(1,), (4,)]
if dtype != torch.bfloat16:  # whose products of matrices the interpreter computes wrongly
    shapes += [(1, 5), (17,), (2, 20)]
for rows, columns, bits, group in ((40, 256, 8, None), (33, 96, 8, None), (40, 256, 4, 128), (9, 192, 4, 64)):
    scheme = Scheme(bits, group)
    layer = QuantizedLinear(columns, rows, scheme, dtype, "layer")
    weight = torch.randn(rows, columns, generator=numbers).to(dtype)
    layer.weight_packed, layer.weight_scale = quantize(weight, scheme)
    for shape in shapes:
        x = torch.randn(*shape, columns, generator=numbers).to(dtype)
        exact = x.double() @ layer.weight.double().T
        found = multiply(x, layer)
        assert found.dtype == dtype and found.shape == exact.shape
        error = (found.double() - exact).abs().max() / exact.abs().max()
        assert error < {"float32": 1e-6, "float16": 2e-3, "bfloat16": 1e-2}[sys.argv[1]], (rows, columns, shape, error)

kernels = gpu_products.one_token, gpu_products.some_tokens
gpu_products.one_token = gpu_products.some_tokens = None  # what they cannot do goes another way
many, narrow = torch.randn(65, columns).to(dtype), QuantizedLinear(48, 8, Scheme(4, 16), dtype, "narrow")
narrow.weight_packed, narrow.weight_scale = quantize(torch.randn(8, 48).to(dtype), Scheme(4, 16))
assert multiply(many, layer).shape == (65, rows) and multiply(torch.randn(2, 48).to(dtype), narrow).shape == (2, 8)
gpu_products.one_token, gpu_products.some_tokens = kernels

model = torch.nn.Sequential(layer)
use_gpu_products(model)
assert layer.product is multiply and torch.equal(model(x), multiply(x, layer))
print("equal")
"""


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_products_equal_those_of_the_weights(dtype: str) -> None:
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, dtype], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "equal\n"


COMPILING = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from olmo2.inference.gpu_products import one_token, some_tokens

for kernel, more in ((one_token, {}), (some_tokens, {"TOKENS": 16})):
    for bits in (8, 4):
        for kind in ("bf16", "fp16", "fp32"):
            constants = {"BITS": bits, "ROWS": 32, "COLUMNS": 128, **more}
            signature = {name: f"*{kind}" if name in ("x", "scales", "y") else "i32" for name in kernel.arg_names}
            signature |= {"packed": "*u8", **dict.fromkeys(constants, "constexpr")}
            source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
            assert len(compile(source, target=GPUTarget("cuda", 90, 32)).asm["cubin"]) > 1000
"""


def test_the_kernels_compile_for_a_gpu(tmp_path: Path) -> None:
    """For one that is not here; only then does Triton's compiler see them."""
    environment = os.environ | {"TRITON_CACHE_DIR": str(tmp_path)}
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run(
        [sys.executable, "-c", COMPILING], env=environment, capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stderr
