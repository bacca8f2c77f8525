"""What the published model card tells users to do works on a folder that we release."""

from pathlib import Path

import pytest
import torch

from olmo2.base.files import atomic_folder
from olmo2.checkpoint.folder import write_model_folder
from olmo2.model.transformer import Transformer
from olmo2.release.export import ExportRecipe, export
from olmo2.tokenizer.tokenizer import Tokenizer


@pytest.fixture
def release(tmp_path: Path, tiny_model: Transformer, tokenizer: Tokenizer) -> Path:
    with atomic_folder(tmp_path / "checkpoint") as partial:
        write_model_folder(partial, tiny_model.state_dict(), tiny_model.config, tokenizer, dtype=torch.float32)
    export(ExportRecipe(checkpoint=str(tmp_path / "checkpoint"), output=str(tmp_path / "release")))
    return tmp_path / "release"


def test_the_first_snippet(release: Path) -> None:
    """Load by AutoModel and AutoTokenizer, sample with top_k 50 and top_p 0.95."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    olmo = transformers.AutoModelForCausalLM.from_pretrained(release)
    tokenizer = transformers.AutoTokenizer.from_pretrained(release)
    message = ["Language modeling is "]
    inputs = tokenizer(message, return_tensors="pt", return_token_type_ids=False)
    response = olmo.generate(**inputs, max_new_tokens=40, do_sample=True, top_k=50, top_p=0.95)
    assert type(olmo).__name__ == "Olmo2ForCausalLM"
    assert 0 < response.shape[1] - inputs["input_ids"].shape[1] <= 40
    assert tokenizer.batch_decode(response, skip_special_tokens=True)[0].startswith(message[0])


def test_loading_in_8_bits(release: Path) -> None:
    """The card's second way to load: bitsandbytes, in transformers."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("bitsandbytes", reason="8-bit loading in transformers needs bitsandbytes")
    pytest.importorskip("accelerate", reason="8-bit loading in transformers needs accelerate")
    settings = transformers.BitsAndBytesConfig(load_in_8bit=True)
    small = transformers.AutoModelForCausalLM.from_pretrained(release, quantization_config=settings, device_map="cpu")
    whole = transformers.AutoModelForCausalLM.from_pretrained(release)
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        found, expected = small(ids).logits.float(), whole(ids).logits
    assert (found - expected).square().mean() < 0.01 * expected.square().mean()
