"""Pack short examples into rows of one length with little padding and without cutting any."""

from collections.abc import Sequence


def pack_best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Place every item, longest first, in the fullest row that still has room for it (best-fit decreasing).

    `lengths` are between 1 and `capacity` tokens. Returns the items of each row, as positions in `lengths`; equal
    input gives equal rows. In the worst case about 11/9 of the fewest rows possible (Johnson, 1973).
    """
    assert all(0 < length <= capacity for length in lengths)
    rows: list[list[int]] = []
    rows_with_room: list[list[int]] = [[] for _ in range(capacity + 1)]
    rooms = 0  # bit r is set where some row has room for exactly r more tokens
    for item in sorted(range(len(lengths)), key=lambda item: -lengths[item]):
        length = lengths[item]
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            row = rows_with_room[room].pop()
            if not rows_with_room[room]:
                rooms ^= 1 << room
        else:
            room, row = capacity, len(rows)
            rows.append([])
        rows[row].append(item)
        rows_with_room[room - length].append(row)
        rooms |= 1 << (room - length)
    return rows
