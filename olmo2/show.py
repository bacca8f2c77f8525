"""Print a recipe with every default spelt out, and what follows from it; nothing runs.

The one verb without a recipe of its own: it shows another verb's, named by the recipe's key ``verb``.
"""

import importlib
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from olmo2.base.config import parse_recipe, read_yaml, recipe_text
from olmo2.base.errors import UsageError

HELP = "usage: olmo2 show recipe.yaml [--setting=value ...]\n\n" + (__doc__ or "")


def show(arguments: Sequence[str], modules: dict[str, tuple[str, str]]) -> None:
    """Print the recipe `arguments[0]` with the overrides that follow it.

    modules: verb -> (module, recipe class), as the command line knows them.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP)
        return
    verb = read_yaml(arguments[0]).get("verb")
    if not isinstance(verb, str) or verb not in modules or verb == "show":
        raise UsageError(f"{arguments[0]}: verb is {verb!r}; it must name what the recipe is for, such as pretrain")
    module, recipe_class = modules[verb]
    recipe = parse_recipe(getattr(importlib.import_module(module), recipe_class), arguments, verb)
    print(recipe_text(recipe))

    from olmo2.train.consequences import consequences
    from olmo2.train.recipe import TrainRecipe  # torch is not needed to show other recipes

    if isinstance(recipe, TrainRecipe):
        table = Table("what follows", "", box=None, pad_edge=False)
        for name, value in consequences(recipe).items():
            table.add_row(name, value)
        Console().print(table)
