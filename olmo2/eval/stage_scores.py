"""Score a model after a stage: bits per byte on held-out text, and problems with a checkable answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olmo2.checkpoint.folder import load_model
from olmo2.corpus.document import read_json_lines
from olmo2.data.token_files import open_tokens
from olmo2.data.windows import Windows
from olmo2.eval.answers import check_answers
from olmo2.eval.heldout import heldout_batches, heldout_loss
from olmo2.parallel.ranks import alone
from olmo2.tokenizer.chat_template import encode_chat
from olmo2.tokenizer.tokenizer import Tokenizer

SEQ_LEN = 256
MAX_HELDOUT_TOKENS = 32_768
MAX_NEW_TOKENS = 32


@dataclass(frozen=True)
class StageScores:
    """What a model can do after a stage."""

    bits_per_byte: float
    accuracy_ratio: float
    example: str  # a question and what the model wrote


def score_stage(folder: Path, *, heldout: Path, problems: Path, is_chat: bool) -> StageScores:
    """Score the model in `folder` on a token folder and on a file of problems {"question": ..., "answer": ...}.

    A base model is asked in the form "Question: ...\\nAnswer:" and read up to the end of the line; a tuned one
    (`is_chat`) as a user's message.
    """
    model, tokenizer = load_model(folder)
    windows = Windows(
        open_tokens([str(heldout)], None), seq_len=SEQ_LEN, vocab_size=tokenizer.vocab_size, repetition_filter=False
    )
    batches = heldout_batches(windows, batch_sequences=16, max_tokens=MAX_HELDOUT_TOKENS)
    held_out = heldout_loss(model, batches, tokenizer.token_bytes(), alone())
    rows: list[Any] = [row for _, row in read_json_lines(problems, "")]
    checked = check_answers(
        model,
        tokenizer,
        prompts(tokenizer, [row["question"] for row in rows], is_chat),
        [row["answer"] for row in rows],
        max_new_tokens=MAX_NEW_TOKENS,
        stop_text=None if is_chat else "\n",
    )
    example = f"  {rows[0]['question']}\n  > {checked.responses[0].strip()}"
    return StageScores(held_out.bits_per_byte, checked.accuracy_ratio, example)


def prompts(tokenizer: Tokenizer, questions: Sequence[str], is_chat: bool) -> list[list[int]]:
    """Return the token ids that ask each question."""
    if is_chat:
        turns = [[{"role": "user", "content": question}] for question in questions]
        return [encode_chat(tokenizer, messages, add_generation_prompt=True)[0] for messages in turns]
    return [tokenizer.encode(f"Question: {question}\nAnswer:") for question in questions]
