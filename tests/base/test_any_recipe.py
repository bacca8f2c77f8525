"""Recipes of any verb: the file says which."""

from pathlib import Path

import pytest

from olmo2.base.any_recipe import parse_any_recipe
from olmo2.base.errors import UsageError

CLASSES = {"pretrain": ("olmo2.train.pretrain", "PretrainRecipe"), "soup": ("olmo2.checkpoint.soup", "SoupRecipe")}


def test_the_verb_of_the_file_decides() -> None:
    assert type(parse_any_recipe(["tiny/3-pretrain.yaml"], CLASSES)).__name__ == "PretrainRecipe"
    assert type(parse_any_recipe(["tiny/5-soup.yaml"], CLASSES)).__name__ == "SoupRecipe"


def test_overrides_follow() -> None:
    recipe = parse_any_recipe(["tiny/3-pretrain.yaml", "--run.seed=3"], CLASSES)
    assert recipe.model_dump()["run"]["seed"] == 3
    with pytest.raises(UsageError, match=r"--run.sead: no such setting; did you mean --run.seed\?"):
        parse_any_recipe(["tiny/3-pretrain.yaml", "--run.sead=3"], CLASSES)


@pytest.mark.parametrize("text", ["x: 1", "verb: show", "verb: [pretrain]", "verb: 3"])
def test_a_file_without_such_a_verb(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(UsageError, match="it must name what the recipe is for"):
        parse_any_recipe([str(tmp_path / "a.yaml")], CLASSES)
