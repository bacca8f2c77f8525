"""What the tests of checkpoints share: a run that saves, and the model as transformers writes it."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from olmo2.checkpoint.adapter import base_fingerprint
from olmo2.checkpoint.names import checkpoint_name
from olmo2.checkpoint.run_state import RunState
from olmo2.checkpoint.save import CheckpointWriter
from olmo2.model.lora import LoraSettings, add_lora, trained_parameters
from olmo2.model.transformer import Transformer
from olmo2.parallel.ranks import alone
from olmo2.tokenizer.tokenizer import Tokenizer

Save = Callable[..., Path]
ADAPTERS = LoraSettings(rank=4, alpha=6)


def run_state(step: int, **changes: Any) -> RunState:
    """What a run of the tests says of itself after a step."""
    values = {"stage": "stage1", "parent": None, "data": "ab", "step": step, "tokens": step * 1_000_000}
    return RunState(**values | {"history": {"losses": [0.1], "grad_norms": [step / 3]}} | changes)


def save_now(folder: Path, *arguments: Any, background: bool = False, **what: Any) -> None:
    """Save in one process and wait for it; in the background as well if asked."""
    writer = CheckpointWriter(alone(), background=background)
    try:
        writer.start(folder, *arguments, **what)
        assert writer.finish() == folder
    finally:
        writer.abandon()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder, which does not exist yet."""
    return tmp_path / "run"


@pytest.fixture
def save(run: Path, tiny_model: Transformer, tokenizer: Tokenizer) -> Save:
    """Save the tiny model after a step of the run."""

    def save_step(step: int, *, stage: str = "stage1", background: bool = False, **state: Any) -> Path:
        folder = run / checkpoint_name(stage, step, step * 1_000_000, total_tokens=0)
        save_now(
            folder,
            tiny_model,
            tokenizer,
            optimizer_tensors={
                "model.norm.weight.exp_avg": torch.arange(32.0),
                "model.norm.weight.step": torch.tensor(float(step)),
            },
            state=run_state(step, stage=stage, **state),
            recipe_text="run:\n  stage: stage1\n",
            background=background,
        )
        return folder

    return save_step


@pytest.fixture
def hf_folder(tmp_path: Path, tiny_model: Transformer, tokenizer: Tokenizer) -> Path:
    """The tiny model's weights in a folder that transformers wrote, config and all."""
    transformers = pytest.importorskip("transformers")
    config = transformers.Olmo2Config(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=512,
        max_position_embeddings=128,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_theta": 500_000.0, "rope_type": "default"},
        eos_token_id=tokenizer.eos_id,
        pad_token_id=tokenizer.pad_id,
    )
    model = transformers.Olmo2ForCausalLM(config)
    model.load_state_dict(tiny_model.state_dict())
    folder = tmp_path / "hf"
    model.save_pretrained(folder)
    tokenizer.save(folder)
    return folder


def random_adapters(model: Transformer, lora: LoraSettings, seed: int = 1) -> Transformer:
    """A copy of a model with adapters of random values."""
    adapted = copy.deepcopy(model)
    add_lora(adapted, lora, torch.float32)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in trained_parameters(adapted).values():
            weight.copy_(torch.randn(weight.shape, generator=generator) / 10)
    return adapted


@pytest.fixture
def adapted(tiny_model: Transformer) -> Transformer:
    """The tiny model with adapters of random values to all projections."""
    return random_adapters(tiny_model, ADAPTERS)


@pytest.fixture
def adapter_folder(run: Path, hf_folder: Path, adapted: Transformer, tokenizer: Tokenizer) -> Path:
    """A checkpoint of a run that trains adapters to the model in `hf_folder`."""
    folder = run / "sft-step3-tokens1M"
    state = run_state(3, stage="sft", parent=str(hf_folder), base=base_fingerprint(adapted.state_dict()))
    save_now(folder, adapted, tokenizer, optimizer_tensors={}, state=state, recipe_text="", lora=ADAPTERS)
    return folder
