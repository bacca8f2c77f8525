"""Mixes: what they list and in which order, and the published ones against the published lists."""

import collections
import hashlib
from pathlib import Path

import numpy as np
import pytest

from olmo2.base.errors import UsageError
from olmo2.data.mixes import expand_mixes, read_mix
from olmo2.data.token_files import open_tokens

# Number of files, and SHA-256 of their names, one a line, in the lists of allenai/OLMo and OLMo-core.
PUBLISHED = {
    "50b": (576, "3643034e2426f9e467b3656fc7b912a46d8d2d27478e4911d329209e0a738658"),
    "100b": (1253, "a4281184d9fa68e444e7f67791041e59637f424b45e2b1281a381cca78d70476"),
    "300b": (2476, "a7bdf8082fa9b58ded84d462fd97b62f106a3b0b07666bf8ca55fdfbf936b2ef"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_mixes_are_the_published_lists(name: str) -> None:
    files = read_mix(f"mixes/dolmino-{name}.mix")
    digest = hashlib.sha256("".join(f"{file}\n" for file in files).encode()).hexdigest()
    assert (len(files), digest) == PUBLISHED[name]


@pytest.mark.parametrize(
    ("name", "flan", "wiki", "math", "two_students", "num_pes2o"),
    [("50b", 1, 1, 1, 1, 1), ("100b", 2, 2, 2, 3, 4), ("300b", 4, 4, 4, 4, 26)],
)
def test_repeats(name: str, flan: int, wiki: int, math: int, two_students: int, num_pes2o: int) -> None:
    """How often each source is read (for FLAN: of the 46 files of the 50B mix, which are half of those that exist)."""
    files = read_mix(f"mixes/dolmino-{name}.mix")
    counts = collections.Counter(files)

    def repeats(part: str) -> set[int]:
        return {count for file, count in counts.items() if f"/{part}/" in file}

    assert repeats("wiki") == {wiki}
    assert repeats("tinyGSM/mind") == repeats("gsm_MIND") == repeats("filtered-math") == {math}
    assert repeats("tinyGSM/mind-2students") == {two_students}
    assert repeats("v0_rep32_ft7percentile_fw2") == repeats("pes2o") == {1}
    assert sum("/pes2o/" in file for file in files) == num_pes2o
    assert sum("/tulu_flan/" in file for file in files) == 46 * flan


def test_a_mix_is_opened_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b/part-1.npy", "b/part-0.npy", "a.npy", "c.npy"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.arange(4, dtype="<u4").tofile(tmp_path / name)
    (tmp_path / "own.mix").write_text("# mine\nc.npy\n\nb/\npart-1.npy # again below\n*.npy\n/tmp/\n")
    assert read_mix("own.mix") == ["c.npy", "b/part-1.npy", "b/*.npy"]
    files = open_tokens(["a.npy", "own.mix", "own.mix"], "uint32")
    once = ["c.npy", "b/part-1.npy", "b/part-0.npy", "b/part-1.npy"]
    assert [str(file.path) for file in files] == ["a.npy", *once, *once]


def test_other_paths_stay() -> None:
    assert expand_mixes(["data/*.npy", "runs/tokens"]) == ["data/*.npy", "runs/tokens"]


def test_bad_mixes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no mix mixes/dolmino-5b.mix, neither .*: mixes/dolmino-100b.mix"):
        open_tokens(["mixes/dolmino-5b.mix"], "uint32")
    (tmp_path / "empty.mix").write_text("# nothing\ndata/\n")
    with pytest.raises(UsageError, match=r"empty.mix lists no token file"):
        read_mix(tmp_path / "empty.mix")
    np.full(8, 0xFFFFFFFF, dtype="<u4").tofile(tmp_path / "tokens.mix")
    with pytest.raises(UsageError, match=r"tokens.mix is not a mix: it is no UTF-8 text"):
        read_mix(tmp_path / "tokens.mix")
