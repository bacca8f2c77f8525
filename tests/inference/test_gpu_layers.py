"""The kernels between the products compile; test_gpu_forward.py compares what they compute with the model."""

from pathlib import Path

import pytest

pytest.importorskip("triton", reason="the kernels for GPUs are written in Triton")

from olmo2.inference.gpu_layers import num_parts
from tests.inference.triton_programs import compile_for_a_gpu

COMPILING = """
from olmo2.inference.gpu_layers import add_norm_rows, attend_part, join_parts, store_rotated_heads

def check(kernel, types, constants):
    before, after = compiled(kernel, types, constants).split("griddepcontrol.wait", 1)
    assert "st.global" not in before and "ld.global" not in before, "nothing is touched before the wait"
    assert "st.global" in after

integers = {"places": "*i64", "pages": "*i64", "eps": "fp32", "scale": "fp32"}
for kind in ("bf16", "fp16", "fp32"):
    names = ("x", "y", "weights", "sums", "projected", "norms", "queries", "keys", "values", "found")
    own = integers | dict.fromkeys(names, f"*{kind}") | {"cosines": "*fp32", "sines": "*fp32"}
    check(add_norm_rows, own, {"IS_ADDED": True, "WIDTH": 2048, "IS_CHAINED": True})
    check(store_rotated_heads, own, {"HEAD": 128, "WIDTH": 128, "LONGEST": 2048, "PAGE": 16, "IS_CHAINED": True})
    for parts in (1, 4):
        own |= {"mixed": "*fp32" if parts > 1 else f"*{kind}", "weights": "*fp32"}
        check(attend_part, own, {"PARTS": parts, "HEAD": 128, "WIDTH": 128, "KEYS": 32, "PAGE": 16, "IS_CHAINED": True})
    check(join_parts, own, {"PARTS": 4, "HEAD": 128, "WIDTH": 128, "IS_CHAINED": True})
"""


def test_the_kernels_compile_for_a_gpu(tmp_path: Path) -> None:
    """For one that is not here; only then does Triton's compiler see them."""
    compile_for_a_gpu(COMPILING, tmp_path)


@pytest.mark.parametrize(
    ("rows", "keys", "parts"),
    [(16, 16, 1), (16, 128, 1), (16, 256, 2), (16, 4096, 16), (4096, 4096, 1)],
)
def test_parts_of_the_keys(rows: int, keys: int, parts: int) -> None:
    assert num_parts(rows, keys) == parts
