"""A JSON-lines file of prompts -> the same lines with completions; what was done is kept if the work is stopped.

Lines that are done go into OUTPUT.partial in the order in which they end, behind a first line that says what they were
made with. When all are there they are put in order into OUTPUT.
"""

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from olmo2.base.errors import UsageError
from olmo2.base.files import atomic_file, disk_errors, fingerprint
from olmo2.checkpoint.folder import model_folder_files
from olmo2.corpus.document import read_json_lines
from olmo2.inference.request import Completion
from olmo2.tokenizer.chat_template import encode_chat
from olmo2.tokenizer.tokenizer import Tokenizer

Row = Mapping[str, Any]
ADDED = ("completion", "finish_reason", "token_ids", "logprobs")  # keys of what is written


def read_prompts(
    path: Path, tokenizer: Tokenizer, check: Callable[[list[int]], object], *, is_chat: bool
) -> tuple[list[Row], list[list[int]]]:
    """Return the rows of a file and the token ids of their prompts. Raises UsageError naming the line that is wrong.

    `check` raises UsageError for a prompt that cannot be answered.
    """
    if not path.is_file():
        raise UsageError(f"there is no file of prompts {path}")
    rows: list[Row] = []
    ids: list[list[int]] = []
    for number, row in read_json_lines(path, ""):
        if not isinstance(row, Mapping) or ("prompt" in row) == ("messages" in row):
            raise UsageError(f'{path}:{number}: the row must be an object with either "prompt" or "messages"')
        try:
            if taken := [name for name in ADDED if name in row]:
                raise UsageError(f'"{taken[0]}" would be written over; give it another name')
            ids.append(prompt_ids(tokenizer, row, is_chat=is_chat))
            check(ids[-1])
        except UsageError as error:
            raise UsageError(f"{path}:{number}: {error}") from None
        rows.append(row)
    if not rows:
        raise UsageError(f'{path} is empty; it must hold prompts, such as {{"prompt": "Once upon"}}, one a line')
    return rows, ids


def prompt_ids(tokenizer: Tokenizer, row: Row, *, is_chat: bool) -> list[int]:
    """Return the token ids of a row's "messages" or "prompt"; with `is_chat` a prompt is a user's message."""
    if "messages" in row:
        return encode_chat(tokenizer, row["messages"], add_generation_prompt=True)[0]
    if not isinstance(row["prompt"], str):
        raise UsageError('"prompt" must be text')
    if is_chat:
        return encode_chat(tokenizer, [{"role": "user", "content": row["prompt"]}], add_generation_prompt=True)[0]
    return tokenizer.encode(row["prompt"])


class CompletionFile:
    """The output of one job: which rows are done, and room for more."""

    def __init__(self, output: Path, rows: list[Row], made_with: str) -> None:
        """Open the output of `rows`. `made_with` is text that differs where the completions would.

        Raises UsageError if something complete is in the way, or what was begun was made with something else.
        """
        self.output, self.rows = output, rows
        self.partial = output.with_name(f"{output.name}.partial")
        if output.exists():
            raise UsageError(f"{output} exists; choose another output, or remove it")
        self.header = {"made_with": hashlib.sha256(made_with.encode()).hexdigest(), "rows": len(rows)}
        self.done: dict[int, Row] = {}
        if self.partial.exists():
            self.read_partial()

    def read_partial(self) -> None:
        """Take over what an earlier call has done; a last line that was cut short is left out."""
        lines = self.partial.read_bytes().split(b"\n")[:-1]
        try:
            values = [json.loads(line) for line in lines]
            header = values[0] if values else None
            found: dict[int, Row] = {row["row"]: dict(row["completed"]) for row in values[1:]}
            if not set(found) <= set(range(len(self.rows))):
                raise ValueError("rows that are not there")
        except (ValueError, KeyError, TypeError):
            raise UsageError(f"{self.partial} is damaged; remove it to begin again") from None
        if header is None:
            return
        if header != self.header:
            raise UsageError(
                f"{self.partial} was made with another model, other prompts or other settings; repeat the command that "
                f"made it, or remove {self.partial.name} to begin again"
            )
        self.done = found

    @contextmanager
    def adding(self) -> Iterator[Callable[[int, Completion], None]]:
        """Give a function that writes down the completion of the row of a number."""
        with disk_errors(self.partial), open(self.partial, "a", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(f"another process is writing to {self.partial}; wait for it") from None
            file.truncate(self.partial.read_bytes().rfind(b"\n") + 1)  # without a line that was cut short
            if not self.partial.stat().st_size:
                write_line(file, self.header)

            def add(number: int, completion: Completion) -> None:
                self.done[number] = completed_row(self.rows[number], completion)
                write_line(file, {"row": number, "completed": self.done[number]})
                file.flush()

            yield add

    def finish(self) -> None:
        """Write all rows in order; all must be done."""
        with atomic_file(self.output) as file:
            for number in range(len(self.rows)):
                write_line(file, self.done[number])
        self.partial.unlink(missing_ok=True)


def completed_row(row: Row, completion: Completion) -> Row:
    """Return a row with what was written."""
    added = {"completion": completion.text, "finish_reason": completion.finish_reason}
    logprobs = {"token_ids": completion.token_ids, "logprobs": completion.logprobs} if completion.logprobs else {}
    return {**row, **added, **logprobs}


def write_line(file: IO[str], row: Row) -> None:
    """Write one JSON object."""
    file.write(json.dumps(row, ensure_ascii=False) + "\n")


def made_with(settings: Mapping[str, Any], prompts: Path, model: Path) -> str:
    """Return text that says with which settings, prompts and model, the folder, completions are made."""
    files = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in model_folder_files(model)]
    return json.dumps([dict(settings), fingerprint(prompts), files], sort_keys=True)
