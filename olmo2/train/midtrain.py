"""Stage 2: go on from a stage-1 checkpoint, optimizer moments included, with the rate falling linearly to zero."""

from pathlib import Path

import torch
from pydantic import Field

from olmo2.checkpoint.folder import find_model_folder, load_model
from olmo2.checkpoint.keep import TRAINER_FOLDER
from olmo2.checkpoint.load import load_trainer_state
from olmo2.optim.schedule import LinearSchedule
from olmo2.train.assemble import Start, TrainRecipe, assemble
from olmo2.train.loop import train
from olmo2.train.pretrain import TokenDataSettings


class MidtrainRecipe(TrainRecipe):
    """Everything that stage 2 needs to know."""

    load_path: str = Field(min_length=1)
    """checkpoint, model folder (remote ones too) or hub name to start from; step and tokens start again at zero"""
    data: TokenDataSettings
    schedule: LinearSchedule = LinearSchedule()


def midtrain(recipe: MidtrainRecipe) -> Path:
    """Run stage 2 and return its last checkpoint."""

    def start() -> Start:
        folder = find_model_folder(recipe.load_path, with_trainer_state=True)
        model, tokenizer = load_model(folder, dtype=torch.float32)
        if not (folder / TRAINER_FOLDER).is_dir():
            print(f"{folder} holds no trainer state: the optimizer's moments start from zero")
            return Start(model, tokenizer, str(folder))
        tensors, _ = load_trainer_state(folder)
        return Start(model, tokenizer, str(folder), tensors)

    return train(assemble(recipe, start, recipe.data.windows))
