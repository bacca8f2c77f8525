"""The package's files, parsed once for all tests of the house."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "olmo2"
TREES = {
    path.relative_to(PACKAGE): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))
}
"""syntax tree of every Python file, by its path inside the package"""
MODULES = [path for path in TREES if path.name not in ("__init__.py", "__main__.py")]
RECIPES = sorted(PACKAGE.joinpath("recipes").rglob("*.yaml"))


def line_count(path: Path) -> int:
    """Number of lines of a file."""
    return len(path.read_text(encoding="utf-8").splitlines())
