"""A mix is what its rules say, the same if it was stopped; nothing is asked twice; what is wrong is one sentence."""

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from olmo2.base.config import make_recipe
from olmo2.base.errors import RunError, UsageError
from olmo2.cli import run
from olmo2.eval import server_client
from olmo2.eval.task_list import find_task
from olmo2.rl import kept_responses
from olmo2.rl.make_pairs import MakePairsRecipe, make_pairs, make_pairs_by_reward
from olmo2.tokenizer.tokenizer import Tokenizer
from tests.eval.asking import FakeServer, Seen, write_model
from tests.rl.pair_making import (
    Row,
    answering,
    judging,
    read_rows,
    recipe_of,
    reckon,
    served,
    sums,
    without_chat_template,
    write_rows,
)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_client, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def lengths(conversations: Any) -> list[float]:
    """A reward: the longer the better."""
    return [len(each[-1]["content"].encode()) for each in conversations]


def judged(fake: FakeServer, tmp_path: Path, num: int = 2, **given: Any) -> MakePairsRecipe:
    """Two models and a judge of the same stand-in server; the pool has no right answers."""
    judge = {"server": fake.address, "model": "judge", "requests": {"attempts": 1, "timeout_seconds": 0.5}}
    rows = [{"prompt": row["prompt"], "id": row["id"]} for row in sums(num)]
    models = [served(fake, "good"), served(fake, "bad")]
    return recipe_of(tmp_path, models, rows, **{"scores": "judge", "judge": judge, **given})


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
    answers: Row = {"sampling": {"temperature": 1.0, "max_new_tokens": 6}, "samples": 2}
    folders = [write_model(tmp_path / name, tokenizer, seed=seed) for seed, name in enumerate(("one", "two"))]
    models = [{"model": str(folder), **answers} for folder in folders]
    given: Row = {"choice": {"keep_unfinished": True}, "seed": 5, "scores": "reward"}
    recipe = recipe_of(tmp_path, models, sums(3), **given)
    make_pairs_by_reward(recipe, lengths)
    before = (tmp_path / "pairs.jsonl").read_bytes()
    assert "pairs.jsonl written" in capsys.readouterr().out
    make_pairs_by_reward(recipe, lengths)
    assert (tmp_path / "pairs.jsonl").read_bytes() == before
    assert "holds these rows already" in capsys.readouterr().out
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    make_pairs_by_reward(recipe_of(elsewhere, models, sums(3), **given), lengths)
    assert (elsewhere / "pairs.jsonl").read_bytes() == before
    rows = read_rows(tmp_path / "pairs.jsonl")
    assert len(rows) == 3
    for row in rows:
        assert row["chosen_rating"] == len(row["chosen"][-1]["content"].encode())
        assert row["chosen_rating"] == max(each["rating"] for each in row["provenance"]["candidates"])


def test_a_stopped_call_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    whole.mkdir()
    stopped.mkdir()
    add = kept_responses.KeptResponses.add
    kept: list[object] = []

    def add_seven(self: Any, ask: Any, response: Any) -> None:
        if len(kept) == 7:  # the last answer is there, and no request under way
            raise KeyboardInterrupt
        kept.append(ask)
        add(self, ask, response)

    with answering(reckon) as fake:
        models = [served(fake, "good"), served(fake, "lazy")]
        make_pairs(recipe_of(whole, models, sums(4)))
        monkeypatch.setattr(kept_responses.KeptResponses, "add", add_seven)
        with pytest.raises(KeyboardInterrupt):
            make_pairs(recipe_of(stopped, models, sums(4)))
        monkeypatch.undo()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert not (stopped / "pairs.jsonl").exists()
        path = stopped / "pairs.jsonl.work" / "lazy.responses.jsonl"
        path.write_bytes(path.read_bytes() + b'{"prompt": "cut sh')
        before = len(fake.seen)
        make_pairs(recipe_of(stopped, models, sums(4)))
        asked = [seen for seen in fake.seen[before:] if seen.path.endswith("completions")]
    assert len(asked) == 8 - 7
    assert (stopped / "pairs.jsonl").read_bytes() == (whole / "pairs.jsonl").read_bytes()


