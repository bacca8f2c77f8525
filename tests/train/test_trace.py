"""The documents of a step, against the batch that the run's own loader reads."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from olmo2.base.errors import UsageError
from olmo2.checkpoint.keep import RECIPE_FILE
from olmo2.data.loader import Loader
from olmo2.data.provenance import has_index
from olmo2.data.step_plan import BatchChange, SeqLenChange, make_phases
from olmo2.tokenizer.tokenizer import Tokenizer
from olmo2.train.pretrain import PretrainRecipe, pretrain
from olmo2.train.trace import TraceRecipe, trace
from tests.train.conftest import pretrain_recipe


def traced(folder: Path, step: int, capsys: pytest.CaptureFixture[str], **settings: Any) -> list[dict[str, Any]]:
    capsys.readouterr()
    trace(TraceRecipe(run=str(folder), step=step, format="json", **settings))
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def run_folder(corpus: Path, recipe: PretrainRecipe, **run: Any) -> Path:
    """Return the folder of a run that has been set up but not trained, with extra settings of the run."""
    folder = corpus / "set-up"
    folder.mkdir()
    values = recipe.model_dump(mode="json")
    (folder / RECIPE_FILE).write_text(json.dumps(values | {"run": values["run"] | run}))
    return folder


def test_trace_of_a_run(corpus: Path, tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = pretrain_recipe(corpus)
    pretrain(recipe)
    sequences = recipe.data.windows(tokenizer)
    loader = Loader(sequences, global_batch_sequences=8, seed=recipe.run.seed)
    texts = [json.loads(line)["text"] for line in (corpus / "text.jsonl").read_text().splitlines()]
    for step in (1, 6):
        found = traced(corpus / "run", step, capsys, text=True)
        rows = loader.batch(step).input_ids
        assert [each["sequence"] for each in found] == list(range(8))
        for each, row in zip(found, rows, strict=True):
            assert each["file"] == str(corpus / "tokens/part-00000.npy")
            assert each["text"] == tokenizer.decode(row.tolist(), skip_special=False)
            assert each["end"] - each["start"] == sum(document["tokens"] for document in each["documents"]) == 32
            ids: list[int] = []
            for document in each["documents"]:
                line = int(document["location"].rsplit(":", 1)[1])
                whole = [*tokenizer.encode(texts[line - 1]), tokenizer.eos_id]
                assert len(whole) == document["end"] - document["start"]
                begin = max(each["start"] - document["start"], 0)
                ids += whole[begin : begin + document["tokens"]]
            assert ids == row.tolist()

    trace(TraceRecipe(run=str(corpus / "run"), step=2, text=True))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"step 2 of {corpus / 'run'}: 8 sequences of 32 tokens, epoch 0, after 256 tokens")
    assert sum(line.startswith("sequence ") for line in lines) == 8
    assert any(line.startswith("    | ") for line in lines)
    first = found_in_table = traced(corpus / "run", 2, capsys)[0]
    assert f"tokens {first['start']:,} to {first['end']:,}" in lines[2]
    assert all(document["location"] in "\n".join(lines) for document in found_in_table["documents"])

    with pytest.raises(UsageError, match=r"--step=7: .*run has 6 steps"):
        traced(corpus / "run", 7, capsys)
    tokens = corpus / "tokens/part-00000.npy"
    data = tokens.read_bytes()
    np.ones(len(data) // 2, "<u2").tofile(tokens)
    with pytest.raises(UsageError, match=r"data of .*run are no longer those that stage1-step6-tokens1M"):
        traced(corpus / "run", 1, capsys)
    shutil.rmtree(corpus / "tokens")
    with pytest.raises(UsageError, match=r"data of .*run are not where its recipe\.yaml says: cannot read .*tokens"):
        traced(corpus / "run", 1, capsys)


def test_trace_writes_nothing_and_needs_no_checkpoint_order_or_index(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run_folder(corpus, pretrain_recipe(corpus))
    indexed = traced(folder, 3, capsys)
    assert [path.name for path in folder.iterdir()] == [RECIPE_FILE]
    (corpus / "tokens/part-00000.index").unlink()
    assert not has_index(corpus / "tokens/part-00000.npy")
    trace(TraceRecipe(run=str(folder), step=3, format="json"))
    slow = capsys.readouterr()
    assert [json.loads(line) for line in slow.out.splitlines()] == indexed
    assert slow.err.count("\n") == 3
    for message in ("no checkpoint yet", "computing the order again", "1 files that have no index"):
        assert message in slow.err
    (corpus / "tokens/part-00000.csv.gz").unlink()
    trace(TraceRecipe(run=str(folder), step=3))
    unknown = capsys.readouterr()
    assert unknown.out.count("documents unknown") == 8
    assert "no .csv.gz beside" in unknown.err


def test_schedules_and_repeats(corpus: Path, tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]) -> None:
    """Two steps of 8 sequences, then 16 of them, in pieces of 16 tokens; the data are listed twice."""
    schedule = [{"from_tokens": 512, "global_batch_tokens": 512}]
    data = {
        "paths": [str(corpus / "tokens"), str(corpus / "tokens")],
        "seq_len": 32,
        "seq_len_schedule": [{"from_tokens": 512, "seq_len": 16}],
    }
    recipe = pretrain_recipe(corpus, changes={"data": data})
    folder = run_folder(corpus, recipe, batch_schedule=schedule, total_tokens=4096)
    sequences = recipe.data.windows(tokenizer)
    phases = make_phases(
        seq_len=32,
        global_batch_tokens=256,
        batch_schedule=[BatchChange(from_tokens=512, global_batch_tokens=512)],
        seq_len_schedule=[SeqLenChange(from_tokens=512, seq_len=16)],
    )
    loader = Loader(sequences, phases=phases, seed=recipe.run.seed)
    tokens = np.fromfile(corpus / "tokens/part-00000.npy", "<u2")
    repeats = set()
    for step in (2, 3, 9):
        found = traced(folder, step, capsys)
        read = np.concatenate([tokens[each["start"] : each["end"]] for each in found])
        assert read.tolist() == loader.batch(step).input_ids.flatten().tolist()
        repeats |= {each["repeat"] for each in found}
    assert repeats == {1, 2}
    with pytest.raises(UsageError, match="has 9 steps"):
        traced(folder, 10, capsys)
    trace(TraceRecipe(run=str(folder), step=3))
    printed = capsys.readouterr().out
    assert "16 sequences of 32 tokens, each cut into 2 of 16, epoch 0, after 512 tokens" in printed
    assert ", repeat 2\n" in printed


def test_rows_of_conversations(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The type of their ids stands in chats.json, not in the run's recipe."""
    rows, run = tmp_path / "rows", tmp_path / "run"
    rows.mkdir(), run.mkdir()
    np.arange(64, dtype="<u2").tofile(rows / "input_ids.npy")
    np.ones(64, dtype=bool).tofile(rows / "label_mask.npy")
    about = {"seq_len": 16, "dtype": "uint16", "vocab_size": 380, "tokenizer": "x", "layout": "template"}
    counts = dict.fromkeys(("num_tokens", "num_targets"), 64) | {"num_rows": 4, "num_truncated": 0, "num_dropped": 0}
    (rows / "chats.json").write_text(json.dumps(about | counts))
    data = {"paths": [f"{rows}/input_ids.npy"], "label_mask_paths": [f"{rows}/label_mask.npy"], "seq_len": 16}
    recipe = {"verb": "finetune", "data": data, "run": {"seed": 1, "global_batch_tokens": 32, "total_steps": 2}}
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    trace(TraceRecipe(run=str(run), step=2))
    assert "input_ids.npy" in capsys.readouterr().out


