"""Answers are graded by what was written, up to the stop text."""

import pytest

from olmo2.eval import answers
from olmo2.eval.answers import CheckedAnswers, check_answers
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
    monkeypatch.setattr(answers, "complete", lambda *args, **kwargs: [tokenizer.encode(text) for text in written])
    checked = check_answers(tiny_model, tokenizer, [[1], [2]], ["7", "12"], max_new_tokens=5, stop_text=stop_text)
    assert checked.is_right == expected
