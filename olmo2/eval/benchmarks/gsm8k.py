"""GSM8K (arXiv 2110.14168): word problems of primary school, answered with a chain of thought and a number."""

from functools import partial

from olmo2.eval.rendering import Example, many_turns, plain_prompt
from olmo2.eval.sources import Row, Rows, Source
from olmo2.eval.task import Prompt, Scores, Task, Written
from olmo2.grading.final_answer import is_correct
from olmo2.grading.last_number import score_last_number

ROWS = Rows("openai/gsm8k", "main", "test", ("gsm8k/test",), need=("question", "answer"))
STOP = ("Question:", "</s>", "<|im_end|>")


def load_chat(source: Source) -> list[Written]:
    """Return the problems as the last of many turns."""
    examples = read_examples(source)
    return [item(doc_id, row, many_turns(asked(row), examples, prefix="Answer:")) for doc_id, row in problems(source)]


def load_plain(source: Source) -> list[Written]:
    """Return the problems behind the examples in one text."""
    examples = read_examples(source)
    return [item(doc_id, row, plain_prompt(asked(row), examples)) for doc_id, row in problems(source)]


def problems(source: Source) -> list[tuple[int, Row]]:
    """Return the numbered rows."""
    return list(enumerate(source.rows(ROWS)))


def read_examples(source: Source) -> list[Example]:
    """Return the eight examples."""
    return [(asked(row), row["answer"]) for row in source.examples("STD:GSM8k", 8)]


def asked(row: Row) -> str:
    """Return a problem in full."""
    return f"Question: {row['question']}\nAnswer:"


def item(doc_id: int, row: Row, prompt: Prompt) -> Written:
    """Return a problem with its grader."""
    answer = row["answer"].split("####")[-1].strip()
    return Written(doc_id, row["question"], answer, prompt, partial(grade, answer=answer))


def grade(response: str, *, answer: str) -> Scores:
    """Return the published exact match of the last number, and our own which keeps signs and compares by value."""
    return {"exact_match": score_last_number(response, answer), "exact_value": float(is_correct(response, answer))}


TASKS = (
    Task(
        "gsm8k",
        1,
        "GSM8K, 8 examples as turns, chain of thought, last number",
        load_chat,
        "exact_match",
        1319,
        max_new_tokens=512,
        stop=STOP,
        aliases=("gsm8k::tulu",),
    ),
    Task(
        "gsm8k:base",
        1,
        "GSM8K, 8 examples in one text, chain of thought, last number",
        load_plain,
        "exact_match",
        1319,
        max_new_tokens=512,
        stop=(*STOP, "\n\n"),
        aliases=("gsm8k::olmes",),
    ),
)
