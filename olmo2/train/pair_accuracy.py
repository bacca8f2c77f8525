"""How often a model, of whatever stage, prefers the chosen one of two conversations."""

from pathlib import Path

from olmo2.checkpoint.folder import load_model
from olmo2.data.preferences import PreferenceDataSettings
from olmo2.parallel.ranks import alone
from olmo2.train.heldout_pairs import pair_evaluation
from olmo2.train.preference_objective import PreferenceLossSettings
from olmo2.train.reward_model import reward_objective

BATCH_ROWS = 8


def pair_accuracy(folder: Path, data: PreferenceDataSettings) -> float:
    """Return the share of the held-out pairs of `data` that the model in `folder` tells apart.

    A reward model gives the chosen conversation the higher score; to a language model its answers are likelier, as a
    mean over their tokens.
    """
    model, tokenizer = load_model(folder, head=None)
    is_reward = model.config.head == "reward"
    objective = reward_objective() if is_reward else PreferenceLossSettings(kind="simpo").objective()
    pairs = data.heldout_pairs(tokenizer)
    return pair_evaluation(objective, pairs, batch_sequences=BATCH_ROWS, ranks=alone())(model)["heldout_pairs/accuracy"]
