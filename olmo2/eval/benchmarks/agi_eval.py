"""AGIEval, English sets (arXiv 2304.06364): questions of entrance and law examinations with up to five options."""

import re
from functools import partial

from olmo2.eval.ranked import score_choices
from olmo2.eval.rendering import LETTERS, options_of, plain_prompt, with_options
from olmo2.eval.sources import Row, Rows, Source
from olmo2.eval.task import Ranked, Task

SETS = ("lsat-ar", "lsat-lr", "lsat-rc", "logiqa-en", "sat-math", "sat-en", "aqua-rat", "gaokao-english")
LETTER_BEFORE = re.compile(r"^\s*\([A-E]\)\s*|^\s*[A-E][.?]?\s*")


def load(source: Source) -> list[Ranked]:
    """Return the questions of all sets, each behind one example of its set."""
    items: list[Ranked] = []
    for name in SETS:
        rows = source.rows(Rows("", "", "", (f"agieval/olmes_v1/{name}",), need=("question", "options", "label")))
        examples = [(asked(row), row["label"]) for row in source.examples(f"agi_eval:{name}", 1)]
        for row in rows:
            options = options_of(plain_prompt(asked(row), examples), LETTERS[: len(row["options"])])
            grader = partial(score_choices, answer=LETTERS.index(row["label"]))
            question = f"{row['passage']}\n{row['question']}" if row.get("passage") else row["question"]
            items.append(Ranked(len(items), question, row["label"], options, grader, group=name))
    return items


def asked(row: Row) -> str:
    """Return a question in full, behind its passage if it has one."""
    opening = f"{row['passage']}\nQuestion: " if row.get("passage") else "Question: "
    return with_options(row["question"], [LETTER_BEFORE.sub("", option) for option in row["options"]], opening=opening)


TASKS = (
    Task(
        "agi_eval",
        1,
        "AGIEval English, 1 example, likeliest letter, mean of 8 sets",
        load,
        "acc_raw",
        2646,
        average="groups",
        aliases=("agi_eval_english:1shot::olmes",),
    ),
)
