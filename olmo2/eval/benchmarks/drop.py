"""DROP (arXiv 1903.00161): questions about a passage that ask for counting, sorting or arithmetic."""

import json
import random
from collections.abc import Sequence
from functools import partial

from olmo2.eval.rendering import Example, plain_prompt
from olmo2.eval.sources import SAMPLING_SEED, Row, Rows, Source
from olmo2.eval.task import Scores, Task, Written
from olmo2.grading.drop_answer import score_drop_answer

Answers = tuple[tuple[str, ...], ...]

NEED = ("passage", "question")
ROWS = Rows(
    "EleutherAI/drop",
    "default",
    "validation",
    ("drop/validation", "drop/val1000_olmes_docs"),
    need=NEED,
    num_rows=9_536,
)
TRAIN = Rows("EleutherAI/drop", "default", "train", ("drop/train",), need=NEED)
STOP = ("Passage:", "Question:", "\n\n")
NUM_SAMPLED = 1000


def load_instruct(source: Source) -> list[Written]:
    """Return all questions behind three of the training split; no chat layout for tuned models either (Tulu 3)."""
    if source.has(TRAIN):
        examples = read_examples(random.Random(SAMPLING_SEED).sample(source.rows(TRAIN), 3))
    else:
        source.note("examples of OLMES:drop instead of three of DROP's training split")
        examples = read_examples(source.examples("OLMES:drop", 3))
    return [item(doc_id, row, examples) for doc_id, row in enumerate(source.rows(ROWS))]


def load_base(source: Source) -> list[Written]:
    """Return a thousand questions behind a description and five examples."""
    rows = source.sampled(ROWS, NUM_SAMPLED)
    examples = read_examples(source.examples("OLMES:drop", 5))
    description = source.text("fewshot/olmes_descriptions.json", lambda text: json.loads(text)["drop::olmes"]) or ""
    return [item(doc_id, row, examples, description) for doc_id, row in enumerate(rows)]


def read_examples(rows: Sequence[Row]) -> list[Example]:
    """Return the examples, each with its first answer."""
    return [(asked(row), ", ".join(answers_of(row)[0])) for row in rows]


def asked(row: Row) -> str:
    """Return a question in full, behind its passage."""
    return f"Passage: {row['passage']}\nQuestion: {row['question']}\nAnswer:"


def answers_of(row: Row) -> Answers:
    """Return all accepted answers, each of one span or more, the writer's own first and every one once."""
    if "answers" in row:
        return tuple(tuple(answer) for answer in row["answers"])
    validated = row["validated_answers"]
    others = [
        {"number": number, "date": date, "spans": spans}
        for number, date, spans in zip(validated["number"], validated["date"], validated["spans"], strict=True)
    ]
    return tuple(dict.fromkeys(spans_of(answer) for answer in (row["answer"], *others)))


def spans_of(answer: Row) -> tuple[str, ...]:
    """Return the spans of one answer: a number, spans or a date."""
    if answer["number"] != "":
        return (str(answer["number"]),)
    if answer["spans"]:
        return tuple(answer["spans"])
    return (" ".join(answer["date"][part] for part in ("day", "month", "year")).strip(),)


def item(doc_id: int, row: Row, examples: Sequence[Example], description: str = "") -> Written:
    """Return a question with its grader."""
    answers = answers_of(row)
    prompt = plain_prompt(asked(row), examples, description)
    question = f"{row['passage']}\n{row['question']}"
    return Written(doc_id, question, ", ".join(answers[0]), prompt, partial(grade, answers=answers))


def grade(response: str, *, answers: Answers) -> Scores:
    """Return F1 and exact match against the best answer."""
    exact_match, f1 = score_drop_answer(response, answers)
    return {"f1": f1, "exact_match": exact_match}


TASKS = (
    Task(
        "drop",
        1,
        "DROP, 3 examples of the training split in one text, F1",
        load_instruct,
        "f1",
        9536,
        max_new_tokens=50,
        stop=STOP,
        aliases=("drop::llama3",),
    ),
    Task(
        "drop:base",
        1,
        "DROP, 1,000 questions, 5 examples in one text, F1",
        load_base,
        "f1",
        1000,
        max_new_tokens=100,
        stop=STOP,
        aliases=("drop::olmes",),
    ),
)