def test_document_masks_need_the_tokenizer(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = {"paths": [str(corpus / "tokens")], "seq_len": 32, "document_mask": True}
    folder = run_folder(corpus, pretrain_recipe(corpus, changes={"data": data}))
    assert len(traced(folder, 1, capsys)) == 8


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"verb": "sft"}, "was trained on conversations; trace finds the documents of token files only"),
        ({"verb": "pretrain"}, "is not the recipe of a run on token files"),
        ({"run": {"seed": 1, "global_batch_tokens": 8}, "data": {"seq_len": 4}}, "token files in paths, or sources"),
        (None, "is not a run folder: it holds no recipe.yaml"),
    ],
)
def test_folders_that_hold_no_such_run(
    tmp_path: Path, values: dict[str, Any] | None, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if values is not None:
        (tmp_path / RECIPE_FILE).write_text(json.dumps(values))
    with pytest.raises(UsageError, match=message):
        traced(tmp_path, 1, capsys)


def test_pairs_and_epochs_from_one(corpus: Path, tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]) -> None:
    """Whether the order is the one that the run saved or is computed again."""
    data = {"paths": [str(corpus / "tokens")], "seq_len": 32, "first_epoch": 1, "shuffle_together": 2}
    recipe = pretrain_recipe(corpus, changes={"data": data})
    pretrain(recipe)
    tokens = np.fromfile(corpus / "tokens/part-00000.npy", "<u2")
    pairs = np.arange(len(tokens) // 64, dtype=np.uint32)
    np.random.Generator(np.random.PCG64(recipe.run.seed + 1)).shuffle(pairs)
    expected = [64 * pair + start for pair in pairs[4:8].tolist() for start in (0, 32)]  # step 2 reads 8 sequences
    assert [each["start"] for each in traced(corpus / "run", 2, capsys)] == expected
    [order] = (corpus / "run" / "order").iterdir()
    order.unlink()
    assert [each["start"] for each in traced(corpus / "run", 2, capsys)] == expected
