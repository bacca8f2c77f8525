"""AdamW with bfloat16 moments: torch's own rule on moments rounded by hand, and close to full precision."""

import pytest
import torch

from olmo2.model.transformer import Transformer
from olmo2.optim.adamw import OptimSettings, build_optimizer, optimizer_tensors, restore_optimizer
from olmo2.optim.lean_adamw import LeanAdamW
from olmo2.parallel.shards import own_part


def test_each_step_is_torchs_own_on_rounded_moments() -> None:
    """torch.optim.AdamW with its moments rounded to bfloat16 after every step takes the same way."""
    torch.manual_seed(0)
    start = torch.randn(64)
    lean, plain = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    ours = LeanAdamW([lean], lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    theirs = torch.optim.AdamW([plain], lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    for _ in range(5):
        lean.grad = torch.randn(64)
        plain.grad = lean.grad.clone()
        ours.step()
        theirs.step()
        for moment in ("exp_avg", "exp_avg_sq"):
            theirs.state[plain][moment].copy_(theirs.state[plain][moment].bfloat16())
        torch.testing.assert_close(lean, plain, atol=1e-6, rtol=1e-5)
    assert ours.state[lean]["exp_avg"].dtype == ours.state[lean]["exp_avg_sq"].dtype == torch.bfloat16


def test_the_setting_chooses_it_and_checkpoints_restore_either_way(tiny_model: Transformer) -> None:
    optimizer = build_optimizer(tiny_model, OptimSettings(peak_lr=1e-3, state_dtype="bf16"))
    assert isinstance(optimizer, LeanAdamW)
    for parameter in tiny_model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    tensors = {name: tensor.float() for name, tensor in optimizer_tensors(tiny_model, optimizer).items()}
    again = build_optimizer(tiny_model, OptimSettings(peak_lr=1e-3, state_dtype="bf16"))
    restore_optimizer(tiny_model, again, tensors, own_part, torch.bfloat16)
    for name, tensor in optimizer_tensors(tiny_model, again).items():
        assert torch.equal(tensor.float(), tensors[name]), name


def test_a_frozen_step_corrects_every_step_as_the_first() -> None:
    """With constant gradients 1 the first moment reaches 1, so an update is lr / 0.1 / sqrt(1 / 0.05)."""
    model = torch.nn.Linear(1, 1, bias=False)
    optimizer = build_optimizer(model, OptimSettings(peak_lr=1e-3, is_step_frozen=True, weight_decay=0))
    for _ in range(200):
        before = model.weight.detach().clone()
        model.weight.grad = torch.ones(1, 1)
        optimizer.step()
    assert (before - model.weight).item() == pytest.approx(1e-3 * 0.05**0.5 / 0.1, rel=1e-3)
