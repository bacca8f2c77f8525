"""Rows of conversations on disk: input_ids.npy and label_mask.npy, both raw, and chats.json, which describes them.

input_ids.npy   (rows · seq_len) little-endian ids, uint16 or uint32, no NumPy header; padding on the right of each row
label_mask.npy  (rows · seq_len) bytes, 1 where the token is a target: the layout of allenai/OLMo prepare_tulu_data.py
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from olmo2.base.errors import UsageError
from olmo2.base.files import read_json

INPUT_IDS_FILE = "input_ids.npy"
LABEL_MASK_FILE = "label_mask.npy"
CHATS_JSON = "chats.json"


class ChatRows(BaseModel):
    """The content of chats.json. Tokens are counted without padding."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seq_len: int
    dtype: Literal["uint16", "uint32"]
    vocab_size: int
    tokenizer: str
    """Fingerprint of the tokenizer."""
    layout: Literal["template", "tulu"]
    num_rows: int
    num_tokens: int
    num_targets: int
    num_truncated: int
    num_dropped: int

    def require_use(self, path: str, seq_len: int, dtype: str | None, fingerprint: str, *, has_masks: bool) -> None:
        """Raise UsageError where data settings would read the rows at `path` as something else than they are."""
        if seq_len != self.seq_len:
            raise UsageError(
                f"{path} holds rows of {self.seq_len} tokens, but data.seq_len (model.max_sequence_length of an old "
                f"config) is {seq_len}; set it to {self.seq_len}, or tokenize the conversations again"
            )
        if dtype not in (None, self.dtype):
            raise UsageError(
                f"{path} holds {self.dtype} ids, but data.dtype (data.memmap_dtype of an old config) is {dtype}; "
                f"set it to {self.dtype}"
            )
        if fingerprint != self.tokenizer:
            raise UsageError(
                f"{path} was made with another tokenizer than the model's; tokenize the conversations again with the "
                "model's own"
            )
        if not has_masks:
            raise UsageError(
                f"{path} holds padded conversations: name their targets with "
                f"--data.label_mask_paths=[{Path(path).with_name(LABEL_MASK_FILE)}]"
            )


def described_dtype(paths: Iterable[str]) -> str | None:
    """Return the dtype of the ids at the first of `paths` that is described as rows of conversations; None if none."""
    found = (described_rows(path) for path in paths)
    return next((rows.dtype for rows in found if rows is not None), None)


def described_rows(path: str) -> ChatRows | None:
    """Read the description beside a file of rows; None if there is none. UsageError for the folder itself."""
    place = Path(path)
    if (place / CHATS_JSON).is_file():
        raise UsageError(
            f"{path} is a folder of conversations: write --data.paths=[{place / INPUT_IDS_FILE}] and "
            f"--data.label_mask_paths=[{place / LABEL_MASK_FILE}]"
        )
    description = place.with_name(CHATS_JSON)
    if place.name != INPUT_IDS_FILE or not description.is_file():
        return None
    try:
        return ChatRows.model_validate(read_json(description))
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{description} is damaged ({first['loc']}: {first['msg']}); tokenize again") from None
