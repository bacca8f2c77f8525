"""Answers are graded by what was written, up to the stop text."""

import pytest

from olmo2.eval.answers import CheckedAnswers, check_answers
from olmo2.inference.engine import Engine
from olmo2.inference.request import Completion, Request
from olmo2.model.transformer import Transformer
from olmo2.tokenizer.tokenizer import Tokenizer


def test_accuracy_is_the_share_of_right_answers() -> None:
    assert CheckedAnswers(["a", "b", "c", "d"], [True, False, True, True]).accuracy_ratio == 0.75


@pytest.mark.parametrize(("stop_text", "expected"), [(None, [False, True]), ("\n", [True, False])])
def test_grading(
    tiny_model: Transformer,
    tokenizer: Tokenizer,
    monkeypatch: pytest.MonkeyPatch,
    stop_text: str | None,
    expected: list[bool],
) -> None:
    written = ["3 + 4 = 7.\nQuestion: 9", "nothing\n#### 12"]

    def run(engine: Engine, requests: list[Request]) -> list[Completion]:
        stop = requests[0].sampling.stop
        return [Completion([], text.split(*stop)[0] if stop else text, "stop") for text in written]

    monkeypatch.setattr(Engine, "run", run)
    checked = check_answers(tiny_model, tokenizer, [[1], [2]], ["7", "12"], max_new_tokens=5, stop_text=stop_text)
    assert checked.is_right == expected
