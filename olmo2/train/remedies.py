"""Which settings would make a recipe fit into the memory of its devices: found by trying, cheapest first."""

from collections.abc import Callable, Iterator
from typing import Any

from olmo2.base.errors import UsageError
from olmo2.parallel.mesh import Recompute
from olmo2.train.recipe import TrainRecipe

Changes = dict[str, Any]  # dotted name of a setting -> another value of it
BytesOf = Callable[[TrainRecipe], float]  # of the fullest device; UsageError where a recipe cannot be spread so
RECOMPUTE: tuple[Recompute, ...] = ("none", "mlp", "alternate", "all")  # in the order of their cost


def steps_down(recipe: TrainRecipe, devices: int) -> Iterator[tuple[str, list[Any]]]:
    """Yield the settings that save memory, cheapest first, each with the values to try one after the other."""
    micro, parallel = recipe.run.micro_batch_sequences, recipe.parallel
    yield "run.micro_batch_sequences", [micro >> n for n in range(1, micro.bit_length())]
    yield "parallel.recompute", list(RECOMPUTE[RECOMPUTE.index(parallel.recompute) + 1 :])
    together = parallel.tensor * parallel.context
    if parallel.shard is not None:
        yield "parallel.shard", [n for n in range(parallel.shard + 1, devices // together + 1) if devices % n == 0]
    yield "parallel.tensor", [n for n in (2, 4, 8) if n > parallel.tensor]
    yield "optim.state_dtype", ["bf16"] if recipe.optim.state_dtype == "fp32" else []


def changed(recipe: TrainRecipe, changes: Changes) -> TrainRecipe:
    """Return the recipe with some settings changed."""
    for name, value in changes.items():
        group, setting = name.split(".")
        part = getattr(recipe, group).model_copy(update={setting: value})
        recipe = recipe.model_copy(update={group: part})
    return recipe


def remedies(recipe: TrainRecipe, devices: int, bytes_of: BytesOf, limit: float) -> tuple[list[Changes], Changes]:
    """Return single settings that make the recipe fit into `limit` bytes, or else the changes that do so together.

    The first list is cheapest first. The second is empty if a single setting is enough, or if nothing is.
    """

    def fits(changes: Changes) -> bool:
        try:
            return bytes_of(changed(recipe, changes)) <= limit
        except UsageError:
            return False

    ladder = list(steps_down(recipe, devices))
    singles = [
        {name: value}
        for name, values in ladder
        if (value := next((value for value in values if fits({name: value})), None)) is not None
    ]
    return singles, {} if singles else together(ladder, fits)


def together(ladder: list[tuple[str, list[Any]]], fits: Callable[[Changes], bool]) -> Changes:
    """Go down the ladder, a step at a time, until all steps taken fit; then take back those that were not needed."""
    taken: Changes = {}
    for name, values in ladder:
        for value in values:
            taken = {**taken, name: value}
            if fits(taken):
                for unneeded in list(taken):
                    fewer = {key: kept for key, kept in taken.items() if key != unneeded}
                    taken = fewer if fits(fewer) else taken
                return taken
    return {}
