"""Every mistake a user can make ends in one sentence, its exit status, no traceback, and nothing lost."""

import errno
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.torch import load_file, save_file

from olmo2 import cli
from olmo2.base import files
from olmo2.train.pretrain import pretrain
from tests.train.conftest import corpus, pretrain_recipe, pretrain_values  # noqa: F401 (corpus is a fixture)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Run a command as the shell would and return its exit status and what it said on standard error."""
    capsys.readouterr()
    status = cli.run([str(argument) for argument in arguments])
    return status, capsys.readouterr().err


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def recipe(corpus: Path) -> Path:  # noqa: F811
    """A recipe file for six steps."""
    path = corpus / "pretrain.yaml"
    path.write_text(yaml.safe_dump({"verb": "pretrain"} | pretrain_values(corpus)))
    return path


def misspell(folder: Path, values: dict[str, dict[str, object]]) -> list[str]:
    values["optim"]["peak_rl"] = 1
    return []


def wrong_type(folder: Path, values: dict[str, dict[str, object]]) -> list[str]:
    return ["--data.seq_len=many"]


def missing_data(folder: Path, values: dict[str, dict[str, object]]) -> list[str]:
    return [f"--data.paths=[{folder}/nowhere]"]


def missing_tokenizer(folder: Path, values: dict[str, dict[str, object]]) -> list[str]:
    return [f"--tokenizer={folder}/nowhere/tokenizer.json"]


def short_mask(folder: Path, values: dict[str, dict[str, object]]) -> list[str]:
    np.ones(10, dtype=bool).tofile(folder / "mask.npy")
    return [f"--data.label_mask_paths=[{folder}/mask.npy]"]


def foreign_tokens(folder: Path, values: dict[str, dict[str, object]]) -> list[str]:
    np.full(4000, 60_000, dtype="<u2").tofile(folder / "foreign.npy")
    return [f"--data.paths=[{folder}/foreign.npy]", "--data.dtype=uint16"]


def occupied_folder(folder: Path, values: dict[str, dict[str, object]]) -> list[str]:
    (folder / "run").mkdir()
    (folder / "run" / "recipe.yaml").write_text("verb: pretrain\n")
    return []


def other_verb(folder: Path, values: dict[str, dict[str, object]]) -> list[str]:
    values["verb"] = "midtrain"  # type: ignore[assignment]
    return []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (misspell, r"pretrain.yaml: optim.peak_rl: no such setting; did you mean peak_lr?"),
        (wrong_type, "data.seq_len: input should be a valid integer"),
        (missing_data, "nowhere"),
        (missing_tokenizer, "nowhere/tokenizer.json"),
        (short_mask, "mask.npy"),
        (foreign_tokens, "foreign.npy"),
        (occupied_folder, "already holds a run; add --resume"),
        (other_verb, "is a recipe for olmo2 midtrain, not for olmo2 pretrain"),
    ],
)
def test_mistakes_in_a_training_recipe(
    recipe: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path, dict[str, dict[str, object]]], list[str]],
    message: str,
) -> None:
    values = yaml.safe_load(recipe.read_text())
    overrides = spoil(recipe.parent, values)
    recipe.write_text(yaml.safe_dump(values))
    before = snapshot(recipe.parent)
    status, said = run(capsys, "pretrain", recipe, *overrides)
    assert status == 2 and said.startswith("olmo2: ") and said.count("\n") == 1
    assert message in said
    after = snapshot(recipe.parent)
    assert before.items() <= after.items()


@pytest.mark.parametrize("verb", ["tokenize", "train-tokenizer"])
def test_empty_corpus(corpus: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:  # noqa: F811
    (corpus / "empty.jsonl").write_text("")
    more = [f"--tokenizer={corpus}/tokenizer"] if verb == "tokenize" else ["--vocab_size=300"]
    status, said = run(capsys, verb, f"--documents=[{corpus}/empty.jsonl]", f"--output={corpus}/out", *more)
    assert status == 2 and "no documents with text in" in said and not (corpus / "out").exists()


def test_checkpoint_of_another_shape(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    folder = corpus / "release"
    assert run(capsys, "export", pretrain(pretrain_recipe(corpus)), folder)[0] == 0
    config = json.loads((folder / "config.json").read_text())
    config["intermediate_size"] = 96
    (folder / "config.json").write_text(json.dumps(config))
    status, said = run(capsys, "generate", folder, "--prompt=[Hi]")
    assert status == 2 and "mlp" in said and "96" in said and "64" in said and said.count("\n") == 1


@pytest.mark.parametrize("cut", [100, -1])
def test_torn_checkpoint(corpus: Path, capsys: pytest.CaptureFixture[str], cut: int) -> None:  # noqa: F811
    checkpoint = pretrain(pretrain_recipe(corpus))
    data = (checkpoint / "model.safetensors").read_bytes()
    (checkpoint / "model.safetensors").write_bytes(data[:cut])
    status, said = run(capsys, "generate", checkpoint, "--prompt=[Hi]")
    assert status in (1, 2) and "model.safetensors" in said and said.count("\n") == 1


def test_full_disk_while_saving(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second save finds the disk full: the first checkpoint stays, nothing half-written does."""
    real, calls = files.sync_file, 0

    def full(path: Path) -> None:
        nonlocal calls
        calls += path.name == "model.safetensors"
        if calls == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path)

    monkeypatch.setattr(files, "sync_file", full)
    status, said = run(capsys, "pretrain", recipe, "--keep.save_every_steps=3")
    assert status == 1 and "cannot write" in said and "No space left on device; free some space" in said
    assert said.count("\n") == 1
    names = sorted(path.name for path in (recipe.parent / "run").iterdir())
    assert [name for name in names if "step" in name] == ["stage1-step3-tokens1M"]
    monkeypatch.undo()
    assert run(capsys, "pretrain", recipe, "--keep.save_every_steps=3", "--resume")[0] == 0


def test_outputs_are_never_overwritten(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    checkpoint = pretrain(pretrain_recipe(corpus))
    (corpus / "mine").mkdir()
    (corpus / "mine" / "precious").write_text("keep me")
    for arguments in (
        ["export", checkpoint, corpus / "mine"],
        ["import", checkpoint, corpus / "mine"],
        ["soup", f"--inputs=[{checkpoint}]", f"--output={corpus}/mine"],
        [
            "tokenize",
            f"--documents=[{corpus}/text.jsonl]",
            f"--tokenizer={corpus}/tokenizer",
            f"--output={corpus}/mine",
        ],
    ):
        status, said = run(capsys, *arguments)
        assert status == 2 and "mine already exists; choose another folder or delete it first" in said
    assert snapshot(corpus / "mine") == {"precious": b"keep me"}


def test_broken_weights_fail_verification(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    """verify reads the same files on both sides, so what it must notice is a difference in what they compute."""
    pytest.importorskip("transformers")
    folder = corpus / "release"
    assert run(capsys, "export", pretrain(pretrain_recipe(corpus)), folder)[0] == 0
    assert run(capsys, "verify", folder)[0] == 0
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"] *= 1e6  # logits so large that float32 rounding exceeds the tolerance
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    status, said = run(capsys, "verify", folder)
    assert status == 1 and "logits differ" in said
