"""The table of published texts against real files, what is taken out of sources, and the examples written by us."""

import gzip
import hashlib
import json
import math
import re
import string
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from olmo2.eval.benchmarks import agi_eval, alpaca_eval, bbh, drop, safety
from olmo2.eval.published_texts import (
    AGIEVAL_ROWS,
    AGIEVAL_SETS,
    BBH_PROMPTS,
    COT_PROMPTS,
    DESCRIPTIONS,
    TEXTS_OF_TASKS,
    XSTEST_ROWS,
    take_constant,
    take_descriptions,
    take_examples,
)
from olmo2.eval.sources import EXAMPLES_FILE, read_own_examples, read_rows
from olmo2.eval.task_list import TASKS
from olmo2.grading.bbh_answer import score_bbh_answer
from olmo2.grading.drop_answer import score_drop_answer
from olmo2.grading.final_answer import is_correct
from olmo2.grading.last_number import score_last_number
from olmo2.grading.short_answer import contains_answer, score_short_answer

OWN = read_own_examples()
TEXTS = list({text.name: text for texts in TEXTS_OF_TASKS.values() for text in texts}.values())
LENGTHS = {
    "STD:GSM8k": 8,
    "Minerva:MATH": 4,
    "STD:bbh": 3,
    "popqa": 15,
    "Original:TruthfulQA": 6,
    "OLMES:drop": 5,
    "OLMES:naturalqs": 5,
    "OLMES:triviaqa": 5,
    "OLMES:ARC-Challenge": 5,
    "OLMES:hellaswag": 5,
    "OLMES:winogrande": 5,
    "agi_eval": 1,
    "mmlu_pro": 5,
    "mmlu": 5,
}
READ_BY_OLMES = {  # fields of a published row that prompts and answers are made of
    "STD:GSM8k": {"question", "answer", "short_answer"},
    "Minerva:MATH": {"problem", "solution"},
    "STD:bbh": {"input", "target"},
    "popqa": {"id", "prop_id", "question", "obj", "possible_answers"},
    "Original:TruthfulQA": {"question", "choices", "labels"},
    "OLMES:drop": {"query_id", "passage", "question", "answer", "validated_answers"},
    "OLMES:naturalqs": {"question", "answer"},
    "OLMES:triviaqa": {"question", "question_id", "answer"},
    "OLMES:ARC-Challenge": {"id", "question", "choices", "answerKey"},
    "OLMES:hellaswag": {"ind", "activity_label", "ctx_a", "ctx_b", "endings", "label"},
    "OLMES:winogrande": {"sentence", "option1", "option2", "answer"},
    "agi_eval": {"passage", "question", "options", "label", "explanation"},
    "mmlu_pro": {"question", "options", "answer", "answer_index", "category"},
    "mmlu": {"question", "subject", "choices", "answer"},
}


def test_every_text_is_pinned_but_for_those_of_the_hub() -> None:
    for text in TEXTS:
        assert (text.sha256 is None) == (text.site == "hub"), text.name
        assert text.sha256 is None or re.fullmatch("[0-9a-f]{64}", text.sha256)
        assert text.site == "hub" or re.fullmatch("[0-9a-f]{40}", text.revision), text.name


def test_texts_have_the_names_by_which_tasks_look_for_them() -> None:
    assert set(TEXTS_OF_TASKS) <= set(TASKS)
    assert tuple(COT_PROMPTS) == bbh.SUBTASKS and set(AGIEVAL_SETS) == set(agi_eval.SETS)
    names = {text.name for text in TEXTS}
    assert {
        EXAMPLES_FILE,
        safety.JUDGE_TEXT,
        alpaca_eval.JUDGE_TEXT,
        alpaca_eval.GAMED_FILE,
        alpaca_eval.DIFFICULTY_FILES[0],
        f"{safety.XSTEST.files[0]}.csv",
        *(f"bbh/cot-prompts/{subtask}.txt" for subtask in bbh.SUBTASKS),
        *(f"agieval/olmes_v1/{name}.jsonl" for name in agi_eval.SETS),
    } == names - {DESCRIPTIONS.name}


