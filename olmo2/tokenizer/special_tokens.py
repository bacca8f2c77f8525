"""The tokens that dolma2 adds after its ordinary vocabulary, in the order of their ids.

The published vocabulary ends with them (ids 100,256 to 100,277); a vocabulary trained here ends with the same names.
A token marked special is a control token: text that merely looks like it never becomes its id. The others stand
for text (masked personal data) or are spare.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class AddedToken:
    """One token beyond the ordinary vocabulary."""

    text: str
    is_special: bool


END_OF_TEXT = "<|endoftext|>"
PADDING = "<|pad|>"

DOLMA2_ADDED_TOKENS: tuple[AddedToken, ...] = (
    AddedToken("<|extra_id_0|>", is_special=False),
    AddedToken(END_OF_TEXT, is_special=True),
    AddedToken("<|fim_prefix|>", is_special=True),
    AddedToken("<|fim_middle|>", is_special=True),
    AddedToken("<|fim_suffix|>", is_special=True),
    AddedToken("|||PHONE_NUMBER|||", is_special=False),
    AddedToken("|||EMAIL_ADDRESS|||", is_special=False),
    AddedToken("|||IP_ADDRESS|||", is_special=False),
    AddedToken("<|im_start|>", is_special=True),
    AddedToken("<|im_end|>", is_special=True),
    *(AddedToken(f"<|extra_id_{number}|>", is_special=False) for number in range(1, 11)),
    AddedToken("<|endofprompt|>", is_special=True),
    AddedToken(PADDING, is_special=True),
)
