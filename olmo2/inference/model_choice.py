"""Which model a verb talks to, where, and how it chooses its words: the settings that generate and chat share."""

from pydantic_settings import CliPositionalArg

from olmo2.base.config import Recipe
from olmo2.checkpoint.folder import DTYPE_CHOICES, DtypeChoice, load_model
from olmo2.inference.engine import Engine, EngineSettings
from olmo2.inference.sampling import SamplingSettings
from olmo2.parallel.device import choose_device


class ModelRecipe(Recipe):
    """The model, its place and its sampling."""

    model: CliPositionalArg[str]
    """run folder, checkpoint, Hugging Face folder or hub name; NAME@REVISION for one of its revisions"""
    revision: str | None = None
    """revision of a hub name, or checkpoint of a run folder"""
    device: str = "auto"
    """auto, cuda, mps, xpu or cpu"""
    dtype: DtypeChoice = "stored"
    """of weights and activations"""
    sampling: SamplingSettings = SamplingSettings()
    engine: EngineSettings = EngineSettings()

    def load(self) -> Engine:
        """Load the model and its tokenizer into an engine."""
        dtype, device = DTYPE_CHOICES[self.dtype], choose_device(self.device)
        model, tokenizer = load_model(self.model, dtype=dtype, device=device, revision=self.revision)
        return Engine(model, tokenizer, self.engine)
