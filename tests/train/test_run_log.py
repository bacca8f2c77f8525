"""A run's numbers reach its file and the screen, on the rank that speaks for all."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from olmo2.base.metrics import read_metrics
from olmo2.train.run_log import RunLog, told
from olmo2.train.step import StepMetrics
from tests.train.conftest import new_job, pretrain_recipe


def test_numbers_are_written_and_shown(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (corpus / "run").mkdir()
    job = new_job(pretrain_recipe(corpus))
    with closing(RunLog(job)) as log:
        with log.measured(log_span := job.loader.plan.span(6)):
            pass
        metrics = StepMetrics(loss_nats=2.0, grad_norm=1.0, target_tokens=250, is_skipped=True)
        assert log.note(6, metrics), "a step left out is out of the ordinary"
        held_out = {"heldout_loss_nats": 2.5, "heldout_bits_per_byte": 1.25}
        log.write(6, metrics, tokens=log_span.tokens_before + log_span.tokens, lr=1e-3, held_out=held_out)
    (row,) = read_metrics(corpus / "run")
    assert (row["step"], row["tokens"], row["loss_nats"], row["lr"], row["is_skipped"]) == (6, 1536, 2.0, 1e-3, True)
    assert row["heldout_bits_per_byte"] == 1.25 and row["throughput_tokens_per_second"] > 0
    said = capsys.readouterr().out
    assert "step 6 left out: loss 2.000, grad norm 1.00" in said and "held-out loss 2.500 nats" in said


def test_other_ranks_write_nothing(corpus: Path) -> None:
    job = new_job(pretrain_recipe(corpus))
    job.ranks = replace(job.ranks, rank=1)
    with closing(RunLog(job)) as log:
        with log.measured(job.loader.plan.span(1)):
            pass
        log.note(1, StepMetrics(2.0, 1.0, 250, is_skipped=True))
        log.write(1, StepMetrics(2.0, 1.0, 250, is_skipped=True), tokens=256, lr=1e-3, held_out={})
    assert not (corpus / "run").exists()


def test_what_is_said_of_an_evaluation() -> None:
    domain = {"heldout/wiki/loss_nats": 3.0, "heldout/wiki/bits_per_byte": 1.5}
    task = {"eval/arc_challenge:rc/acc_uncond": 0.25, "eval/arc_challenge:rc/correct_bits_per_byte": 1.25}
    everything = {"heldout_loss_nats": 2.5, "heldout_bits_per_byte": 1.25} | domain | task
    assert told(everything) == "held-out loss 2.500 nats, 1.250 bits per byte, arc_challenge:rc 25.0%"
    assert told(task) == "arc_challenge:rc 25.0%"
