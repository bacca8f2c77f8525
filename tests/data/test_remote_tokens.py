"""Remote token files hold what local ones hold: in a bucket of a real S3 server and on a web server."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from olmo2.base import remote
from olmo2.base.errors import RunError, UsageError
from olmo2.base.remote import upload_file, write_remote
from olmo2.data import remote_tokens
from olmo2.data.loader import Loader
from olmo2.data.remote_tokens import RemoteTokens, look_at_remote
from olmo2.data.token_files import TokenFolderWriter, map_tokens, open_label_masks, open_tokens, require_tokenizer
from olmo2.data.windows import Windows
from tests.loopback import WholeFilesHandler, flaky_server, web_server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with raw token files, their masks, a file with a header and a token folder."""
    ids = np.random.default_rng(0).integers(0, 100, size=(3, 50))
    (tmp_path / "data").mkdir()
    for name, row in zip("abc", ids, strict=True):
        row.astype("<u2").tofile(tmp_path / f"data/{name}.npy")
        (row % 2 == 0).tofile(tmp_path / f"data/{name}.mask")
    np.save(tmp_path / "data/header.npz.npy", ids[0].astype(">i4"))
    with TokenFolderWriter(
        tmp_path / "data/tokens", vocab_size=100, eos_id=9, tokenizer_fingerprint="f" * 64, tokens_per_part=30
    ) as writer:
        for row in ids:
            writer.add(row[:20], 1, "", "", "")
    return tmp_path / "data"


@pytest.fixture
def uploaded(folder: Path, bucket: str) -> str:
    """That folder in a bucket."""
    for path in folder.rglob("*"):
        if path.is_file():
            upload_file(path, f"{bucket}/data/{path.relative_to(folder).as_posix()}")
    return f"{bucket}/data"


PATHS = ["{}/[ab].npy", "{}/header.npz.npy", "{}/tokens", "{}/c.npy", "{}/a.npy"]


def windows_of(base: object, paths: list[str] = PATHS, **settings: object) -> Windows:
    files = open_tokens([path.format(base) for path in paths], "uint16")
    return Windows(files, seq_len=7, vocab_size=100, **settings)  # type: ignore[arg-type]


def assert_same_windows(ours: Windows, local: Windows) -> None:
    assert len(ours) == len(local)
    assert [file.num_tokens for file in ours.files] == [file.num_tokens for file in local.files]
    order = np.random.default_rng(0).permutation(len(local))
    assert ours.batch(order).input_ids.tolist() == local.batch(order).input_ids.tolist()
    assert ours.batch(order).labels.tolist() == local.batch(order).labels.tolist()
    assert ours.fingerprint() == local.fingerprint(), "data may move to a bucket and back"


def test_s3_is_read_as_the_disk_is(folder: Path, uploaded: str) -> None:
    ours, local = windows_of(uploaded), windows_of(folder)
    assert_same_windows(ours, local)
    assert [str(file.path).removeprefix(uploaded) for file in ours.files] == [
        str(file.path).removeprefix(str(folder)) for file in local.files
    ]
    mixed = windows_of(uploaded, ["{}/a.npy", str(folder / "tokens"), "{}/c.npy"])
    assert_same_windows(mixed, windows_of(folder, ["{}/a.npy", "{}/tokens", "{}/c.npy"]))
    with pytest.raises(UsageError, match=f"{uploaded}/tokens was tokenized with another tokenizer"):
        require_tokenizer(ours.files, "a" * 64)


def test_label_masks_in_s3(folder: Path, uploaded: str) -> None:
    made = []
    for base in (folder, uploaded):
        files = open_tokens([f"{base}/[abc].npy"], "uint16")
        masks = open_label_masks([f"{base}/[abc].mask"], files)
        made.append(Windows(files, label_masks=masks, seq_len=7, vocab_size=100))
    assert_same_windows(made[1], made[0])
    with pytest.raises(UsageError, match=f"the label mask {uploaded}/tokens/part-00000.npy is for|one byte per token"):
        open_label_masks([f"{uploaded}/tokens"], files)


