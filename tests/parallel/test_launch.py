"""Joining a run: alone without torchrun; several processes are started in tests/system/test_ranks.py."""

import pytest
import torch
import torch.distributed as dist

from olmo2.base.errors import UsageError
from olmo2.parallel.launch import backends, is_collective, join_ranks, own_device, require_unnumbered
from olmo2.parallel.mesh import Grid, ParallelSettings


def test_one_process_is_alone() -> None:
    with join_ranks(ParallelSettings(), "cpu") as ranks:
        assert ranks.grid == Grid(1, 1, 1, 1) and ranks.is_main and ranks.device == torch.device("cpu")
        assert not dist.is_initialized()


def test_a_grid_needs_its_processes() -> None:
    sentence = r"parallel\.tensor 2 x parallel\.context 1 = 2 does not divide the 1 devices; start more"
    with pytest.raises(UsageError, match=sentence), join_ranks(ParallelSettings(tensor=2), "cpu"):
        pass


def test_a_rank_that_is_not_first_leaves_the_words_to_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit) as ended, join_ranks(ParallelSettings(tensor=4), "cpu"):
        pass
    assert ended.value.code == 2


def test_each_local_rank_has_its_own_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("olmo2.parallel.launch.choose_device", torch.device)
    monkeypatch.setattr(torch.accelerator, "set_device_index", lambda index: None)
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert own_device(torch.device("cuda")) == torch.device("cuda:3")
    assert own_device(torch.device("cpu")) == torch.device("cpu")
    with pytest.raises(UsageError, match=r"run\.device: 'cuda:1' cannot serve several processes"):
        require_unnumbered(torch.device("cuda:1"), 8)
    require_unnumbered(torch.device("cuda:1"), 1)


def test_a_device_that_one_rank_misses_is_said_by_that_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(name: str) -> torch.device:
        if name == "cuda:3":
            raise UsageError("run.device: there is no cuda:3")
        return torch.device("cuda")

    monkeypatch.setattr("olmo2.parallel.launch.choose_device", choose)
    for name, value in {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "3"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="there is no cuda:3"), join_ranks(ParallelSettings(), "cuda"):
        pass


def test_a_device_that_a_machine_misses_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(name: str) -> torch.device:
        raise UsageError("run.device: there is no cuda")

    monkeypatch.setattr("olmo2.parallel.launch.choose_device", choose)
    for name, value in {"WORLD_SIZE": "4", "RANK": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError), join_ranks(ParallelSettings(), "cuda"):
        pass
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(SystemExit), join_ranks(ParallelSettings(), "cuda"):
        pass


def test_backends_by_device() -> None:
    assert backends(torch.device("cpu")) == "cpu:gloo"
    assert backends(torch.device("cuda:0")) == "cpu:gloo,cuda:nccl"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_errors_of_a_lost_partner_are_told_from_others(error: RuntimeError, expected: bool) -> None:
    assert is_collective(error) is expected
