"""Where sequences come from, against documents written by hand."""

from pathlib import Path

import numpy as np

from olmo2.data.mix import MixedWindows
from olmo2.data.origins import files_of, origins
from olmo2.data.token_files import TokenFolderWriter, open_tokens
from olmo2.data.windows import Windows

SEQ_LEN = 8


def write_folder(folder: Path, lengths: list[int], tokens_per_part: int) -> str:
    with TokenFolderWriter(
        folder, vocab_size=1000, eos_id=0, tokenizer_fingerprint="", tokens_per_part=tokens_per_part
    ) as writer:
        for number, length in enumerate(lengths):  # every token of a document is its number, from 1
            writer.add(np.full(length, number + 1), 1, f"id{number + 1}", folder.name, f"f:{number + 1}")
    return str(folder)


def test_documents_are_those_whose_tokens_are_read(tmp_path: Path) -> None:
    lengths = np.random.default_rng(0).integers(0, 20, size=200).tolist()
    folder = write_folder(tmp_path / "books", lengths, 300)
    windows = Windows(open_tokens([folder], None), seq_len=SEQ_LEN, vocab_size=1000)
    indices = np.random.default_rng(1).permutation(len(windows))
    for origin, row in zip(origins(windows, indices), windows.batch(indices).input_ids, strict=True):
        assert origin.documents is not None
        expected = [
            int(document.id[2:]) if position < document.end - 1 else 0
            for document in origin.documents
            for position in range(max(document.start, origin.start), min(document.end, origin.end))
        ]
        assert row.tolist() == expected
        assert sum(map(origin.tokens_of, origin.documents)) == SEQ_LEN
        assert {document.source for document in origin.documents} == {"books"}
    assert files_of(windows, indices) == sorted(Path(folder).glob("*.npy"))


def test_repeats_are_counted(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "books", [15], 100)
    np.arange(8, dtype="<u2").tofile(tmp_path / "raw.npy")
    windows = Windows(
        open_tokens([folder, str(tmp_path / "raw.npy"), folder], "uint16"), seq_len=SEQ_LEN, vocab_size=1000
    )
    found = origins(windows, np.arange(5))
    assert [(each.number, each.file.path.name, each.start, each.repeat) for each in found] == [
        (0, "part-00000.npy", 0, 1),
        (1, "part-00000.npy", 8, 1),
        (2, "raw.npy", 0, 1),
        (3, "part-00000.npy", 0, 2),
        (4, "part-00000.npy", 8, 2),
    ]
    assert [each.documents is None for each in found] == [False, False, True, False, False]


def test_passes_of_a_mix_are_repeats(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "books", [15], 100)
    np.arange(8, dtype="<u2").tofile(tmp_path / "raw.npy")
    windows = Windows(open_tokens([folder, str(tmp_path / "raw.npy")], "uint16"), seq_len=SEQ_LEN, vocab_size=1000)
    found = origins(MixedWindows(windows, available=[2, 1], wanted=[5, 1], seed=0), np.array([5, 0, 1, 2, 3, 4]))
    assert [each.file.path.name for each in found] == ["raw.npy"] + ["part-00000.npy"] * 5
    assert [each.repeat for each in found] == [1, 1, 1, 2, 2, 3]
    assert [each.start for each in found][:5] == [0, 0, 8, 0, 8]
