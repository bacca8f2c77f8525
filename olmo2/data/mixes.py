"""A mix: a text file that lists token files, for data that no glob names in the order in which they were trained on.

One file or glob a line. A line that ends in ``/`` is the folder of the lines below it, ``#`` begins a comment, and
listing a file again repeats its data. Mixes of the published models lie in `olmo2/recipes/mixes/`.
"""

from collections.abc import Sequence
from pathlib import Path

from olmo2.base.config import SHIPPED_RECIPES
from olmo2.base.errors import UsageError

MIX_SUFFIX = ".mix"


def expand_mixes(paths: Sequence[str]) -> list[str]:
    """Return the paths with every mix replaced by what it lists."""
    return [file for path in paths for file in (read_mix(path) if path.endswith(MIX_SUFFIX) else [path])]


def read_mix(path: Path | str) -> list[str]:
    """Return the token files and globs that a mix lists, from `path` or else from the mixes that come along.

    Raises UsageError naming the mix if it is not there or lists nothing.
    """
    file = Path(path)
    if not file.exists():
        file = SHIPPED_RECIPES / path
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        shipped = sorted(each.relative_to(SHIPPED_RECIPES).as_posix() for each in SHIPPED_RECIPES.rglob("*.mix"))
        raise UsageError(
            f"there is no mix {path}, neither here nor among those that come along: {', '.join(shipped)}"
        ) from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not a mix: it is no UTF-8 text; a mix lists one token file a line") from None
    files, folder = [], ""
    for line in (line.partition("#")[0].strip() for line in lines):
        if line.endswith("/"):
            folder = line
        elif line:
            files.append(folder + line)
    if not files:
        raise UsageError(f"the mix {path} lists no token file; write one file or glob a line")
    return files
