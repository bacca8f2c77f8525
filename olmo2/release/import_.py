"""Turn a Hugging Face folder or a model of the hub into a checkpoint that a new training stage can start from."""

from pydantic_settings import CliPositionalArg

from olmo2.base.config import Recipe
from olmo2.base.files import atomic_folder, require_vacant
from olmo2.checkpoint.folder import DTYPE_CHOICES, DtypeChoice, copy_model_folder, find_model_folder
from olmo2.checkpoint.keep import write_contents


class ImportRecipe(Recipe):
    """Everything that `import` needs to know."""

    source: CliPositionalArg[str]
    """Hugging Face folder or hub name of an OLMo 2 model with safetensors weights"""
    output: CliPositionalArg[str]
    """checkpoint folder to write"""
    revision: str | None = None
    """branch, tag or commit on the hub, such as stage1-step140000-tokens294B"""
    dtype: DtypeChoice = "stored"
    """of the weights: stored (bit for bit those of the source), fp32, bf16 or fp16"""


def import_(recipe: ImportRecipe) -> None:
    """Write the checkpoint."""
    require_vacant(recipe.output, "output")
    source = find_model_folder(recipe.source, recipe.revision)
    with atomic_folder(recipe.output) as partial:
        copy_model_folder(source, partial, dtype=DTYPE_CHOICES[recipe.dtype])
        write_contents(partial)
    print(f"imported {source} as {recipe.output}, without trainer state")
