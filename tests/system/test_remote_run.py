"""A whole life in a bucket: data and checkpoints there give the very weights that they give on disk."""

from pathlib import Path

import pytest
import yaml

from olmo2 import cli
from olmo2.base.remote import upload_file
from olmo2.checkpoint.mirror import upload_checkpoint
from olmo2.train.midtrain import midtrain
from olmo2.train.pretrain import pretrain
from tests.train.conftest import corpus, pretrain_recipe, pretrain_values  # noqa: F401 (corpus is a fixture)
from tests.train.test_midtrain import midtrain_recipe


@pytest.fixture
def uploaded(corpus: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:  # noqa: F811
    """The corpus's token folders in a bucket, and an empty cache."""
    monkeypatch.setenv("OLMO2_CACHE", str(corpus / "cache"))
    for folder in ("tokens", "tokens-heldout"):
        for path in (corpus / folder).iterdir():
            upload_file(path, f"{bucket}/{folder}/{path.name}")
    return bucket


def test_two_stages_from_a_bucket(corpus: Path, uploaded: str) -> None:  # noqa: F811
    there = {
        "data": {"paths": [f"{uploaded}/tokens"], "seq_len": 32},
        "heldout": {"paths": [f"{uploaded}/tokens-heldout"], "max_tokens": 256},
    }
    local = pretrain(pretrain_recipe(corpus, "local"))
    ours = pretrain(pretrain_recipe(corpus, "remote", changes=there))
    for name in ("model.safetensors", "trainer/optimizer.safetensors"):
        assert (ours / name).read_bytes() == (local / name).read_bytes(), name

    upload_checkpoint(ours, f"{uploaded}/run")
    second = midtrain(midtrain_recipe(corpus, f"{uploaded}/run", changes=there))
    weights = (second / "model.safetensors").read_bytes()
    (corpus / "stage2").rename(corpus / "kept")
    assert (midtrain(midtrain_recipe(corpus, local)) / "model.safetensors").read_bytes() == weights


def test_what_goes_wrong_is_one_sentence(
    corpus: Path,  # noqa: F811
    uploaded: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for path, status, message in (
        ("s3://bucket-that-is-not-there/tokens", 2, "there is no bucket s3://bucket-that-is-not-there"),
        (f"{uploaded}/none", 2, "there is neither a token file nor a token folder"),
        ("http://127.0.0.1:9/tokens", 1, "cannot read http://127.0.0.1:9/tokens after 5 attempts"),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(corpus)
            (corpus / "recipe.yaml").write_text(to_yaml(corpus, path))
            assert cli.run(["pretrain", "recipe.yaml"]) == status
        said = capsys.readouterr().err
        assert message in said and "Traceback" not in said
        assert said.count("\n") <= 2


def to_yaml(corpus: Path, data: str) -> str:  # noqa: F811
    """Return a recipe file for data of that path."""
    values = pretrain_values(corpus) | {"data": {"paths": [data], "seq_len": 32}}
    return yaml.safe_dump({"verb": "pretrain"} | values)
