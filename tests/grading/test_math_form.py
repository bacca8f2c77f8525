"""Both forms are those of the published functions: frozen values, the installed lm_eval, and no quadratic time."""

import hashlib
import importlib.metadata
import json
import random
import time
from pathlib import Path
from types import ModuleType

import pytest

from olmo2.grading.math_answer import gold_answer
from olmo2.grading.math_form import competition_form, minerva_form, same_competition_form
from tests.grading.math_forms import FORMS, MINERVA_FORMS


@pytest.mark.parametrize(("text", "form"), [*MINERVA_FORMS, *((left, form) for left, _, form, _, _ in FORMS)])
def test_minerva_form(text: str, form: str) -> None:
    assert minerva_form(text) == form


@pytest.mark.parametrize(("left", "right", "are_equal"), [(left, right, last) for left, right, _, _, last in FORMS])
def test_same_competition_form(left: str, right: str, are_equal: bool) -> None:
    assert same_competition_form(minerva_form(left), minerva_form(right)) is are_equal


def solutions(shared: Path) -> list[str]:
    """The gold solutions of MATH's test set."""
    path = shared / "data" / "math" / "test.jsonl"
    return [json.loads(line)["solution"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_gold_answers_of_real_problems(shared: Path) -> None:
    """The digest is that of lm_eval 0.4.3's forms."""
    forms = [minerva_form(gold_answer(solution)) for solution in solutions(shared)]
    digest = hashlib.sha256("\n".join(forms).encode()).hexdigest()
    assert digest == "b06b837326b22c8a5b35287f6946edb4deeceae20c91194541aaaf0130f940d0"


@pytest.fixture
def minerva(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The installed lm_eval's functions, which refuse any ANTLR but 4.11 and need it for what is not called here."""
    pytest.importorskip("lm_eval", reason="lm-eval is not installed")
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "4.11" if "antlr" in name else version(name))
    return pytest.importorskip("lm_eval.tasks.minerva_math.utils")


def test_only_what_lm_eval_mended_since_is_another(minerva: ModuleType, shared: Path) -> None:
    """Its later versions keep the "ft" of a left bracket and of infinity, and the commas of pairs: 87 answers."""
    others = []
    for solution in solutions(shared):
        answer = minerva.remove_boxed(minerva.last_boxed_only_string(solution))
        assert answer == gold_answer(solution)
        ours, theirs = minerva_form(answer), minerva.normalize_final_answer(answer)
        if ours != theirs:
            others.append(answer)
            mended = theirs.replace(r"\left", r"\le").replace(r"\infty", r"\iny")
            assert ours in (mended, theirs.replace(",", ""))
    assert len(others) == 87


def test_random_texts_as_in_lm_eval() -> None:
    published = pytest.importorskip("lm_eval.tasks.hendrycks_math.utils", reason="lm-eval is not installed")
    pieces = [r"\frac", r"\sqrt", r"\text{ ", "{", "}", "$", "\n", " ", "=", "/", "3", "12", ".", "0.5", r"\%", "%"]
    pieces += [r"\dfrac", r"\left(", r"\right)", "x", "a ", r"\\", r"\!", r"\$", "1/2", r"^\circ", "\ud800", "é", "_"]
    choose = random.Random(0)
    equal = 0
    for _ in range(5000):
        left = "".join(choose.choices(pieces, k=choose.randrange(9)))
        place = choose.randrange(len(left) + 1)
        right = left[:place] + choose.choice(["", " ", "{", r"\!", r"\left", "0"]) + left[place:]
        expected = published.is_equiv(left, right)
        equal += expected
        assert same_competition_form(left, right) is expected, (left, right)
    assert 1000 < equal < 4000


@pytest.mark.parametrize("text", [r"\frac", r"a\sqrt", r"3\text{ a}\text{ b}", "a/b"])
def test_what_the_published_grader_fails_on(text: str) -> None:
    with pytest.raises(ValueError, match=r"nothing|units|invalid literal"):
        competition_form(text)


MILLION = 1_000_000
LONG = {
    "one line": "x" * MILLION,
    "one dollar": "x" * MILLION + "$" + "x" * MILLION,
    "dollars": "$x" * MILLION,
    "texts without end": r"\text{" * (MILLION // 6),
    "boxes without end": r"}\boxed{" * (MILLION // 8),
    "fractions": r"\frac12" * (MILLION // 7),
    "roots": r"\sqrt2" * (MILLION // 6),
    "braces": "{" * MILLION + "}" * MILLION,
    "digits": "9" * MILLION + "/" + "9" * MILLION,
    "lines": "\n" * MILLION,
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_a_million_characters_take_no_time(text: str) -> None:
    started = time.process_time()
    assert same_competition_form(minerva_form(text), "1") is False
    assert time.process_time() - started < 5
