"""A mix is what its rules say, the same if it was stopped; nothing is asked twice; what is wrong is one sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from olmo2.base.errors import RunError, UsageError
from olmo2.eval import server_client
from olmo2.rl.make_pairs import MakePairsRecipe, make_pairs
from olmo2.tokenizer.tokenizer import Tokenizer
from tests.eval.asking import Seen, write_model
from tests.rl.pair_making import answering, read_rows, recipe_of, served, sums, write_rows


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_client, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def reckon(seen: Seen) -> str:
    """Model "good" is right, model "bad" never, "lazy" for even sums."""
    text = seen.body["messages"][-1]["content"]
    number = int(text.removeprefix("What is 1 + ").rstrip("?"))
    wrong = {"good": 0, "bad": 1, "lazy": number % 2}[seen.body["model"]]
    return f"It is {1 + number + wrong}."


def test_verified_answers_of_servers_become_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(reckon) as fake:
        models = [served(fake, "good", price={"prompt": 1.0, "completion": 100.0}), served(fake, "bad")]
        summary = make_pairs(recipe_of(tmp_path, models, [*sums(4), sums(1)[0]]))
    rows = read_rows(tmp_path / "pairs.jsonl")
    assert [row["id"] for row in rows] == ["sum-0", "sum-1", "sum-2", "sum-3"]
    question = {"role": "user", "content": "What is 1 + 2?"}
    assert rows[2]["chosen"] == [question, {"role": "assistant", "content": "It is 3."}]
    assert rows[2]["rejected"] == [question, {"role": "assistant", "content": "It is 4."}]
    assert {(row["chosen_model"], row["rejected_model"]) for row in rows} == {("good", "bad")}
    assert {(row["chosen_rating"], row["rejected_rating"]) for row in rows} == {(1.0, 0.0)}
    made = rows[2]["provenance"]
    assert made["models"]["good"]["model"].endswith("/v1 good")
    assert made["models"]["good"]["sampling"]["temperature"] == 1.0
    assert [each["rating"] for each in made["candidates"]] == [1.0, 0.0]
    assert summary.models["good"].prompt_tokens == 40
    assert summary.cost == pytest.approx((40 * 1 + 16 * 100) / 1e6)
    assert summary.dropped["prompts that stood in a row before"] == 1
    assert json.loads((tmp_path / "pairs.jsonl.work/summary.json").read_text())["num_rows"] == 4
    assert "4 pairs of 4 prompts, mean rating 1.00 chosen, 0.00 rejected" in capsys.readouterr().out


def test_models_of_this_process_answer_and_a_second_call_changes_nothing(
    tmp_path: Path, tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    sampling = {"temperature": 1.0, "max_new_tokens": 6}
    models = [
        {"model": str(write_model(tmp_path / name, tokenizer, seed=seed)), "samples": 2, "sampling": sampling}
        for seed, name in enumerate(("one", "two"))
    ]
    given = {"choice": {"keep_unfinished": True}, "chat_template": "olmo2"}
    models = [{**each, "chat_template": "olmo2"} for each in models]
    recipe = recipe_of(tmp_path, models, sums(3), choice=given["choice"], seed=5)

    def length(conversations: Any) -> list[float]:
        return [len(each[-1]["content"].encode()) for each in conversations]

    make_pairs(recipe, reward=length)
    before = (tmp_path / "pairs.jsonl").read_bytes()
    assert "pairs.jsonl written" in capsys.readouterr().out
    make_pairs(recipe, reward=length)
    assert (tmp_path / "pairs.jsonl").read_bytes() == before
    assert "holds these rows already" in capsys.readouterr().out
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    make_pairs(recipe_of(elsewhere, models, sums(3), choice=given["choice"], seed=5), reward=length)
    rows, others = read_rows(tmp_path / "pairs.jsonl"), read_rows(elsewhere / "pairs.jsonl")
    for row in (*rows, *others):
        del row["provenance"]["location"]
    assert rows == others
    for row in rows:
        assert row["chosen_rating"] == len(row["chosen"][-1]["content"].encode())
