"""One word for one thing, and no drawer for everything."""

import ast
import collections
import io
import re
import tokenize

from tests.house.tree import MODULES, PACKAGE, ROOT, TREES

DRAWERS = {"utils", "util", "common", "helpers", "helper", "misc", "tools", "stuff"}
LOSING_WORDS = {  # the word of the house is
    **dict.fromkeys(("sequence_length", "seq_length", "seqlen", "block_size", "context_length"), "seq_len"),
    **dict.fromkeys(("logps", "log_probs", "logp"), "logprobs"),
    **dict.fromkeys(("microbatch", "microbatch_size"), "micro_batch"),
    **dict.fromkeys(("ckpt", "ckpts"), "checkpoint"),
    **dict.fromkeys(("n_layers", "n_heads", "n_tokens", "n_steps"), "num_..."),
    "ignore_index": "labels of -100",
    "global_step": "step",
}
UNFINISHED = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error")


def identifiers(text: str) -> set[str]:
    """Every name that occurs in a source file, but not the words of its strings and comments."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {token.string for token in tokens if token.type == tokenize.NAME}


def test_no_drawer_for_everything() -> None:
    assert [path for path in TREES if DRAWERS & {part.removesuffix(".py") for part in path.parts}] == []


def test_no_two_files_share_a_name() -> None:
    counts = collections.Counter(path.name for path in MODULES)
    assert [name for name, count in counts.items() if count > 1] == []


def test_the_losing_words_do_not_occur() -> None:
    found = {path: identifiers((PACKAGE / path).read_text(encoding="utf-8")) & set(LOSING_WORDS) for path in MODULES}
    assert [f"{path}: {word} is called {LOSING_WORDS[word]} here" for path in found for word in found[path]] == []


def test_functions_are_not_called_get_do_or_process() -> None:
    functions = [
        f"{path}: {node.name}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and re.match("_?(get|do|process)_", node.name)
    ]
    assert functions == []


def test_nothing_is_unfinished() -> None:
    sources = [path for folder in ("olmo2", "tests", "bench", "scripts") for path in (ROOT / folder).rglob("*.py")]
    assert [
        (str(path.relative_to(ROOT)), word)
        for path in sources
        for word in UNFINISHED
        if re.search(rf"\b{word}\b", path.read_text(encoding="utf-8"))
    ] == []
