"""What `show` says follows from a recipe."""

from pathlib import Path

from olmo2.base.config import make_recipe
from olmo2.train.consequences import consequences
from olmo2.train.pretrain import PretrainRecipe, pretrain
from tests.train.conftest import pretrain_recipe, pretrain_values
from tests.train.test_midtrain import midtrain_recipe


def test_published_1b(tmp_path: Path) -> None:
    """Steps, parameters and final rate of OLMo 2 1B's stage 1: 4e12 tokens (and ten steps) of a cosine towards 5e12."""
    values = pretrain_values(tmp_path) | {
        "model": {"size": "olmo2-1b"},
        "tokenizer": str(tmp_path / "not-there"),
        "optim": {"peak_lr": 4e-4},
        "schedule": {"warmup_tokens": 8_388_608_000, "horizon_tokens": "5e12"},
    }
    values["run"] |= {"total_tokens": 1_907_359 * 2_097_152, "global_batch_tokens": 2_097_152}
    facts = consequences(make_recipe(PretrainRecipe, values, "test"))
    assert facts["parameters"] == "1,484,916,736"
    assert facts["parameters without the input embedding"] == "1,279,395,840"
    assert facts["rows of the embedding"] == f"100,352 (assumed: {tmp_path}/not-there is not on this machine)"
    assert facts["steps"] == "1,907,359"
    assert facts["learning rate, last step"] == "7.44873e-05"


def test_stage_2_reads_the_shape_of_its_parent(corpus: Path) -> None:
    assert "is not on this machine yet" in consequences(midtrain_recipe(corpus, corpus / "run"))["model"]
    parent = pretrain(pretrain_recipe(corpus))
    facts = consequences(midtrain_recipe(corpus, parent))
    model_file = parent / "model.safetensors"
    assert abs(int(facts["parameters"].replace(",", "")) * 4 - model_file.stat().st_size) < 10_000  # header aside
    assert facts["learning rate, last step"] == "0"
    assert consequences(midtrain_recipe(corpus, corpus / "run")) == facts  # a run stands for its newest checkpoint
