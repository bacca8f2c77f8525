"""Choice of device and compute dtype, and the measured matmul peak."""

from collections.abc import Collection
from unittest.mock import patch

import pytest
import torch

from olmo2.base.errors import UsageError
from olmo2.parallel import device as device_file
from olmo2.parallel.device import choose_compute_dtype, choose_device, is_present, matmul_peak_flops

CPU = torch.device("cpu")


def machine_with(kinds: Collection[str], count: int = 1) -> object:
    return patch.multiple(device_file, is_present=lambda kind: kind in kinds, num_devices=lambda kind: count)


@pytest.mark.parametrize(
    ("kinds", "chosen"),
    [(("cpu",), "cpu"), (("cpu", "mps"), "mps"), (("cpu", "xpu", "mps"), "mps"), (("cpu", "xpu", "cuda"), "cuda")],
)
def test_auto_takes_the_best_that_is_there(kinds: tuple[str, ...], chosen: str) -> None:
    with machine_with(kinds):
        assert choose_device() == choose_device("auto") == torch.device(chosen)


def test_a_name_is_taken_at_its_word() -> None:
    with machine_with(("cpu", "cuda"), count=4):
        assert choose_device("cpu") == CPU
        assert choose_device("cuda:3") == torch.device("cuda", 3)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mps", "device: 'mps' is not on this machine; present: cuda, cpu"),
        ("cuda:2", "device: 'cuda:2' is not on this machine, which has 2 of that kind"),
        ("gpu", "device: 'gpu' is no device; choose auto, cuda, mps, xpu, cpu or cuda:0"),
        ("", "device: '' is no device; choose auto, cuda, mps, xpu, cpu or cuda:0"),
        ("meta", "device: 'meta' is not on this machine; present: cuda, cpu"),
    ],
)
def test_what_is_not_there_is_refused(name: str, message: str) -> None:
    with machine_with(("cpu", "cuda"), count=2), pytest.raises(UsageError) as refusal:
        choose_device(name)
    assert str(refusal.value) == message


def test_this_machine_has_a_cpu_and_nothing_unheard_of() -> None:
    assert is_present("cpu")
    assert not is_present("abacus")


@pytest.mark.parametrize(
    ("has_avx512_bf16", "has_amx", "chosen"),
    [(False, False, torch.float32), (True, False, torch.bfloat16), (False, True, torch.bfloat16)],
)
def test_auto_takes_bfloat16_where_the_processor_multiplies_it(
    has_avx512_bf16: bool, has_amx: bool, chosen: torch.dtype
) -> None:
    with (
        patch("torch.cpu._is_avx512_bf16_supported", return_value=has_avx512_bf16),
        patch("torch.cpu._is_amx_tile_supported", return_value=has_amx),
    ):
        assert choose_compute_dtype("auto", CPU) == chosen
        assert choose_compute_dtype("bf16", CPU) == torch.bfloat16
        assert choose_compute_dtype("fp32", CPU) == torch.float32


@pytest.mark.parametrize(("capability", "chosen"), [((7, 5), torch.float32), ((9, 0), torch.bfloat16)])
def test_auto_on_cuda_goes_by_generation(capability: tuple[int, int], chosen: torch.dtype) -> None:
    with patch("torch.cuda.get_device_capability", return_value=capability):
        assert choose_compute_dtype("auto", torch.device("cuda")) == chosen


def test_mps_computes_in_float32() -> None:
    assert choose_compute_dtype("auto", torch.device("mps")) == torch.float32


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(UsageError, match="compute dtype: 'fp8' is unknown; choose auto, bf16, fp32"):
        choose_compute_dtype("fp8", CPU)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_peak_is_a_credible_number(dtype: torch.dtype) -> None:
    assert 1e8 < matmul_peak_flops(CPU, dtype) < 1e15