def test_a_web_server_is_read_as_the_disk_is(folder: Path, hasty: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp")
    paths = ["{}/a.npy", "{}/header.npz.npy", "{}/tokens"]
    with web_server(folder) as address:
        assert_same_windows(windows_of(address, paths), windows_of(folder, paths))
        with pytest.raises(UsageError, match="of a web server cannot be listed; name them"):
            open_tokens([f"{address}/*.npy"], "uint16")
    with (
        web_server(folder, WholeFilesHandler) as address,
        pytest.raises(UsageError, match=r"sends no parts of files .*download it first"),
    ):
        windows_of(address, ["{}/a.npy"]).batch(np.array([2]))


def test_a_server_that_fails_while_a_run_reads(
    folder: Path, uploaded: str, s3_server: str, hasty: pytest.MonkeyPatch
) -> None:
    ours = windows_of(uploaded)
    failures: list[int] = []
    with flaky_server(s3_server, failures) as (address, _):
        hasty.setenv("AWS_ENDPOINT_URL", address)
        failures.extend([503, 0, 503])
        loader = Loader(ours, global_batch_sequences=4, seed=0)
        expected = Loader(windows_of(folder), global_batch_sequences=4, seed=0)
        for step, batch in enumerate(loader.batches(1, 5), start=1):
            assert batch.input_ids.tolist() == expected.batch(step).input_ids.tolist()
        assert failures == []


def test_a_file_that_is_cut_after_it_was_opened(uploaded: str) -> None:
    ours = windows_of(uploaded, ["{}/a.npy"])
    write_remote(f"{uploaded}/a.npy", b"\0" * 20)
    with pytest.raises(RunError, match=rf"cannot read {uploaded}/a\.npy"):
        ours.batch(np.arange(len(ours)))


def test_more_than_a_thousand_files_are_listed_and_not_read(
    bucket: str, monkeypatch: pytest.MonkeyPatch, hasty: pytest.MonkeyPatch
) -> None:
    sizes = {f"{bucket}/shards/{number:04d}.npy": 10**9 + 4 * number for number in range(1100)}
    listed: list[str] = []

    def list_remote(folder: str) -> list[remote.RemoteFile]:
        listed.append(folder)
        return [remote.RemoteFile(name, size) for name, size in sizes.items()]

    read: list[int] = []
    monkeypatch.setattr(remote_tokens, "list_remote", list_remote)
    monkeypatch.setattr(
        remote_tokens, "read_range", lambda name, start, stop: (read.append(stop - start), b"\1" * (stop - start))[1]
    )
    files = open_tokens(list(sizes), "uint32")
    assert sum(file.num_tokens for file in files) == sum(sizes.values()) // 4
    assert set(listed) == {f"{bucket}/shards"} and len(listed) <= 2
    assert len(read) == 1100 and sum(read) < 2**21


def test_few_files_of_a_folder_are_looked_at_one_by_one(uploaded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: str) -> None:
        raise AssertionError(f"{folder} may hold a million files")

    names = [f"{uploaded}/{name}" for name in ("a.npy", "none", "b.npy")]
    with monkeypatch.context() as patch:
        patch.setattr(remote_tokens, "list_remote", refuse)
        one_by_one = look_at_remote(names)
    monkeypatch.setattr(remote_tokens, "LIST_FROM", 1)
    assert [file.name for file in one_by_one.values()] == [names[0], names[2]]
    assert one_by_one.keys() == look_at_remote(names).keys()


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        (None, "none.npy", r"there is neither a token file nor a token folder \(with tokens.json\) .*none\.npy"),
        (None, "*.none", "no file matches s3://"),
        (("a.npy", b""), "a.npy", "a.npy is empty"),
        (("a.npy", b"123"), "a.npy", r"a\.npy has 3 bytes, which is not a whole number"),
        (("tokens/part-00001.npy", b"12"), "tokens", r"part-00001\.npy holds 1 tokens, but tokens\.json"),
        (("tokens/tokens.json", b"{"), "tokens", r"tokens/tokens\.json is not valid JSON"),
        (("tokens/tokens.json", b"{}"), "tokens", r"tokens/tokens\.json is damaged"),
        (("a.npy", b"\x93NUMPY\1\0"), "a.npy", r"a\.npy is a damaged NumPy file"),
        (("a.jsonl", b"{}"), "a.jsonl", r"a\.jsonl is not a file of token ids"),
    ],
)
def test_what_is_wrong_is_named(uploaded: str, change: tuple[str, bytes] | None, path: str, message: str) -> None:
    if change:
        write_remote(f"{uploaded}/{change[0]}", change[1])
    with pytest.raises(UsageError, match=message):
        open_tokens([f"{uploaded}/{path}"], "uint16")


def test_a_part_that_is_missing(uploaded: str) -> None:
    remote.delete_remote([f"{uploaded}/tokens/part-00001.npy"])
    with pytest.raises(UsageError, match=r"cannot read the token file .*part-00001\.npy: there is none of that name"):
        open_tokens([f"{uploaded}/tokens"], None)


def test_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"head" + np.arange(10, dtype=">u4").tobytes()
    read: Callable[[str, int, int], bytes] = lambda name, start, stop: data[start:stop]  # noqa: E731
    monkeypatch.setattr(remote_tokens, "read_range", read)
    tokens = RemoteTokens("s3://b/a", ">u4", 10, 4)
    assert len(tokens) == 10
    for wanted in (slice(0, 3), slice(8, 99), slice(None), slice(5, 5), slice(7, 2)):
        assert tokens[wanted].tolist() == list(range(10))[wanted]


def test_a_remote_file_is_not_mapped(uploaded: str) -> None:
    (file,) = open_tokens([f"{uploaded}/a.npy"], "uint16")
    assert isinstance(map_tokens(file), RemoteTokens)
