"""Stored responses are read as they are, and every line that is none is named in one sentence."""

import gzip
import json
from pathlib import Path

import pytest

from olmo2.base.errors import UsageError
from olmo2.eval.answer_file import StoredAnswer
from olmo2.eval.response_file import read_responses
from olmo2.eval.task import AnyItem, Option, Prompt, Ranked, Written

OPTIONS = tuple(Option(Prompt("2 + 2 ="), text) for text in (" 4", " 5", " 6"))
WRITTEN: list[AnyItem] = [Written(number, "", "", Prompt("?"), lambda response: {}) for number in range(3)]
RANKED: list[AnyItem] = [Ranked(number, "", "", OPTIONS, lambda found: {}) for number in range(3)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "responses.jsonl"


def write(file: Path, *rows: object) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def complaint(file: Path, items: list[AnyItem] = WRITTEN) -> str:
    """The one sentence that a file gets."""
    with pytest.raises(UsageError) as caught:
        read_responses(file, items)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_responses_in_any_order_and_not_all_of_them(file: Path) -> None:
    write(file, {"doc_id": 2, "response": "c", "model": "mine"}, {"doc_id": 0, "response": "a"})
    assert read_responses(file, WRITTEN) == {2: StoredAnswer(2, "c"), 0: StoredAnswer(0, "a")}


@pytest.mark.parametrize(
    "response",
    [
        "",
        "x" * 10**6,
        "".join(map(chr, range(32))) + "\x7f\x80\x85\u2028\u2029",
        "\ufeffgrüße 汉 \U0001f642 \ufffd \uffff",
        "e\u0301\u202e",
        '{"doc_id": 1}\n',
    ],
)
@pytest.mark.parametrize("is_ascii", [True, False])
def test_unusual_text_is_text(file: Path, response: str, is_ascii: bool) -> None:
    row = json.dumps({"doc_id": 1, "response": response}, ensure_ascii=is_ascii)
    file.write_bytes(row.encode())
    assert read_responses(file, WRITTEN) == {1: StoredAnswer(1, response)}


def test_empty_lines_byte_order_marks_and_compression(file: Path, tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf{"doc_id": 0, "response": "a"}\r\n\r\n  \n{"doc_id": 1, "response": "b"}'
    file.write_bytes(content)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(content))
    expected = {0: StoredAnswer(0, "a"), 1: StoredAnswer(1, "b")}
    assert read_responses(file, WRITTEN) == read_responses(tmp_path / "a.jsonl.gz", WRITTEN) == expected


def test_rows_of_an_evaluation(file: Path) -> None:
    """With what else they hold, the scores and the errors of those that have no score."""
    write(
        file,
        {"doc_id": 0, "group": "g", "response": "", "num_tokens": [3], "scores": {"f1": 0.5}},
        {"doc_id": 1, "group": "g", "error": "the server has gone"},
        {"doc_id": 2, "group": "g", "response": "x", "error": "judge: says nothing", "is_cut": True},
    )
    assert read_responses(file, WRITTEN) == {
        0: StoredAnswer(0, "", num_tokens=(3,)),
        1: StoredAnswer(1, error="the server has gone"),
        2: StoredAnswer(2, "x", is_cut=True),
    }
    write(file, {"doc_id": 1, "error": "the server has gone"})
    assert read_responses(file, RANKED) == {1: StoredAnswer(1, error="the server has gone")}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"response": "a"}', 'a row needs a whole number under "doc_id"'),
        (b'{"doc_id": null, "response": "a"}', 'a row needs a whole number under "doc_id"'),
        (b'{"doc_id": "1", "response": "a"}', 'a row needs a whole number under "doc_id"'),
        (b'{"doc_id": 1.0, "response": "a"}', 'a row needs a whole number under "doc_id"'),
        (b'{"doc_id": true, "response": "a"}', 'a row needs a whole number under "doc_id"'),
        (b'[1, "a"]', 'a row needs a whole number under "doc_id"'),
        (b'"a"', 'a row needs a whole number under "doc_id"'),
        (b'{"doc_id": 3, "response": "a"}', "the task has no item 3; its items are 0 to 2"),
        (b'{"doc_id": -1, "response": "a"}', "the task has no item -1; its items are 0 to 2"),
        (b'{"doc_id": 0, "response": "a"}', "item 0 was there before, in line 1; keep one of the two"),
        (b'{"doc_id": 1}', 'a row needs a text under "response"'),
        (b'{"doc_id": 1, "response": null}', 'a row needs a text under "response"'),
        (b'{"doc_id": 1, "response": ["a"]}', 'a row needs a text under "response"'),
        (b'{"doc_id": 1, "error": null}', 'a row needs a text under "response"'),
        (b'{"doc_id": 1, "logprobs": [-1, -2, -3], "num_tokens": [1, 1, 1]}', 'a row needs a text under "response"'),
        (b'{"doc_id": 1, "response": "a', "the line is not a JSON object"),
        (b'{"doc_id": 1, "response": "a\x01"}', "the line is not a JSON object"),
        (b"doc_id,response", "the line is not a JSON object"),
        (b"[" * 100_000, "the line is not a JSON object"),
        (b'{"doc_id": ' + b"1" * 5000 + b"}", "the line is not a JSON object"),
        (b'{"doc_id": 1, "response": "\xff\xfe"}', "not valid UTF-8"),
        (b'{"doc_id": 1, "response": "\xed\xa0\x80"}', "not valid UTF-8"),
        (b'{"doc_id": 1, "response": "\\ud83d"}', r"the line escapes half of a surrogate pair (\ud800 to \udfff)"),
        (b'{"doc_id": 1, "response": "\\ude42\\ud83d"}', r"the line escapes half of a surrogate pair"),
    ],
)
def test_a_wrong_line_is_named(file: Path, line: bytes, expected: str) -> None:
    file.write_bytes(b'{"doc_id": 0, "response": "a"}\n' + line + b"\n")
    assert complaint(file).startswith(f"{file}:2: {expected}")


