"""Continue a text, or answer a question, and print what the model writes."""

from pydantic import Field

from olmo2.inference.decode import complete
from olmo2.inference.model_choice import ModelRecipe
from olmo2.tokenizer.chat_template import encode_chat


class GenerateRecipe(ModelRecipe):
    """Everything that `generate` needs to know."""

    prompt: list[str] = Field(min_length=1)
    """texts to continue; repeat the setting for several"""
    chat: bool = False
    """treat each prompt as a user's message and answer it"""


def generate(recipe: GenerateRecipe) -> None:
    """Print every prompt with its completion, or the answer to it."""
    model, tokenizer = recipe.load()
    if recipe.chat:
        turns = [[{"role": "user", "content": text}] for text in recipe.prompt]
        prompts = [encode_chat(tokenizer, messages, add_generation_prompt=True)[0] for messages in turns]
    else:
        prompts = [tokenizer.encode(text) for text in recipe.prompt]
    completions = complete(model, prompts, recipe.sampling, stop_id=tokenizer.eos_id)
    for prompt, completion in zip(recipe.prompt, completions, strict=True):
        print(("" if recipe.chat else prompt) + tokenizer.decode(completion))
