"""Outside a terminal a run prints lines that say how far it is."""

from contextlib import closing

import pytest

from olmo2.train import progress
from olmo2.train.progress import TrainProgress

VALUES = {
    "tokens": 6170.0,
    "loss_nats": 2.5,
    "throughput_tokens_per_second": 1234.0,
    "matmul_peak_ratio": 0.25,
    "memory_gigabytes": 1.5,
}


def test_last_step_is_always_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with closing(TrainProgress("stage1", first_step=1, total_steps=2)) as bar:
        bar.update(1, VALUES)
        bar.update(2, VALUES)
        bar.say("held-out loss 2.000")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(
        "stage1  step 2/2 · loss 2.500 · 1,234 tokens/s · 25% of matmul peak · 1.5 GB memory · 0 s left"
    )
    assert lines[1] == "held-out loss 2.000"


def test_lines_come_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_SECONDS", 0.0)
    with closing(TrainProgress("stage1", first_step=4, total_steps=9)) as bar:
        bar.update(4, VALUES)
        bar.update(5, VALUES)
    first, second = capsys.readouterr().out.splitlines()
    assert "step 4/9" in first and "left" not in first  # its speed is that of compiling
    assert "step 5/9" in second and second.endswith("· 4 s left")  # four steps of 1,234 tokens
