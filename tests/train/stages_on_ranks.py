"""What every rank of test_stages_on_ranks.py runs: training stages one after the other, as their recipes say."""

import json
import os
import sys

import torch

from olmo2.base.config import make_recipe
from olmo2.train.dpo import DpoRecipe, dpo
from olmo2.train.reward_model import RewardModelRecipe, reward_model
from olmo2.train.sft import SftRecipe, sft

STAGES = {"sft": (SftRecipe, sft), "dpo": (DpoRecipe, dpo), "reward": (RewardModelRecipe, reward_model)}


def main(recipes: list[dict[str, object]], ports: list[int]) -> None:
    torch.set_num_threads(1)
    for values, port in zip(recipes, ports, strict=True):
        os.environ["MASTER_PORT"] = str(port)  # of its own: the last stage's may still be closing
        run = values["run"]
        assert isinstance(run, dict)
        recipe_class, verb = STAGES[run["stage"]]
        verb(make_recipe(recipe_class, values, "test"))  # type: ignore[operator]


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
