"""`show` prints the resolved recipe and what follows from it, for every recipe that comes with the package."""

from pathlib import Path

import pytest

from olmo2 import cli
from olmo2.base.config import SHIPPED_RECIPES, read_yaml

RECIPES = sorted(str(path.relative_to(SHIPPED_RECIPES)) for path in SHIPPED_RECIPES.rglob("*.yaml"))


@pytest.mark.parametrize("name", RECIPES)
def test_shipped_recipes_are_shown(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # nothing that the recipes name is there
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert cli.run(["show", name]) == 0
    shown = capsys.readouterr().out
    assert f"verb: {read_yaml(name)['verb']}" in shown


def test_overrides_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["show", "tiny/3-pretrain.yaml", "--optim.peak_lr=0.125"]) == 0
    assert "peak_lr: 0.125" in capsys.readouterr().out


def test_a_recipe_without_a_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text("x: 1")
    assert cli.run(["show", str(tmp_path / "a.yaml")]) == 2
    assert "verb is None; it must name what the recipe is for" in capsys.readouterr().err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["show", "--help"]) == 0
    assert "usage: olmo2 show recipe.yaml" in capsys.readouterr().out
