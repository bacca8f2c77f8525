"""Continue a text, or answer a question, and print what the model writes."""

from pydantic import Field
from pydantic_settings import CliPositionalArg

from olmo2.base.config import Recipe
from olmo2.checkpoint.folder import DTYPE_CHOICES, DtypeChoice, load_model
from olmo2.inference.decode import complete
from olmo2.inference.sampling import SamplingSettings
from olmo2.parallel.device import choose_device
from olmo2.tokenizer.chat_template import encode_chat


class GenerateRecipe(Recipe):
    """Everything that `generate` needs to know."""

    model: CliPositionalArg[str]
    """checkpoint, Hugging Face folder or hub name"""
    prompt: list[str] = Field(min_length=1)
    """texts to continue; repeat the setting for several"""
    chat: bool = False
    """treat each prompt as a user's message and answer it"""
    revision: str | None = None
    """revision of a hub name"""
    device: str = "auto"
    """auto, cuda, mps, xpu or cpu"""
    dtype: DtypeChoice = "stored"
    """of weights and activations"""
    sampling: SamplingSettings = SamplingSettings()


def generate(recipe: GenerateRecipe) -> None:
    """Print the completion of every prompt."""
    model, tokenizer = load_model(
        recipe.model, dtype=DTYPE_CHOICES[recipe.dtype], device=choose_device(recipe.device), revision=recipe.revision
    )
    if recipe.chat:
        turns = [[{"role": "user", "content": text}] for text in recipe.prompt]
        prompts = [encode_chat(tokenizer, messages, add_generation_prompt=True)[0] for messages in turns]
    else:
        prompts = [tokenizer.encode(text) for text in recipe.prompt]
    for prompt, completion in zip(
        recipe.prompt, complete(model, prompts, recipe.sampling, stop_id=tokenizer.eos_id), strict=True
    ):
        print((prompt if not recipe.chat else "") + tokenizer.decode(completion))
