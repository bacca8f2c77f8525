"""Each kind of scores rates the same groups through one seam; faults show before models are asked."""

from pathlib import Path

import pytest
import torch

from olmo2.base.errors import RunError, UsageError
from olmo2.eval.judge_choice import JudgeSettings
from olmo2.rl.aspect_prompts import hash_of_prompts
from olmo2.rl.aspect_ratings import RatingSettings
from olmo2.rl.pair_choice import ChoiceSettings
from olmo2.rl.scorer import RewardModelSettings, by_judge, by_reward, by_reward_model, verifier
from olmo2.tokenizer.tokenizer import Tokenizer
from tests.eval.asking import write_model
from tests.rl.pair_making import answering, group_of, prompt_of

GROUP = group_of(prompt_of("?", labels=(("gsm8k", "4"),)), "4", "55")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_verifiers_and_rewards_rate() -> None:
    assert [each.value for each in verifier().score([GROUP]).scores[0]] == [1.0, 0.0]
    with pytest.raises(UsageError, match="a verifier needs the right answer"):
        verifier().check([prompt_of("?")])
    reward = by_reward(lambda conversations: [len(each[-1]["content"]) for each in conversations])
    reward.check([prompt_of("?")])
    assert [each.value for each in reward.score([GROUP]).scores[0]] == [1.0, 2.0]


def test_a_judge_rates_by_the_prompts_of_a_folder_and_keeps_its_replies(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    (prompts / "wit.txt").write_text("{prompt} {response}")
    settings = RatingSettings(prompts=str(prompts))
    with answering(lambda seen: f"Rating: {len(seen.body['messages'][0]['content'])}") as fake:
        server = JudgeSettings(server=fake.address, model="judge")
        scorer = by_judge(server, settings, ChoiceSettings(), tmp_path, most_failed=0)
        for _ in range(2):
            assert [each.value for each in scorer.score([GROUP]).scores[0]] == [3.0, 4.0]
        assert sum(seen.body is not None for seen in fake.seen) == 2
    assert scorer.judge_prompts == hash_of_prompts({"wit": "{prompt} {response}"})
    assert scorer.judge == f"{fake.address} judge"
    assert (tmp_path / "judge.jsonl").read_text().count("\n") == 2


def test_a_judge_of_this_process_rates_and_what_it_writes_is_not_guessed(tmp_path: Path, tokenizer: Tokenizer) -> None:
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    (prompts / "wit.txt").write_text("{prompt} {response}")
    judge = JudgeSettings(model=str(write_model(tmp_path / "judge", tokenizer)))
    settings = RatingSettings(prompts=str(prompts), max_new_tokens=8)
    scored = by_judge(judge, settings, ChoiceSettings(), tmp_path, most_failed=0).score([GROUP])
    assert [each.value for each in scored.scores[0]] == [None, None]
    assert scored.counts["ratings missing: replies off the format"] == 2
    assert scored.judge["judge"].prompt_tokens > 0


def test_a_judge_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    nowhere = JudgeSettings(server="http://127.0.0.1:9/v1", model="judge", requests={"attempts": 1})
    scorer = by_judge(nowhere, RatingSettings(), ChoiceSettings(), tmp_path, most_failed=0)
    with pytest.raises(RunError, match="does not answer"):
        scorer.reach()
    with pytest.raises(UsageError):
        by_judge(JudgeSettings(model=str(tmp_path)), RatingSettings(), ChoiceSettings(), tmp_path, most_failed=0)


def test_a_reward_model_rates_as_transformers_does(tmp_path: Path, reward_folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    scorer = by_reward_model(RewardModelSettings(model=str(reward_folder), device="cpu"))
    ours = [each.value for each in scorer.score([GROUP]).scores[0]]
    model = transformers.AutoModelForSequenceClassification.from_pretrained(reward_folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(reward_folder)
    for value, candidate in zip(ours, GROUP.candidates, strict=True):
        messages = GROUP.prompt.with_answer(candidate.response.text)
        ids = tokenizer.apply_chat_template(messages, return_tensors="pt", return_dict=True).input_ids
        with torch.no_grad():
            state = model.model(ids).last_hidden_state[:, -1]
        assert value == pytest.approx(model.score(state).item(), rel=1e-4, abs=1e-5)
    assert scorer.judge == by_reward_model(RewardModelSettings(model=str(reward_folder))).judge


def test_a_folder_without_a_reward_head_is_refused(tmp_path: Path, tokenizer: Tokenizer) -> None:
    with pytest.raises(UsageError):
        by_reward_model(RewardModelSettings(model=str(write_model(tmp_path / "plain", tokenizer))))
