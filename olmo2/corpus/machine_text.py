"""English and code that every Python installation carries: library sources, their docstrings, and pydoc's topics.

Nothing of the library is imported or run: files are parsed. No sentence comes twice: sources are given without
their docstrings, which make documents of their own. Which modules there are differs a little between versions and
distributions; the order is that of the sorted paths.
"""

import ast
import sysconfig
import tokenize
from collections.abc import Iterator
from pathlib import Path

from olmo2.base.errors import UsageError
from olmo2.corpus.document import Document

TOPICS_FILE = "pydoc_data/topics.py"
# Tests, third-party packages and tables, and what distributions leave out or version 3.12 has dropped.
SKIPPED_FOLDERS = {"__pycache__", "dist-packages", "encodings", "lib-dynload", "pydoc_data", "site-packages"} | {
    *("distutils", "idlelib", "lib2to3", "test", "tests", "tkinter", "turtledemo")
}
FEWEST_TABLE_ITEMS = 50
FEWEST_DOCSTRING_CHARACTERS = 40
Definition = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def read_machine_text(library: Path | None = None) -> Iterator[Document]:
    """Yield every document of the Python library: module by module its code and docstrings, then the topics.

    Their `source` is "python-code", "python-docstrings" or "python-topics"; their `location` is the path inside the
    library, so that equal installations give equal documents. `library` is the running Python's unless given.

    Raises UsageError if there is no source file.
    """
    library = library or Path(sysconfig.get_path("stdlib"))
    seen: set[str] = set()
    location = ""
    for location, text, tree in read_sources(library):
        code, prose = without_docstrings(text, tree), docstring_prose(location, tree, seen)
        if code.strip():
            yield Document(f"python-code/{location}", code, "python-code", location)
        if prose:
            yield Document(f"python-docstrings/{location}", prose, "python-docstrings", location)
    if not location:
        raise UsageError(f"{library} holds no Python sources; use a Python that was installed with its library")
    for name, text in read_topics(library):
        yield Document(f"python-topics/{name}", text, "python-topics", TOPICS_FILE)


def read_sources(library: Path) -> Iterator[tuple[str, str, ast.Module]]:
    """Yield (path inside `library`, text, syntax tree) of every source file that is worth reading."""
    for path in sorted(library.rglob("*.py")):
        parts = path.relative_to(library).parts
        if SKIPPED_FOLDERS.intersection(parts) or parts[0].startswith(("_sysconfigdata", "config-")):
            continue
        try:
            with tokenize.open(path) as file:
                text = file.read()
            tree = ast.parse(text)
        except (FileNotFoundError, SyntaxError, UnicodeDecodeError):
            continue  # a link to nowhere or a template: no module of this Python
        if not is_table(text, tree):
            yield "/".join(parts), text, tree


def is_table(text: str, tree: ast.Module) -> bool:
    """Whether most of a file's lines are one or more long literal collections, such as character tables."""
    table_lines = 0
    for node in tree.body:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        items = value.keys if isinstance(value, ast.Dict) else getattr(value, "elts", [])
        if value is not None and len(items) >= FEWEST_TABLE_ITEMS:
            table_lines += (value.end_lineno or value.lineno) - value.lineno + 1
    return 2 * table_lines > text.count("\n")


def definitions(node: ast.AST, name: str = "") -> Iterator[tuple[str, Definition]]:
    """Yield (dotted name, node) of a module, whose own name is empty, and of all its classes and functions in order."""
    if isinstance(node, Definition):
        yield name, node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from definitions(child, f"{name}.{child.name}")
        elif isinstance(child, ast.stmt):
            yield from definitions(child, name)


def without_docstrings(text: str, tree: ast.Module) -> str:
    """Return a source without the docstrings that fill whole lines; "pass" stands for one that was all there was."""
    lines = [line + "\n" for line in text.split("\n")]  # splitlines() would count form feeds too
    for _, node in definitions(tree):
        if ast.get_docstring(node, clean=False) is None:
            continue
        statement = node.body[0]
        first, last = statement.lineno - 1, statement.end_lineno or statement.lineno
        before = lines[first].encode()[: statement.col_offset]
        after = lines[last - 1].encode()[statement.end_col_offset :]
        if before.strip() or after.strip():
            continue
        kept = before.decode() + "pass\n" if len(node.body) == 1 and not isinstance(node, ast.Module) else ""
        lines[first:last] = [kept] + [""] * (last - first - 1)
    return "".join(lines).strip("\n") + "\n"


def docstring_prose(location: str, tree: ast.Module, seen: set[str]) -> str:
    """Return the docstrings of a module under the names they describe, without those in `seen`, which is added to."""
    module = location.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    sections = []
    for name, node in definitions(tree):
        docstring = ast.get_docstring(node) or ""
        if len(docstring) >= FEWEST_DOCSTRING_CHARACTERS and docstring not in seen:
            seen.add(docstring)
            sections.append(f"{module}{name}{signature(node)}\n\n{docstring}\n")
    return "\n".join(sections)


def signature(node: Definition) -> str:
    """Return the parameters of a function in parentheses; nothing for a class or module."""
    return f"({ast.unparse(node.args)})" if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else ""


def read_topics(library: Path) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of pydoc's topics by name, each text once; nothing where a distribution leaves them out."""
    path = library / TOPICS_FILE
    if not path.exists():
        return
    with tokenize.open(path) as file:
        tree = ast.parse(file.read())
    seen: set[str] = set()
    for table in (
        node.value for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
    ):
        for name, text in sorted(ast.literal_eval(table).items()):
            if text not in seen:
                seen.add(text)
                yield name, text.strip() + "\n"
