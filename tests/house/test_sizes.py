"""A function fits a screen, a file a sitting, a recipe a glance; what others call says what it does."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.house.tree import MODULES, PACKAGE, RECIPES, TREES, line_count

MOST_LINES_OF_A_FUNCTION = 70
MOST_LINES_OF_A_FILE = 350
MOST_LINES_OF_A_RECIPE = 45

Function = ast.FunctionDef | ast.AsyncFunctionDef


def test_files_and_recipes_are_short() -> None:
    files = {str(path): line_count(PACKAGE / path) for path in TREES}
    assert {path: lines for path, lines in files.items() if lines > MOST_LINES_OF_A_FILE} == {}
    recipes = {path.name: line_count(path) for path in RECIPES}
    assert {path: lines for path, lines in recipes.items() if lines > MOST_LINES_OF_A_RECIPE} == {}


def test_functions_fit_a_screen() -> None:
    lengths = {
        f"{path}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, Function)
    }
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES_OF_A_FUNCTION} == {}


def undocumented(path: Path, tree: ast.Module) -> Iterator[str]:
    """Yield what is public in a file and has no docstring: the file, its classes and functions, their methods."""
    if not ast.get_docstring(tree):
        yield str(path)
    for owner in (tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))):
        is_class = isinstance(owner, ast.ClassDef)
        for node in owner.body:
            is_definition = isinstance(node, ast.ClassDef | Function)
            if is_definition and not exempt(node.name, is_class) and not ast.get_docstring(node):
                yield f"{path}: {owner.name + '.' if is_class else ''}{node.name}"


def exempt(name: str, is_method: bool) -> bool:
    """Whether a name needs no docstring: it is private, or a torch hook that its class describes."""
    return name.startswith("_") or (is_method and name in ("forward", "backward"))


def test_what_is_public_has_a_docstring() -> None:
    assert [name for path in MODULES for name in undocumented(path, TREES[path])] == []
