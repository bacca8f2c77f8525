"""MATH (arXiv 2103.03874): problems of competitions, solved step by step with the four examples of Minerva."""

from functools import partial

from olmo2.eval.rendering import many_turns
from olmo2.eval.sources import Row, Rows, Source
from olmo2.eval.task import Prompt, Scores, Task, Written
from olmo2.grading.math_answer import gold_answer, score_math_answer

SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)
NEED = ("problem", "solution", "type")
IN_ONE_FILE = Rows("", "", "", ("math/test",), need=NEED)
BY_SUBJECT = [
    Rows("EleutherAI/hendrycks_math", subject, "test", (f"math/{subject}/test",), need=NEED) for subject in SUBJECTS
]


def load(source: Source) -> list[Written]:
    """Return the problems, from one file or from one for each subject."""
    splits = [IN_ONE_FILE] if source.has(IN_ONE_FILE) else BY_SUBJECT
    rows = [row for split in splits for row in source.rows(split)]
    examples = [(asked(row), row["solution"]) for row in source.examples("Minerva:MATH", 4)]
    return [item(doc_id, row, many_turns(asked(row), examples)) for doc_id, row in enumerate(rows)]


def asked(row: Row) -> str:
    """Return a problem in full."""
    return f"Problem:\n{row['problem']}\n\nSolution:"


def item(doc_id: int, row: Row, prompt: Prompt) -> Written:
    """Return a problem with its grader."""
    answer = gold_answer(row["solution"])
    grader = partial(grade, answer=answer)
    return Written(doc_id, row["problem"], answer, prompt, grader, group=row["type"])


def grade(response: str, *, answer: str) -> Scores:
    """Return whether the answer is written as Minerva asks for it, whether any reading is equal, and math-verify's."""
    found = score_math_answer(response, answer)
    return {
        "exact_match_flex": float(found.exact_match_flex),
        "exact_match": float(found.exact_match),
        "math_verify": float(bool(found.math_verify)),
        "was_stopped": float(found.was_stopped),
    }


TASKS = (
    Task(
        "math",
        1,
        "MATH, 4 examples as turns, any equal form of the answer, mean of 7 subjects",
        load,
        "exact_match_flex",
        5000,
        average="groups",
        max_new_tokens=1024,
        aliases=("minerva_math", "minerva_math::tulu"),
    ),
)
