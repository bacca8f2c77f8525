"""The share of pairs that a model tells apart, by hand."""

import json
from pathlib import Path

import pytest
import torch

from olmo2.checkpoint.folder import load_model, write_model_folder
from olmo2.data.preferences import PreferenceDataSettings, pair_of
from olmo2.tokenizer.chat_template import encode_chat
from olmo2.tokenizer.tokenizer import Tokenizer
from olmo2.train.pair_accuracy import pair_accuracy
from tests.conftest import TINY
from tests.train import trl_dpo


@pytest.fixture
def data(tmp_path: Path) -> PreferenceDataSettings:
    """Pairs and the same the other way round, of which a model tells half apart, and two more."""
    rows = trl_dpo.rows()
    swapped = [row | {"chosen": row["rejected"], "rejected": row["chosen"]} for row in rows]
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n".join(map(json.dumps, [*rows, *swapped, *rows[:2]])))
    return PreferenceDataSettings(paths=["unused"], heldout_paths=[str(file)], seq_len=200)


def test_a_language_model_by_the_mean_over_tokens(
    tmp_path: Path, tokenizer: Tokenizer, data: PreferenceDataSettings
) -> None:
    model = trl_dpo.small_model(0.0)
    (tmp_path / "model").mkdir()
    write_model_folder(tmp_path / "model", model.state_dict(), TINY, tokenizer, dtype=torch.float32)
    means = []
    for line in Path(data.heldout_paths[0]).read_text().splitlines():
        own = []
        for messages in pair_of(json.loads(line)):
            ids, is_target = encode_chat(tokenizer, messages)
            logprobs = model(torch.tensor([ids]))[0].log_softmax(-1)
            picked = [logprobs[at - 1, ids[at]].item() for at in range(1, len(ids)) if is_target[at]]
            own.append(sum(picked) / len(picked))
        means.append(own[0] > own[1])
    assert len(means) == 10 and pair_accuracy(tmp_path / "model", data) == pytest.approx(sum(means) / 10)


def test_a_reward_model_by_its_score(reward_folder: Path, data: PreferenceDataSettings) -> None:
    model, tokenizer = load_model(reward_folder, head="reward")
    right = 0
    for line in Path(data.heldout_paths[0]).read_text().splitlines():
        scores = [
            model(torch.tensor([encode_chat(tokenizer, messages)[0]]))[0, -1, 0].item()
            for messages in pair_of(json.loads(line))
        ]
        right += scores[0] > scores[1]
    assert pair_accuracy(reward_folder, data) == pytest.approx(right / 10)
