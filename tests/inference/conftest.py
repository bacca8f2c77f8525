"""A model folder to generate from."""

from pathlib import Path

import pytest

from olmo2.base.files import atomic_folder
from olmo2.checkpoint.folder import write_model_folder
from olmo2.model.transformer import Transformer
from olmo2.tokenizer.tokenizer import Tokenizer


@pytest.fixture
def model_folder(tmp_path: Path, tiny_model: Transformer, tokenizer: Tokenizer) -> Path:
    """The tiny model as a Hugging Face folder."""
    with atomic_folder(tmp_path / "model") as partial:
        weights = tiny_model.state_dict()
        write_model_folder(partial, weights, tiny_model.config, tokenizer, dtype=tiny_model.lm_head.weight.dtype)
    return tmp_path / "model"