def test_a_judge_rates_four_aspects_and_is_not_asked_again(tmp_path: Path) -> None:
    with answering(judging(lambda aspect, response: 5 if "3" in response else 2)) as fake:
        recipe = judged(fake, tmp_path, 3, rating={"price": {"prompt": 10, "completion": 0}})
        summary = make_pairs(recipe)
        before = (tmp_path / "pairs.jsonl").read_bytes()
        num_asked = sum(seen.body["model"] == "judge" for seen in fake.seen if seen.body)
        make_pairs(recipe)
        assert sum(seen.body["model"] == "judge" for seen in fake.seen if seen.body) == num_asked == 4 * 3 * 2
    assert (tmp_path / "pairs.jsonl").read_bytes() == before
    rows = read_rows(tmp_path / "pairs.jsonl")
    assert [(row["id"], row["chosen_model"], row["rejected_model"]) for row in rows] == [
        ("sum-1", "bad", "good"),  # 1 + 1 is 3 to this judge
        ("sum-2", "good", "bad"),
    ]
    ratings = rows[0]["provenance"]["candidates"][1]["ratings"]
    assert ratings == dict.fromkeys(("helpfulness", "honesty", "instruction_following", "truthfulness"), 5)
    assert rows[0]["provenance"]["judge"].endswith("/v1 judge")
    assert summary.dropped["prompts whose candidates are all rated equal"] == 1
    assert summary.judge["judge"].responses == num_asked
    assert summary.cost == pytest.approx(num_asked * 10 * 10 / 1e6)


def test_a_judge_off_the_format_is_asked_once_more_and_then_the_aspect_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def rating(aspect: str, response: str) -> object:
        if aspect == "honesty" and "1." in response:
            return "I cannot say."
        return 4 if "2" in response else 3

    with answering(judging(rating)) as fake:
        with pytest.raises(RunError, match="no row is left to write: 1 responses without a rating"):
            make_pairs(judged(fake, tmp_path, 1))
        asked = [seen.body["messages"] for seen in fake.seen if seen.body and seen.body["model"] == "judge"]
        assert [len(messages) for messages in asked].count(3) == 1
        assert "1 ratings missing: replies off the format" in capsys.readouterr().out
        summary = make_pairs(judged(fake, tmp_path, 1, rating={"missing": "mean_of_others"}))
    assert summary.num_rows == 1
    assert summary.replies == {
        "replies off the format at first": 1,
        "ratings missing: replies off the format": 1,
    }


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (lambda seen: (500, {"error": {"message": "no memory"}}), "no memory"),
        (lambda seen: seen.body["model"] == "judge" and __import__("time").sleep(0.8), "timed out"),
        (
            lambda seen: (
                200,
                {"choices": [{"message": {"content": "Rati"}, "finish_reason": "abort"}]},
            ),
            "broke its answer off",
        ),
    ],
    ids=["error", "timeout", "half"],
)
def test_a_judge_that_does_not_reply_is_told_and_asked_again(tmp_path: Path, failure: Any, said: str) -> None:
    is_failing = [True]

    def reply(seen: Seen) -> Any:
        return failure(seen) if is_failing[0] and seen.body["model"] == "judge" else good(seen)

    good = judging(lambda aspect, response: 5 if "1." in response else 2)
    with answering(reply) as fake:
        recipe = judged(fake, tmp_path, 1)
        with pytest.raises(RunError, match=f"the judge judge leaves 8 of 8 questions without a reply: .*{said}"):
            make_pairs(recipe)
        assert not (tmp_path / "pairs.jsonl").exists()
        is_failing[0] = False
        assert make_pairs(recipe).num_rows == 1


