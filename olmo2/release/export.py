"""Turn a checkpoint into a clean Hugging Face folder: weights, config and tokenizer, no trainer state."""

from pydantic import Field
from pydantic_settings import CliPositionalArg

from olmo2.base.config import Recipe
from olmo2.base.files import BYTES_PER_GB, atomic_folder, require_vacant
from olmo2.checkpoint.folder import DTYPE_CHOICES, DtypeChoice, copy_model_folder, find_model_folder, model_folder_files


class ExportRecipe(Recipe):
    """Everything that `export` needs to know."""

    checkpoint: CliPositionalArg[str]
    """checkpoint to release"""
    output: CliPositionalArg[str]
    """folder to write"""
    dtype: DtypeChoice = "stored"
    """of the released weights: stored (bit for bit those of the checkpoint), fp32, bf16 or fp16"""
    max_shard_gb: float = Field(default=5.0, gt=0)
    """largest size of one weight file in gigabytes (1e9 bytes)"""


def export(recipe: ExportRecipe) -> None:
    """Write the release folder."""
    require_vacant(recipe.output, "output")
    source = find_model_folder(recipe.checkpoint)
    with atomic_folder(recipe.output) as partial:
        copy_model_folder(
            source,
            partial,
            dtype=DTYPE_CHOICES[recipe.dtype],
            max_shard_bytes=int(recipe.max_shard_gb * BYTES_PER_GB),
        )
        num_bytes = sum(path.stat().st_size for path in model_folder_files(partial))
    print(f"released {source} as {recipe.output}, {num_bytes / 1e6:,.1f} MB")
    print(f"to compare it with transformers: olmo2 verify {recipe.output}")
