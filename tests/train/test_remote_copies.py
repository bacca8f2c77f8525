"""Checkpoints copied while a run goes, what a failing copy keeps, and going on from the copies alone."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from olmo2.base.errors import RunError, UsageError
from olmo2.checkpoint.keep import complete_checkpoints
from olmo2.checkpoint.mirror import remote_checkpoints
from olmo2.train import remote_copies
from olmo2.train.pretrain import pretrain
from olmo2.train.recipe import TrainRecipe
from tests.train.conftest import pretrain_recipe
from tests.train.test_loop import assert_bit_identical, stop_at


def copied(corpus: Path, bucket: str, folder: str = "run", **more: Any) -> TrainRecipe:
    keep = {"save_every_steps": 4, "ephemeral_every_steps": 1, "remote_folder": f"{bucket}/run"}
    return pretrain_recipe(corpus, folder, changes={"keep": keep} | more)


def steps(names: list[Any]) -> list[int]:
    return [int(str(name).rpartition("/")[2].split("step")[1].split("-")[0]) for name in names]


def test_every_checkpoint_that_stays_is_copied(corpus: Path, bucket: str) -> None:
    pretrain(copied(corpus, bucket))  # type: ignore[arg-type]
    assert steps(remote_checkpoints(f"{bucket}/run")) == steps(complete_checkpoints(corpus / "run")) == [4, 6]


def test_a_lost_disk_is_made_good_bit_for_bit(corpus: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pretrain(pretrain_recipe(corpus, "whole"))
    with monkeypatch.context() as patched:
        stop_at(3, patched)
        with pytest.raises(RunError, match="stopped after step 3"):
            pretrain(copied(corpus, bucket))  # type: ignore[arg-type]
    shutil.rmtree(corpus / "run")
    resumed = pretrain(copied(corpus, bucket, resume=True))  # type: ignore[arg-type]
    assert_bit_identical(whole, resumed)


def test_a_new_run_does_not_share_the_folder_of_another(corpus: Path, bucket: str) -> None:
    pretrain(copied(corpus, bucket))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"remote_folder: .*/run already holds a run, with stage1-step6-tokens1M"):
        pretrain(copied(corpus, bucket, folder="other"))  # type: ignore[arg-type]
    assert steps(remote_checkpoints(f"{bucket}/run")) == [4, 6]


def test_a_newer_checkpoint_here_stays(corpus: Path, bucket: str, capsys: pytest.CaptureFixture[str]) -> None:
    pretrain(copied(corpus, bucket))  # type: ignore[arg-type]
    capsys.readouterr()
    pretrain(copied(corpus, bucket, resume=True))  # type: ignore[arg-type]
    assert "fetching" not in capsys.readouterr().out


def test_a_copy_that_fails_stops_no_step_and_loses_nothing(
    corpus: Path, bucket: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(checkpoint: Path, remote: str) -> str:
        raise RunError("the bucket is full")

    with monkeypatch.context() as patched:
        patched.setattr(remote_copies, "upload_checkpoint", refuse)
        with pytest.raises(RunError, match=r"the bucket is full; all checkpoints are safe in .*run, and --resume"):
            pretrain(copied(corpus, bucket))  # type: ignore[arg-type]
    assert "could not be copied: the bucket is full" in capsys.readouterr().out
    assert 6 in steps(complete_checkpoints(corpus / "run"))
    assert remote_checkpoints(f"{bucket}/run") == []
    pretrain(copied(corpus, bucket, resume=True))  # type: ignore[arg-type]
    assert steps(remote_checkpoints(f"{bucket}/run")) == [4, 6], "the permanent one of step 4 had failed, too"


def test_a_permanent_checkpoint_of_the_last_but_one_step_is_copied(corpus: Path, bucket: str) -> None:
    """It is replaced as the newest one before a later step has proven its weights."""
    keep = {"save_every_steps": 5, "remote_folder": f"{bucket}/run"}
    pretrain(pretrain_recipe(corpus, changes={"keep": keep}))
    assert steps(remote_checkpoints(f"{bucket}/run")) == steps(complete_checkpoints(corpus / "run")) == [5, 6]


def test_a_download_that_is_killed_is_made_good(corpus: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pretrain(copied(corpus, bucket))  # type: ignore[arg-type]
    shutil.rmtree(corpus / "run")
    download = remote_copies.download_checkpoint

    def killed(remote: str, folder: Path) -> None:
        download(remote, folder)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(remote_copies, "download_checkpoint", killed)
        with pytest.raises(KeyboardInterrupt):
            pretrain(copied(corpus, bucket, resume=True))  # type: ignore[arg-type]
    assert pretrain(copied(corpus, bucket, resume=True)).name.startswith("stage1-step6-")  # type: ignore[arg-type]


def test_an_address_that_cannot_be_written_is_refused_before_the_first_step(corpus: Path, bucket: str) -> None:
    recipe = copied(corpus, "s3://bucket-that-is-not-there")
    with pytest.raises((RunError, ValueError), match="bucket-that-is-not-there"):
        pretrain(recipe)  # type: ignore[arg-type]
    assert not list((corpus / "run").glob("stage1-*"))


def test_a_copy_of_another_run_is_not_fetched(corpus: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pretrain(copied(corpus, bucket))  # type: ignore[arg-type]
    with monkeypatch.context() as patched:
        stop_at(3, patched)
        with pytest.raises(RunError, match="stopped after step 3"):
            pretrain(pretrain_recipe(corpus, "other", changes={"keep": {"ephemeral_every_steps": 1}}))
    before = sorted((corpus / "other").iterdir())
    with pytest.raises(UsageError, match=r"remote_folder: .*/run/stage1-step6-.* is a checkpoint of another run than"):
        pretrain(copied(corpus, bucket, folder="other", resume=True))  # type: ignore[arg-type]
    assert sorted((corpus / "other").iterdir()) == before


def test_a_run_that_died_before_its_first_save_does_not_go_on_from_another(
    corpus: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = copied(corpus, bucket, folder="early")
    with monkeypatch.context() as patched:
        patched.setattr("olmo2.train.loop.train_step", lambda *arguments, **settings: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pretrain(recipe)  # type: ignore[arg-type]
    (corpus / "early" / "metrics.jsonl").write_text('{"step": 1}\n')
    pretrain(copied(corpus, bucket))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="is a checkpoint of another run than"):
        pretrain(copied(corpus, bucket, folder="early", resume=True))  # type: ignore[arg-type]