def test_a_model_that_does_not_answer_is_told_and_the_rest_is_kept(tmp_path: Path) -> None:
    is_failing = [True]

    def reply(seen: Seen) -> Any:
        fails = is_failing[0] and seen.body["model"] == "bad" and "+ 1" in seen.body["messages"][0]["content"]
        return (500, {"error": {"message": "no memory"}}) if fails else reckon(seen)

    with answering(reply) as fake:
        models = [served(fake, "good"), served(fake, "bad")]
        with pytest.raises(RunError, match=r"bad leaves 1 of 3 prompts without an answer: .*no memory"):
            make_pairs(recipe_of(tmp_path, models, sums(3)))
        summary = make_pairs(
            recipe_of(
                tmp_path,
                models,
                sums(3),
                most_failed=0.5,
                output=str(tmp_path / "two.jsonl"),
                work=str(tmp_path / "pairs.jsonl.work"),
            )
        )
        assert summary.num_rows == 2
        assert summary.models["bad"].failed == 1
        is_failing[0] = False
        before = len(fake.seen)
        assert make_pairs(recipe_of(tmp_path, models, sums(3))).num_rows == 3
        assert [seen.body["model"] for seen in fake.seen[before:] if seen.body] == ["bad"]


def test_a_server_that_is_not_there_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    with answering(reckon) as fake:
        absent = {**served(fake, "bad"), "server": "http://127.0.0.1:9/v1"}
        with pytest.raises(RunError, match=r"http://127\.0\.0\.1:9/v1 does not answer"):
            make_pairs(recipe_of(tmp_path, [served(fake, "good"), absent], sums(2)))
        assert [seen.path for seen in fake.seen if seen.body] == []
        with pytest.raises(RunError, match=r"http://127\.0\.0\.1:9/v1 does not answer"):
            judge = {"server": "http://127.0.0.1:9/v1", "model": "judge", "requests": {"attempts": 1}}
            make_pairs(judged(fake, tmp_path, judge=judge))


def test_answers_that_were_made_otherwise_are_refused(tmp_path: Path) -> None:
    with answering(reckon) as fake:
        models = [served(fake, "good"), served(fake, "bad")]
        make_pairs(recipe_of(tmp_path, models, sums(2)))
        with pytest.raises(UsageError, match=r"output: .*pairs\.jsonl was made with another seed"):
            make_pairs(recipe_of(tmp_path, models, sums(2), seed=1))
        with pytest.raises(UsageError, match=r"output: .*pairs\.jsonl was made with another prompts"):
            make_pairs(recipe_of(tmp_path, models, sums(3)))
        (tmp_path / "pairs.jsonl").unlink()
        with pytest.raises(
            UsageError, match=r"good\.responses\.jsonl was made with seed 0 instead of 1; choose another"
        ):
            make_pairs(recipe_of(tmp_path, models, sums(2), seed=1))
        warmer = [{**each, "sampling": {"temperature": 2}} for each in models]
        with pytest.raises(UsageError, match=r"was made with sampling"):
            make_pairs(recipe_of(tmp_path, warmer, sums(2)))
        (tmp_path / "pairs.jsonl").write_text("mine")
        (tmp_path / "pairs.jsonl.work" / "summary.json").unlink()
        with pytest.raises(UsageError, match=r"is not of this work folder; remove it, or choose another --output"):
            make_pairs(recipe_of(tmp_path, models, sums(2)))
        assert (tmp_path / "pairs.jsonl").read_text() == "mine"


def test_the_best_right_answers_become_data_for_tuning(tmp_path: Path) -> None:
    with answering(reckon) as fake:
        models = [served(fake, "lazy"), served(fake, "bad")]
        summary = make_pairs(recipe_of(tmp_path, models, sums(4), kind="sft"))
    rows = read_rows(tmp_path / "pairs.jsonl")
    assert [(row["id"], row["messages"][-1]["content"]) for row in rows] == [
        ("sum-0", "It is 1."),
        ("sum-2", "It is 3."),
    ]
    assert summary.dropped["prompts whose best candidate is rated below choice.min_chosen_rating"] == 2