def test_log_probabilities(file: Path) -> None:
    write(
        file,
        {"doc_id": 0, "logprobs": [-1.5, -20, 0.0], "num_tokens": [1, 2, 0]},
        {"doc_id": 1, "logprobs": [-1e29, -1.0, 1e-6], "num_tokens": [1, 1, 1], "response": "4"},
    )
    assert read_responses(file, RANKED) == {
        0: StoredAnswer(0, logprobs=(-1.5, -20.0, 0.0), num_tokens=(1, 2, 0)),
        1: StoredAnswer(1, logprobs=(-1e29, -1.0, 1e-6), num_tokens=(1, 1, 1)),
    }


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ('{"doc_id": 0, "response": "4"}', 'a row needs 3 numbers under "logprobs"'),
        ('{"doc_id": 0, "logprobs": -1, "num_tokens": 1}', 'a row needs 3 numbers under "logprobs"'),
        ('{"doc_id": 0, "logprobs": [-1, -2], "num_tokens": [1, 1]}', 'a row needs 3 numbers under "logprobs"'),
        (
            '{"doc_id": 0, "logprobs": [-1, -2, "-3"], "num_tokens": [1, 1, 1]}',
            'a row needs 3 numbers under "logprobs"',
        ),
        (
            '{"doc_id": 0, "logprobs": [-1, -2, true], "num_tokens": [1, 1, 1]}',
            'a row needs 3 numbers under "logprobs"',
        ),
        ('{"doc_id": 0, "logprobs": [-1, -2, NaN], "num_tokens": [1, 1, 1]}', 'a row needs 3 numbers under "logprobs"'),
        ('{"doc_id": 0, "logprobs": [-1, -2, -Infinity], "num_tokens": [1, 1, 1]}', "a row needs 3 numbers"),
        ('{"doc_id": 0, "logprobs": [-1, -2, -1e999], "num_tokens": [1, 1, 1]}', "a row needs 3 numbers"),
        ('{"doc_id": 0, "logprobs": [-1, -2, ' + "-1" + "0" * 400 + '], "num_tokens": [1, 1, 1]}', "a row needs 3 num"),
        ('{"doc_id": 0, "logprobs": [1, 2, 3], "num_tokens": [1, 1, 1]}', 'a row needs 3 numbers under "logprobs"'),
        ('{"doc_id": 0, "logprobs": [-1, -2, -3]}', 'a row needs 3 whole numbers under "num_tokens"'),
        ('{"doc_id": 0, "logprobs": [-1, -2, -3], "num_tokens": [1, 1]}', 'a row needs 3 whole numbers under "num_t'),
        ('{"doc_id": 0, "logprobs": [-1, -2, -3], "num_tokens": [1, 1, 1.5]}', 'a row needs 3 whole numbers under "n'),
        ('{"doc_id": 0, "logprobs": [-1, -2, -3], "num_tokens": [1, 1, -1]}', 'a row needs 3 whole numbers under "nu'),
    ],
)
def test_wrong_log_probabilities_are_named(file: Path, row: str, expected: str) -> None:
    file.write_text(row)
    assert complaint(file, RANKED).startswith(f"{file}:1: {expected}")


@pytest.mark.parametrize("content", [b"", b"\n\n", b" \r\n"])
def test_a_file_without_responses(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert (
        complaint(file)
        == f'{file} is empty; it must hold responses, such as {{"doc_id": 0, "response": "72"}}, one a line'
    )


def test_no_file(tmp_path: Path) -> None:
    assert complaint(tmp_path / "nowhere.jsonl") == f"there is no file of responses {tmp_path}/nowhere.jsonl"
    assert complaint(tmp_path) == f"there is no file of responses {tmp_path}"


def test_a_damaged_compressed_file(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl.gz"
    file.write_bytes(gzip.compress(json.dumps({"doc_id": 0, "response": "a"}).encode())[:-10])
    assert complaint(file).startswith(f"{file} is damaged or cut short")
