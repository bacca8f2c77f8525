"""Foreign folders as checkpoints, and the way there and back."""

from pathlib import Path
from typing import Any

import pytest
import torch

from olmo2.base.config import parse_recipe
from olmo2.base.errors import UsageError
from olmo2.checkpoint.folder import load_model
from olmo2.checkpoint.keep import damage
from olmo2.checkpoint.load import load_trainer_state, load_weights
from olmo2.model.transformer import Transformer
from olmo2.release.export import ExportRecipe, export
from olmo2.release.import_ import ImportRecipe, import_
from olmo2.tokenizer.tokenizer import Tokenizer


@pytest.fixture
def published(checkpoint: Path, tmp_path: Path, tokenizer: Tokenizer) -> Path:
    """The tiny model in bfloat16, as transformers publishes it: sharded, with files of no use to us."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path / "published"
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="20KB")
    tokenizer.save(folder)
    (folder / "README.md").write_text("a model card")
    return folder


def test_a_published_model_becomes_a_checkpoint(published: Path, tmp_path: Path, tiny_model: Transformer) -> None:
    output = tmp_path / "start"
    import_(ImportRecipe(source=str(published), output=str(output)))
    assert damage(output) is None
    assert not (output / "README.md").exists()
    model, _ = load_model(output)
    for name, weight in tiny_model.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight.bfloat16())
    load_weights(output, tiny_model)  # a float32 model can start from it too
    with pytest.raises(UsageError, match="without trainer state"):
        load_trainer_state(output)


def test_weights_become_float32_on_request(published: Path, tmp_path: Path, tiny_model: Transformer) -> None:
    import_(parse_recipe(ImportRecipe, [str(published), str(tmp_path / "start"), "--dtype=fp32"], "import"))
    model, _ = load_model(tmp_path / "start")
    for name, weight in tiny_model.state_dict().items():
        assert model.state_dict()[name].dtype == torch.float32
        assert torch.equal(model.state_dict()[name], weight.bfloat16().float())


def test_release_and_import_give_identical_files(checkpoint: Path, tmp_path: Path) -> None:
    export(ExportRecipe(checkpoint=str(checkpoint), output=str(tmp_path / "release")))
    import_(ImportRecipe(source=str(tmp_path / "release"), output=str(tmp_path / "start")))
    for path in (tmp_path / "release").iterdir():
        assert (
            (tmp_path / "start" / path.name).read_bytes() == path.read_bytes() == (checkpoint / path.name).read_bytes()
        )


def test_a_revision_of_the_hub(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Any]] = []

    def download(name: str, *, revision: str | None, **_: Any) -> str:
        asked.append((name, revision))
        return str(published)

    monkeypatch.setattr(pytest.importorskip("huggingface_hub"), "snapshot_download", download)
    revision = "stage1-step140000-tokens294B"
    import_(ImportRecipe(source="allenai/OLMo-2-0425-1B", revision=revision, output=str(tmp_path / "start")))
    assert asked == [("allenai/OLMo-2-0425-1B", revision)]
    assert damage(tmp_path / "start") is None


def test_what_cannot_be_imported(published: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"output: .* already exists"):
        import_(ImportRecipe(source=str(published), output=str(published)))
    with pytest.raises(UsageError, match="only runs and models of the hub have revisions"):
        import_(ImportRecipe(source=str(published), output=str(tmp_path / "start"), revision="main"))
    (published / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(UsageError, match="model_type is 'llama'"):
        import_(ImportRecipe(source=str(published), output=str(tmp_path / "start")))
    assert not (tmp_path / "start").exists()
