"""A stage's scores are those of its parts, asked in the form that fits the model."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from olmo2.base.files import atomic_folder
from olmo2.checkpoint.folder import write_model_folder
from olmo2.data.token_files import TokenFolderWriter
from olmo2.eval import stage_scores
from olmo2.eval.stage_scores import prompts, score_stage
from olmo2.model.transformer import Transformer
from olmo2.tokenizer.tokenizer import Tokenizer


def test_the_two_forms_of_a_question(tokenizer: Tokenizer) -> None:
    base, chat = (prompts(tokenizer, ["2 + 2?"], is_chat)[0] for is_chat in (False, True))
    assert tokenizer.decode(base) == "Question: 2 + 2?\nAnswer:"
    assert tokenizer.decode(chat, skip_special=False) == "<|endoftext|><|user|>\n2 + 2?\n<|assistant|>\n"


def test_scores_of_a_folder(
    tmp_path: Path, tiny_model: Transformer, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage_scores, "SEQ_LEN", 32)
    monkeypatch.setattr(stage_scores, "MAX_NEW_TOKENS", 3)
    with atomic_folder(tmp_path / "model") as partial:
        write_model_folder(partial, tiny_model.state_dict(), tiny_model.config, tokenizer, dtype=torch.float32)
    text = "The quick brown fox jumps over the lazy dog. " * 12
    ids = np.array(tokenizer.encode(text), dtype=np.uint32)
    settings = {"vocab_size": tokenizer.vocab_size, "eos_id": tokenizer.eos_id, "tokenizer_fingerprint": "x"}
    with TokenFolderWriter(tmp_path / "tokens", **settings) as writer:
        writer.add(ids, len(text), "fox", "test", "test:1")
    (tmp_path / "problems.jsonl").write_text(json.dumps({"question": "1 + 1?", "answer": "2"}) + "\n")

    scores = score_stage(
        tmp_path / "model", heldout=tmp_path / "tokens", problems=tmp_path / "problems.jsonl", is_chat=False
    )

    windows = torch.tensor(np.append(ids, tokenizer.eos_id)[: (len(ids) + 1) // 32 * 32].astype(np.int64)).view(-1, 32)
    with torch.no_grad():
        logits = tiny_model(windows)[:, :-1].flatten(0, 1)
    nats = F.cross_entropy(logits, windows[:, 1:].flatten(), reduction="sum").item()
    num_bytes = sum(len(tokenizer.decode([token]).encode()) for token in windows[:, 1:].flatten().tolist())
    assert scores.bits_per_byte == pytest.approx(nats / math.log(2) / num_bytes, rel=1e-4)
    assert scores.accuracy_ratio == 0
    assert scores.example.startswith("  1 + 1?\n  > ")
