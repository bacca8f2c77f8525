"""When checkpoints replace each other; what they hold is the subject of tests/checkpoint/test_save.py."""

from pathlib import Path

from olmo2.checkpoint.keep import complete_checkpoints
from olmo2.train.saver import Saver
from tests.train.conftest import new_job, pretrain_recipe


def steps(run: Path) -> list[int]:
    return [int(path.name.split("step")[1].split("-")[0]) for path in complete_checkpoints(run)]


def test_an_ephemeral_checkpoint_goes_when_the_next_has_proven_itself(corpus: Path) -> None:
    job = new_job(pretrain_recipe(corpus))
    run = corpus / "run"
    saver = Saver(job)
    saver.save(1, is_ephemeral=True)
    saver.finish()
    saver.save(2, is_ephemeral=True)
    saver.finish()
    assert steps(run) == [1, 2]
    saver.after_step(is_finite=False, is_written=False)
    saver.finish()
    assert steps(run) == [1, 2], "a broken step proves nothing"
    saver.after_step(is_finite=True, is_written=False)
    saver.replacements.settle()
    assert steps(run) == [2]
    saver.close()


def test_a_new_save_finishes_the_one_under_way(corpus: Path) -> None:
    job = new_job(pretrain_recipe(corpus, changes={"keep": {"background": True}}))
    saver = Saver(job)
    saver.save(1, is_ephemeral=False)
    saver.save(2, is_ephemeral=False)
    assert 1 in steps(corpus / "run")
    saver.finish()
    assert steps(corpus / "run") == [1, 2] and saver.last(is_sound=True).name.startswith("stage1-step2-")
    saver.close()


def test_what_was_not_finished_leaves_no_trace(corpus: Path) -> None:
    job = new_job(pretrain_recipe(corpus, changes={"keep": {"background": True}}))
    saver = Saver(job)
    saver.save(1, is_ephemeral=False)
    saver.close()
    assert list((corpus / "run").iterdir()) == []


def test_a_last_step_that_is_broken_replaces_nothing(corpus: Path) -> None:
    saver = Saver(new_job(pretrain_recipe(corpus)))
    saver.save(1, is_ephemeral=True)
    saver.save(2, is_ephemeral=False)
    saver.finish()
    assert saver.last(is_sound=False).name.startswith("stage1-step2-") and steps(corpus / "run") == [1, 2]
    assert saver.last(is_sound=True).name.startswith("stage1-step2-") and steps(corpus / "run") == [2]
    saver.close()