def test_real_files_have_these_checksums(shared: Path) -> None:
    for text in (*BBH_PROMPTS, *AGIEVAL_ROWS, XSTEST_ROWS):
        file = shared / "data" / text.name
        content = file.read_bytes() if file.is_file() else gzip.decompress(Path(f"{file}.gz").read_bytes())
        assert hashlib.sha256(content).hexdigest() == text.sha256, text.name


def test_lists_of_examples_are_read_and_nothing_runs() -> None:
    code = r"""
import os
from nowhere import other
os.abort()
FEWSHOT_SOURCES: dict = {}
OTHER_SOURCES["a"] = [1]
FEWSHOT_SOURCES["one"] = [{"q": "a \ud83d\ude42" "b", "n": None}, {"q": '\$'}]
for name in other:
    FEWSHOT_SOURCES[name] = other[name]
FEWSHOT_SOURCES.update({"two": [1, -2.5, True], "three": ("x",)})
FEWSHOT_SOURCES.pop("one")
"""
    assert json.loads(take_examples(code)) == {
        "one": [{"q": "a \N{SLIGHTLY SMILING FACE}b", "n": None}, {"q": "\\$"}],
        "two": [1, -2.5, True],
        "three": ["x"],
    }
    with pytest.raises(AssertionError, match="no list of examples"):
        take_examples("FEWSHOT_SOURCES = {}")
    with pytest.raises(ValueError, match="malformed node"):
        take_examples('FEWSHOT_SOURCES["one"] = open("x")')


def test_a_description_is_read_from_among_other_settings() -> None:
    entry = '"drop::olmes": {"num_shots": 5, "context_kwargs": {"description": "Read \\"this\\".\\n\\n"}}'
    code = f'raise SystemExit\nCONFIGS.update({{"drop": make(), {entry}, **more}})\n'
    assert json.loads(take_descriptions(code)) == {"drop::olmes": 'Read "this".\n\n'}
    with pytest.raises(AssertionError, match="describes drop::olmes 0 times"):
        take_descriptions("CONFIGS = {}")
    with pytest.raises(AssertionError, match="describes drop::olmes 2 times"):
        take_descriptions(code * 2)


def test_a_constant_is_read_by_its_name() -> None:
    code = 'import vllm\nOTHER = "x"\nPROMPT = """a\n{b}\n"""\n\n\ndef f():\n    PROMPT = "no"\n'
    assert take_constant("PROMPT", code) == "a\n{b}\n"
    with pytest.raises(AssertionError, match="assigns no text to NONE"):
        take_constant("NONE", code)


def test_there_are_as_many_examples_of_our_own_as_tasks_show() -> None:
    assert {kind: len(rows) for kind, rows in OWN.items()} == LENGTHS


def published_rows(data: Path, kind: str) -> list[Any]:
    """Rows as they were published, of one list of the kind."""
    if kind in ("mmlu", "mmlu_pro"):
        return list(read_rows(data / kind / ("dev.jsonl.gz" if kind == "mmlu" else "test.jsonl.gz")))
    lists = json.loads((data / EXAMPLES_FILE).read_text(encoding="utf-8"))
    return next(rows for key, rows in lists.items() if key.startswith(kind))


def assert_same_form(own: object, published: object, where: str) -> None:
    """Check that a value has the type of a published one; an object has fields of it only, a list elements of one."""
    assert type(own) is type(published), where
    if isinstance(own, dict) and isinstance(published, dict):
        assert set(own) <= set(published), where
        for name in own:
            assert_same_form(own[name], published[name], f"{where}.{name}")
    elif isinstance(own, list) and isinstance(published, list) and published:
        for value in own:
            assert_same_form(value, published[0], f"{where}[]")


@pytest.mark.parametrize("kind", LENGTHS)
def test_they_have_the_form_of_the_published_ones(kind: str, shared: Path) -> None:
    published = published_rows(shared / "data", kind)[0]
    for row in OWN[kind]:
        assert_same_form(dict(row), published, kind)
        assert set(row) >= READ_BY_OLMES[kind]


