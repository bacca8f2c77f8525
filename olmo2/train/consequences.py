"""What follows from a training recipe before anything runs: parameters, steps, learning rates, FLOPs."""

from pathlib import Path

from olmo2.checkpoint.folder import find_model_folder
from olmo2.checkpoint.load import read_model_config
from olmo2.model.flops import num_parameters, total_train_flops
from olmo2.model.sizes import DOLMA2_VOCABULARY, ModelConfig
from olmo2.optim.schedule import learning_rate
from olmo2.tokenizer.tokenizer import load_tokenizer
from olmo2.train.assemble import TrainRecipe
from olmo2.train.finetune import FinetuneRecipe
from olmo2.train.midtrain import MidtrainRecipe
from olmo2.train.pretrain import PretrainRecipe
from olmo2.train.sft import SftRecipe


def consequences(recipe: TrainRecipe) -> dict[str, str]:
    """Return what follows, by name, as text; what needs files that are not there yet is said so."""
    facts: dict[str, str] = {}
    config = shape_of(recipe)
    if config is None:
        facts["model"] = "as in load_path, which is not on this machine yet"
    else:
        if isinstance(recipe, PretrainRecipe):
            is_known = Path(recipe.tokenizer).exists()
            assumed = "" if is_known else f" (assumed: {recipe.tokenizer} is not on this machine)"
            facts["rows of the embedding"] = f"{config.vocab_size:,}{assumed}"
        facts["parameters"] = f"{num_parameters(config):,}"
        facts["parameters without the input embedding"] = f"{num_parameters(config, has_embedding=False):,}"
    batch, steps = recipe.run.global_batch_tokens, recipe.run.num_steps(None)
    if steps is None:
        facts["tokens"] = f"as many as the data hold, {recipe.run.epochs:g} times"
        return facts
    total = steps * batch
    facts["tokens"] = f"{total:,}"
    facts["steps"] = f"{steps:,}"
    rates = [learning_rate(recipe.schedule, recipe.optim.peak_lr, step * batch, total) for step in (1, steps)]
    facts["learning rate, first step"], facts["learning rate, last step"] = (f"{rate:.6g}" for rate in rates)
    if config is not None:
        facts["FLOPs (6 x parameters x tokens)"] = f"{total_train_flops(config, total):.4g}"
    return facts


def shape_of(recipe: TrainRecipe) -> ModelConfig | None:
    """Return the model's shape; None if it comes from a folder that is not there. Nothing is fetched from a hub."""
    if isinstance(recipe, PretrainRecipe):
        is_known = Path(recipe.tokenizer).exists()
        return recipe.model.config(load_tokenizer(recipe.tokenizer).vocab_size if is_known else DOLMA2_VOCABULARY)
    assert isinstance(recipe, FinetuneRecipe | MidtrainRecipe | SftRecipe)
    folder = Path(recipe.load_path).expanduser()
    return read_model_config(find_model_folder(folder)) if folder.is_dir() else None
