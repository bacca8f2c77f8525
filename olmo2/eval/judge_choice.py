"""Which judge reads responses: settings that several verbs share."""

import gc
from pathlib import Path

import torch
from pydantic import model_validator

from olmo2.base.config import Settings
from olmo2.checkpoint.folder import find_model_folder, read_model_folder
from olmo2.eval.judge import EngineJudge, Judge, ServerJudge
from olmo2.eval.model_under_test import hash_of, short_name
from olmo2.eval.server_client import ServerClient, ServerSettings
from olmo2.inference.engine_base import EngineBase
from olmo2.inference.model_choice import ModelRecipe


class JudgeSettings(Settings):
    """The model that judges responses, where a benchmark needs one."""

    server: str | None = None
    """address of a server with OpenAI's interface, such as http://127.0.0.1:8000/v1"""
    model: str | None = None
    """its name at the server; without a server, a folder or hub name of a judge that is loaded here"""
    requests: ServerSettings = ServerSettings()

    @model_validator(mode="after")
    def has_a_place(self) -> "JudgeSettings":
        """Raise ValueError for settings of a server without one."""
        if self.server is None and "requests" in self.model_fields_set:
            raise ValueError("requests are sent to a server: name one with judge.server")
        return self


def open_judge(settings: JudgeSettings) -> Judge | None:
    """Return the judge; None if none was asked for. One that is loaded here is found now and loaded when it is asked.

    Raises UsageError for a model that cannot be found, RunError for a server that does not name its model.
    """
    if settings.server is not None:
        return ServerJudge(ServerClient(settings.server, settings.model, settings.requests))
    if settings.model is None:
        return None
    folder = find_model_folder(settings.model)
    read_model_folder(folder)
    return EngineJudge(short_name(settings.model, None), lambda: load_judge(folder), identity=hash_of(folder))


def load_judge(folder: Path) -> EngineBase:
    """Load a judge, in the memory that a model before it had."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return ModelRecipe(model=str(folder)).load()
