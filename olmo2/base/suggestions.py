"""What somebody may have meant who wrote a name that is not known."""

import difflib
from collections.abc import Collection, Sequence


def did_you_mean(name: str, known: Collection[str], prefix: str = "", *, cutoff: float = 0.5) -> str:
    """Return a suggestion such as ``; did you mean data.paths?``, nothing if no known name is alike.

    `cutoff` is the share of equal parts, as difflib counts them, from which on names are alike.
    """
    close = difflib.get_close_matches(name, known, n=1, cutoff=cutoff)
    return f"; did you mean {prefix}{close[0]}?" if close else ""


def nearest(name: str, known: Sequence[str], prefix: str = "") -> str:
    """Return a suggestion, or else the first of the known names."""
    listed = f"; known: {', '.join(prefix + each for each in known[:12])}{', ...' if len(known) > 12 else ''}"
    return did_you_mean(name, known, prefix) or listed
