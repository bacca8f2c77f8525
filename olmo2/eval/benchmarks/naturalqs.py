"""Natural Questions, open domain (arXiv 1906.00300): questions that people have searched for, without a text."""

from functools import partial

from olmo2.eval.rendering import plain_prompt, texts_of
from olmo2.eval.sources import Row, Rows, Source
from olmo2.eval.task import Scores, Task, Written
from olmo2.grading.short_answer import score_short_answer

ROWS = Rows(
    "google-research-datasets/nq_open",
    "nq_open",
    "validation",
    ("naturalqs/nq_open_validation_hf", "naturalqs/NQ-open.dev", "naturalqs/val1000_olmes_docs"),
    need=("question",),
    num_rows=3_610,
)
NUM_SAMPLED = 1000


def load(source: Source) -> list[Written]:
    """Return a thousand questions behind five examples."""
    examples = [(asked(row), ", ".join(answers_of(row))) for row in source.examples("OLMES:naturalqs", 5)]
    items = []
    for doc_id, row in enumerate(source.sampled(ROWS, NUM_SAMPLED)):
        answers = answers_of(row)
        grader = partial(grade, answers=answers)
        items.append(Written(doc_id, row["question"], answers[0], plain_prompt(asked(row), examples), grader))
    return items


def asked(row: Row) -> str:
    """Return a question in full."""
    return f"Question: {row['question']}\nAnswer:"


def answers_of(row: Row) -> tuple[str, ...]:
    """Return all accepted answers."""
    return tuple(texts_of(row["answers"] if "answers" in row else row["answer"]))


def grade(response: str, *, answers: tuple[str, ...]) -> Scores:
    """Return F1 and exact match against the best answer."""
    exact_match, f1 = score_short_answer(response, answers)
    return {"f1": f1, "exact_match": exact_match}


TASKS = (
    Task(
        "naturalqs",
        1,
        "Natural Questions, 1,000 questions, 5 examples, F1",
        load,
        "f1",
        NUM_SAMPLED,
        max_new_tokens=50,
        stop=("Question:", "Q:", "\n\n"),
        aliases=("naturalqs::olmes",),
    ),
)
