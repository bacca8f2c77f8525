"""The model is loaded as asked: place and number format."""

from pathlib import Path

import pytest
import torch

from olmo2.base.errors import UsageError
from olmo2.inference.model_choice import ModelRecipe


@pytest.mark.parametrize(("dtype", "expected"), [("stored", torch.float32), ("bf16", torch.bfloat16)])
def test_dtype(model_folder: Path, dtype: str, expected: torch.dtype) -> None:
    engine = ModelRecipe.model_validate({"model": str(model_folder), "dtype": dtype, "device": "cpu"}).load()
    assert {parameter.dtype for parameter in engine.model.parameters()} == {expected}


def test_a_folder_has_no_revisions(model_folder: Path) -> None:
    with pytest.raises(UsageError, match="only runs and models of the hub have revisions"):
        ModelRecipe(model=str(model_folder), revision="stage1-step1-tokens1B").load()
