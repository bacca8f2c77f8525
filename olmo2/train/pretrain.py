"""Stage 1: train a new model from random weights on token files."""

from pathlib import Path

from pydantic import Field

from olmo2.base.config import Settings
from olmo2.data.token_files import open_label_masks, open_tokens, require_tokenizer
from olmo2.data.windows import Windows
from olmo2.model.init import initialise
from olmo2.model.sizes import ModelConfig, model_config
from olmo2.model.transformer import Transformer
from olmo2.tokenizer.tokenizer import Tokenizer, load_tokenizer
from olmo2.train.assemble import Start, TrainRecipe, assemble
from olmo2.train.loop import train


class ModelSettings(Settings):
    """A row of the table of sizes, and changes to single fields of it."""

    size: str
    """name in olmo2/model/sizes.py, such as olmo2-1b"""
    hidden_size: int | None = None
    """width of the residual stream"""
    intermediate_size: int | None = None
    """inner width of the MLP"""
    num_hidden_layers: int | None = None
    """number of blocks"""
    num_attention_heads: int | None = None
    """query heads"""
    num_key_value_heads: int | None = None
    """key-value heads; fewer than query heads = grouped-query attention"""
    max_position_embeddings: int | None = None
    """longest sequence the model is meant for, in tokens"""

    def config(self, vocab_size: int) -> ModelConfig:
        """Return the shape for a tokenizer of `vocab_size` ids."""
        changes = {name: value for name, value in self if name != "size" and value is not None}
        return model_config(self.size, vocab_size=vocab_size, **changes)


class TokenDataSettings(Settings):
    """Token files to train on."""

    paths: list[str] = Field(min_length=1)
    """token folders (written by `olmo2 tokenize`), raw token files, or globs of them, remote ones too; repeat one to
    weigh it more"""
    seq_len: int = Field(ge=2)
    """tokens of one training sequence"""
    dtype: str | None = None
    """of raw token files that carry no description, such as uint32; null = as described"""
    label_mask_paths: list[str] = []
    """one raw boolean file for each token file: which tokens are targets; empty = all"""
    repetition_filter: bool = True
    """do not learn from sequences that repeat a pattern of up to 13 tokens 32 times or more"""
    document_mask: bool = False
    """let tokens see only their own document; OLMo 2 was trained without"""

    def windows(self, tokenizer: Tokenizer) -> Windows:
        """Open the files as sequences of seq_len tokens."""
        files = open_tokens(self.paths, self.dtype)
        require_tokenizer(files, tokenizer.fingerprint)
        return Windows(
            files,
            seq_len=self.seq_len,
            vocab_size=tokenizer.vocab_size,
            label_masks=open_label_masks(self.label_mask_paths, files) if self.label_mask_paths else (),
            repetition_filter=self.repetition_filter,
            document_mask=self.document_mask,
            eos_id=tokenizer.eos_id,
        )


class PretrainRecipe(TrainRecipe):
    """Everything that stage 1 needs to know."""

    model: ModelSettings
    tokenizer: str
    """tokenizer.json, folder or hub name"""
    data: TokenDataSettings


def pretrain(recipe: PretrainRecipe) -> Path:
    """Run stage 1 and return its last checkpoint."""

    def start() -> Start:
        tokenizer = load_tokenizer(recipe.tokenizer)
        model = Transformer(recipe.model.config(tokenizer.vocab_size))
        initialise(model, recipe.run.seed)
        return Start(model, tokenizer)

    return train(assemble(recipe, start, recipe.data.windows))
