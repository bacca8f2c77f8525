"""What the tests of releases share: a checkpoint to release."""

from pathlib import Path

import pytest
import torch

from olmo2.model.transformer import Transformer
from olmo2.tokenizer.tokenizer import Tokenizer
from tests.checkpoint.conftest import run_state, save_now
from tests.release.foreign_checkpoints import Reference, make_reference


@pytest.fixture
def checkpoint(tmp_path: Path, tiny_model: Transformer, tokenizer: Tokenizer) -> Path:
    """The tiny model after a step of training."""
    folder = tmp_path / "run" / "stage1-step1-tokens1M"
    save_now(
        folder,
        tiny_model,
        tokenizer,
        optimizer_tensors={"exp_avg": torch.zeros(3)},
        state=run_state(1),
        recipe_text="run:\n  stage: stage1\n",
    )
    return folder


@pytest.fixture(scope="session")
def reference() -> Reference:
    """A tiny model of transformers, with moments."""
    return make_reference(pytest.importorskip("transformers"))


@pytest.fixture(scope="session")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> str:
    """The tiny tokenizer as a folder."""
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(folder)
    return str(folder)
