"""Which model a verb talks to, where, and how it chooses its words: settings that several verbs share."""

from typing import Literal

from pydantic import model_validator
from pydantic_settings import CliPositionalArg

from olmo2.base.config import Recipe
from olmo2.checkpoint.folder import DTYPE_CHOICES, DtypeChoice, find_model_folder, load_model, read_model_folder
from olmo2.inference.engine import Engine, EngineSettings
from olmo2.inference.engine_base import EngineBase
from olmo2.inference.sampling import SamplingSettings
from olmo2.inference.vllm_engine import VllmEngine, VllmSettings
from olmo2.parallel.device import choose_device


class ModelRecipe(Recipe):
    """The model, and what computes it where."""

    model: CliPositionalArg[str]
    """run folder, checkpoint, Hugging Face folder or hub name; NAME@REVISION for one of its revisions"""
    revision: str | None = None
    """revision of a hub name, or checkpoint of a run folder"""
    device: str = "auto"
    """auto, cuda, mps, xpu or cpu"""
    dtype: DtypeChoice = "stored"
    """of weights and activations"""
    engine: EngineSettings = EngineSettings()
    backend: Literal["olmo2", "vllm"] = "olmo2"
    """what computes: this program, or vLLM (needs the extra vllm)"""
    vllm: VllmSettings = VllmSettings()

    @model_validator(mode="after")
    def check_backend(self) -> "ModelRecipe":
        """Raise ValueError for settings of the other back end."""
        if self.backend == "vllm" and "device" in self.model_fields_set:
            raise ValueError("vllm chooses its devices itself; leave device out")
        if self.backend == "olmo2" and "vllm" in self.model_fields_set:
            raise ValueError("settings of vllm need --backend=vllm")
        return self

    def load(self) -> EngineBase:
        """Load the model and its tokenizer into the engine asked for."""
        return self.load_into_vllm() if self.backend == "vllm" else self.load_here()

    def load_here(self) -> Engine:
        """Load the model and its tokenizer into an engine of this program."""
        dtype, device = DTYPE_CHOICES[self.dtype], choose_device(self.device)
        model, tokenizer = load_model(self.model, dtype=dtype, device=device, revision=self.revision)
        return Engine(model, tokenizer, self.engine)

    def load_into_vllm(self) -> VllmEngine:
        """Let vLLM open the model's folder."""
        folder = find_model_folder(self.model, self.revision)
        config, tokenizer = read_model_folder(folder)
        return VllmEngine(
            folder, config, tokenizer, self.vllm, dtype=self.dtype, max_sequences=self.engine.max_sequences
        )


class SamplingRecipe(ModelRecipe):
    """The same, and how answers are drawn."""

    sampling: SamplingSettings = SamplingSettings()
