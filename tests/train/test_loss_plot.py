"""The picture of losses is a PNG that shows every run."""

from pathlib import Path

import pytest

from olmo2.base.errors import UsageError
from olmo2.base.metrics import MetricsLog, TrackSettings
from olmo2.train.loss_plot import draw_losses, running_mean

pytest.importorskip("matplotlib")


def make_run(folder: Path, losses: list[float]) -> Path:
    folder.mkdir()
    log = MetricsLog(folder, TrackSettings(), last_step=0, recipe={})
    for step, loss in enumerate(losses, 1):
        log.write(step, {"tokens": step * 1000, "loss_nats": loss} | ({"heldout_loss_nats": loss} if step == 2 else {}))
    log.close()
    return folder


def test_a_picture_is_written(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, [5.0, 4.0, float("nan"), 3.0]) for name in ("a", "b")]
    draw_losses(runs, tmp_path / "loss.png", follows=[None, 0])
    data = (tmp_path / "loss.png").read_bytes()
    assert data.startswith(b"\x89PNG") and len(data) > 10_000


def test_running_mean() -> None:
    assert running_mean([4.0, 2.0, 3.0, 7.0], 1) == [3.0, 3.0, 4.0, 5.0]
    assert running_mean([4.0, 2.0], 0) == [4.0, 2.0]


def test_run_without_metrics(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty has no metrics to draw"):
        draw_losses([tmp_path / "empty"], tmp_path / "loss.png")
    assert not (tmp_path / "loss.png").exists()
