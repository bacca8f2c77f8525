"""Find sequences that repeat themselves: OLMo 2 takes no loss from them, because they cause loss spikes.

B = sequences, T = positions.
"""

import numpy as np

MAX_PERIOD = 13
MIN_REPEATS = 32
PROBES = 8  # positions looked at within the shortest run that matters; a power of two


def is_repetitive(input_ids: np.ndarray) -> np.ndarray:
    """Say which sequences hold a pattern of 1 to 13 tokens repeated 32 times or more: (B, T) -> (B,) bool.

    A pattern of period p repeated 32 times is a run of 31 p positions whose token equals the one p before it.
    Such a run covers `PROBES` neighbouring points of a grid of spacing 31 p / `PROBES`, so only the sequences
    that match at that many neighbouring grid points are read in full. OLMo 2 report (arXiv 2501.00656), on
    repeated n-grams.
    """
    num_positions = input_ids.shape[1]
    found = np.zeros(len(input_ids), dtype=bool)
    for period in range(1, min(MAX_PERIOD, num_positions - 1) + 1):
        run = (MIN_REPEATS - 1) * period
        spacing = run // PROBES
        matches = input_ids[:, period::spacing] == input_ids[:, : num_positions - period : spacing]
        for shift in (1, 2, 4):  # after this, point i says that points i to i + PROBES - 1 all match
            matches = matches[:, :-shift] & matches[:, shift:]
        for row in np.flatnonzero(matches.any(axis=1) & ~found):
            found[row] = longest_run(input_ids[row, period:] == input_ids[row, :-period]) >= run
    return found


def longest_run(values: np.ndarray) -> int:
    """Return the length of the longest run of True in `values`, (n,) bool."""
    ends = np.flatnonzero(np.concatenate(([True], ~values, [True])))
    return int(np.diff(ends).max()) - 1