def texts_in(value: object) -> Iterator[str]:
    """Every text in a value of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts_in(each)


def eight_words(value: object) -> set[tuple[str, ...]]:
    """All runs of eight words."""
    lists = [re.findall(r"\w+", text.lower()) for text in texts_in(value)]
    return {tuple(words[start : start + 8]) for words in lists for start in range(len(words) - 7)}


def test_they_are_not_the_published_ones(shared: Path) -> None:
    data = shared / "data"
    own = eight_words(OWN)
    published = [data / EXAMPLES_FILE, data / "gsm8k/test.jsonl", data / "truthfulqa/mc_derived.jsonl.gz"]
    published += [data / "naturalqs/NQ-open.dev.jsonl", data / "arc/ARC-Challenge_test_docs.jsonl.gz"]
    published += [data / "winogrande/winogrande_xl_validation.jsonl.gz"]
    assert len(own) > 1000
    for file in published:
        rows = json.loads(file.read_text()) if file.suffix == ".json" else list(read_rows(file))
        assert own & eight_words(rows) == set(), file.name


def test_word_problems() -> None:
    answers = [6 * 12 - 45, 160 - 5 * 14 - 30, 2 * 18 + 3 * 9, 84 // 12, 13 + 4, 250 // 25, 50 - 45, 40 * 3 // 8 - 6]
    for row, answer in zip(OWN["STD:GSM8k"], answers, strict=True):
        assert row["short_answer"] == str(answer) and row["answer"].endswith(f" So the answer is {answer}.")
        assert is_correct(row["answer"], str(answer)) and score_last_number(row["answer"], str(answer)) == 1
        steps = re.findall(r"(\d+) ([-+*/]) (\d+) = (\d+)", row["answer"])
        assert len(steps) == row["answer"].count("=") >= 2
        for left, sign, right, result in steps:
            found = {"-": -int(right), "+": int(right)}.get(sign)
            product = Fraction(int(left)) * (int(right) if sign == "*" else Fraction(1, int(right)))
            assert int(result) == (product if found is None else int(left) + found), row["answer"]


def test_problems_of_mathematics() -> None:
    sympy = pytest.importorskip("sympy")
    from olmo2.grading.math_answer import gold_answer, score_math_answer

    answers = [
        (sum(sympy.solve("x**2 - 9*x + 14")), "9"),
        (sympy.Rational(math.comb(5, 2), math.comb(8, 2)), r"\frac{5}{14}"),
        (sympy.Rational(9 * 12, 9 + 12 + math.isqrt(9**2 + 12**2)), "3"),
        (sympy.expand("(2*x - 1)*(x + 4) - 2*(x**2 - 2)"), "7x"),
    ]
    for row, (value, written) in zip(OWN["Minerva:MATH"], answers, strict=True):
        assert sympy.latex(value).replace(" ", "") == written == gold_answer(row["solution"])
        assert row["solution"].endswith(f"\nFinal Answer: The final answer is ${written}$. I hope it is correct.")
        score = score_math_answer(row["solution"], written, with_math_verify=False)
        assert score.exact_match and score.exact_match_flex


def test_questions_of_reasoning() -> None:
    expected = [("(C)", "penguins_in_a_table"), ("Yes", "web_of_lies"), ("48", "object_counting")]
    for row, (answer, subtask) in zip(OWN["STD:bbh"], expected, strict=True):
        assert row["target"].endswith(f" So the answer is {answer}.")
        assert score_bbh_answer(row["target"], answer, subtask) == (1, 1)


def test_the_seats_can_be_taken_in_one_way_only() -> None:
    (row,) = OWN["agi_eval"]
    last = {
        order.index("Dora") + 1
        for order in permutations(("Ana", "Ben", "Carl", "Dora"))
        if order[0] == "Carl"
        and abs(order.index("Ana") - order.index("Ben")) == 1
        and abs(order.index("Dora") - order.index("Carl")) != 1
    }
    assert len(last) == 1
    assert f"({row['label']})Seat {last.pop()}" in row["options"] and row["explanation"].endswith(f"({row['label']}).")
    assert agi_eval.asked(row).endswith("\n A. Seat 1\n B. Seat 2\n C. Seat 3\n D. Seat 4\nAnswer:")


def test_short_answers() -> None:
    for row in OWN["OLMES:naturalqs"]:
        assert score_short_answer(row["answer"][0], row["answer"]) == (1, 1)
        assert row["question"] == row["question"].lower().rstrip("?")
    for row in OWN["OLMES:triviaqa"]:
        answer = row["answer"]
        assert answer["value"] in answer["aliases"] and answer["normalized_value"] in answer["normalized_aliases"]
        assert score_short_answer(answer["value"], answer["normalized_aliases"]) == (1, 1)
        plain = {
            re.sub(r"[\W_]+", " ", re.sub(r"\b(the|an?)\b", "", alias.lower())).strip() for alias in answer["aliases"]
        }
        assert plain == set(answer["normalized_aliases"])
    for row in OWN["popqa"]:
        aliases = json.loads(row["possible_answers"])
        assert aliases[0] == row["obj"] and contains_answer(row["obj"], aliases)
        assert row["subj"] in row["question"]
    assert len({row["prop_id"] for row in OWN["popqa"]}) == 15


def test_popqa_has_the_published_properties(shared: Path) -> None:
    published = published_rows(shared / "data", "popqa")
    assert {(row["prop"], row["prop_id"]) for row in OWN["popqa"]} <= {
        (row["prop"], row["prop_id"]) for row in published
    }


def test_answers_from_a_passage() -> None:
    rows = OWN["OLMES:drop"]
    expected = [(str(6900 - 4200),), ("Lund",), ("9 May 1746",), ("Amara Diop", "Henrik Sand"), (str(74 - 51),)]
    for row, spans in zip(rows, expected, strict=True):
        assert drop.answers_of(row) == (spans,)
        assert score_drop_answer(spans[0], (spans,))[1] == pytest.approx(1 / len(spans))
        assert row["answer"]["number"] or all(span in row["passage"] for span in spans)


def test_true_answers() -> None:
    for row in OWN["Original:TruthfulQA"]:
        assert row["labels"] == [1] and len(row["choices"]) == 1 and row["choices"][0].endswith(".")


CHOSEN: dict[str, tuple[Callable[[Any], str], list[str]]] = {
    "OLMES:ARC-Challenge": (
        lambda row: row["choices"]["text"][row["choices"]["label"].index(row["answerKey"])],
        ["by conduction", "oxygen", "We see different parts of its sunlit half", "in the amount of salt", "spines"],
    ),
    "OLMES:hellaswag": (
        lambda row: row["endings"][int(row["label"])],
        [
            "pours the hot water",
            "pulls the wheel off",
            "[title] Lift the plant out",
            "throws three darts",
            "lifts the next",
        ],
    ),
    "OLMES:winogrande": (lambda row: row[f"option{row['answer']}"], ["Ruth", "rope", "Irene", "red", "map"]),
    "mmlu_pro": (
        lambda row: row["options"][row["answer_index"]],
        [str(7**4 % 10), f"{20 * 8 // 2} m", "mitochondrion", "a substitute", "Peace of Westphalia"],
    ),
    "mmlu": (
        lambda row: row["choices"][row["answer"]],
        ["Caspian Sea", f"{2 * (7 + 4)} cm", "Saturn", str(0b1101), "Sam is not a violinist."],
    ),
}


@pytest.mark.parametrize("kind", CHOSEN)
def test_the_right_choices(kind: str) -> None:
    chosen, expected = CHOSEN[kind]
    for row, beginning in zip(OWN[kind], expected, strict=True):
        assert chosen(row).startswith(beginning)


def test_choices_are_whole_and_the_right_one_is_not_always_the_same() -> None:
    for row in OWN["mmlu_pro"]:
        assert row["answer"] == string.ascii_uppercase[row["answer_index"]]
        assert len(set(row["options"])) == 10
    for row in OWN["OLMES:hellaswag"]:
        assert row["ctx"] == f"{row['ctx_a']} {row['ctx_b']}".strip() and len(set(row["endings"])) == 4
    for row in OWN["OLMES:winogrande"]:
        assert row["sentence"].count("_") == 1
        assert all(re.search(rf"\b{row[option]}\b", row["sentence"]) for option in ("option1", "option2"))
    assert all(len(set(row["choices"])) == 4 for row in OWN["mmlu"])
    assert all(
        len(set(row["choices"]["text"])) == len(row["choices"]["label"]) == 4 for row in OWN["OLMES:ARC-Challenge"]
    )
    for kind, field in (("OLMES:ARC-Challenge", "answerKey"), ("OLMES:hellaswag", "label"), ("mmlu", "answer")):
        assert len({row[field] for row in OWN[kind]}) == 4, kind
    assert {row["answer"] for row in OWN["OLMES:winogrande"]} == {"1", "2"}
