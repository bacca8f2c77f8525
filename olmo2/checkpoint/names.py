"""The name of a checkpoint, which is also the revision under which it is published.

    {stage}-step{S}-tokens{K}B      K = tokens seen, in billions rounded up
    {stage}-step{S}-tokens{K}M      in millions, in a run that is shorter than a billion tokens as a whole

Source   OLMo-core src/examples/huggingface/upload_checkpoint_to_hf.py. The published stage-2 revisions of the 7B and
         13B models carry the nominal 50B, 100B and 300B where this rule says one more; they are read all the same.
"""

import re

BILLION, MILLION = 10**9, 10**6
STAGE_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
NAME_PATTERN = re.compile(rf"(?P<stage>{STAGE_PATTERN.pattern})-step(?P<step>\d+)-tokens\d+[BM]")


def checkpoint_name(stage: str, step: int, tokens: int, *, total_tokens: int) -> str:
    """Return the name of the checkpoint after a step, with `tokens` of the stage's `total_tokens` seen."""
    assert STAGE_PATTERN.fullmatch(stage), stage
    unit, letter = (BILLION, "B") if total_tokens >= BILLION else (MILLION, "M")
    return f"{stage}-step{step}-tokens{max(1, -(-tokens // unit))}{letter}"


def parse_checkpoint_name(name: str) -> tuple[str, int] | None:
    """Return (stage, step), or None if `name` is not the name of a checkpoint."""
    match = NAME_PATTERN.fullmatch(name)
    return None if match is None else (match["stage"], int(match["step"]))