def test_the_answer_of_the_data_competes_if_it_is_asked_to(tmp_path: Path) -> None:
    answer = {"role": "assistant", "content": "It is 1, of course."}
    row = {**sums(1)[0], "messages": [{"role": "user", "content": "What is 1 + 0?"}, answer]}
    del row["prompt"]
    with answering(reckon) as fake:
        make_pairs(recipe_of(tmp_path, [served(fake, "bad")], [row], with_reference=True))
    (made,) = read_rows(tmp_path / "pairs.jsonl")
    assert made["chosen"][-1] == answer
    assert (made["chosen_model"], made["rejected_model"]) == ("reference", "bad")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"models": [{"model": "a"}]}, "a pair needs two responses to a prompt, and there is one"),
        ({"models": [{"model": "a"}, {"model": "b/a"}, {"model": "a"}]}, "two models are called a"),
        ({"models": [{"model": "a"}, {"model": "b"}], "responses_per_prompt": 3}, "but 2 models can answer"),
        ({"models": [{"model": "a", "pinned": True}, {"model": "b"}]}, "set responses_per_prompt"),
        (
            {"models": [{"model": "a", "samples": 2}, {"model": "b"}], "responses_per_prompt": 2},
            "models.samples is for",
        ),
        ({"scores": "judge"}, "no judge is named"),
        ({"judge": {"model": "x"}}, "are settings of scores: judge"),
        ({"reward_model": {"model": "x"}}, "is a setting of scores: reward"),
        ({"models": [{"model": "reference"}, {"model": "b"}]}, "no model may be called reference"),
    ],
)
def test_a_pool_that_cannot_answer_as_it_is_to_is_refused(given: Row, said: str) -> None:
    values: Row = {"prompts": ["p"], "output": "o", "models": [{"model": "a"}, {"model": "b"}], "scores": "verifier"}
    with pytest.raises(ValidationError, match=said):
        MakePairsRecipe(**{**values, **given})


def test_a_reward_is_for_its_own_kind_of_scores(tmp_path: Path) -> None:
    models = [{"model": "a"}, {"model": "b"}]
    with pytest.raises(UsageError, match="scores: reward needs a model: name it"):
        make_pairs(recipe_of(tmp_path, models, sums(1), scores="reward"))
    with pytest.raises(UsageError, match="a function that rates is for scores: reward"):
        make_pairs_by_reward(recipe_of(tmp_path, models, sums(1)), lengths)


def test_the_documented_recipes_are_some() -> None:
    page = (Path(__file__).parents[2] / "docs" / "preference-data.md").read_text(encoding="utf-8")
    blocks = [block.split("\n\n")[0] for block in page.split("    verb: make-pairs\n")[1:]]
    small, large = (make_recipe(MakePairsRecipe, yaml.safe_load(textwrap.dedent(block)), "docs") for block in blocks)
    assert small.scores == "verifier"
    assert [model.pinned for model in large.models].count(True) == 1
    assert [find_task(name).name for name in large.filters.against] == large.filters.against


def test_the_command_reads_a_recipe_and_names_what_is_wrong(
    tmp_path: Path, tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = write_rows(tmp_path / "prompts.jsonl", sums(2))
    recipe = tmp_path / "recipe.yaml"
    with answering(reckon) as fake:
        values = {
            "prompts": [str(prompts)],
            "output": str(tmp_path / "pairs.jsonl"),
            "scores": "verifier",
            "models": [served(fake, "good"), served(fake, "bad")],
        }
        recipe.write_text(json.dumps(values))  # JSON is YAML
        assert run(["make-pairs", str(recipe), "--choice.rule=best_worst"]) == 0
        assert len(read_rows(tmp_path / "pairs.jsonl")) == 2
        capsys.readouterr()
        folder = without_chat_template(write_model(tmp_path / "plain", tokenizer))
        values["models"] = [{"model": str(folder)}, served(fake, "bad")]
        recipe.write_text(json.dumps(values))
        assert run(["make-pairs", str(recipe), f"--output={tmp_path}/other.jsonl"]) == 2
        assert "has no chat template: it was not taught to answer" in capsys.readouterr().err
        values["models"] = [{"model": "a", "sample": 2}]
        recipe.write_text(json.dumps(values))
        assert run(["make-pairs", str(recipe)]) == 2
        assert "models.0.sample" in capsys.readouterr().err
