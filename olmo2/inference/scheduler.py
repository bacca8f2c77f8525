"""Who is read in the next forward: answers under way first, then waiting prompts, in pieces if they are long."""

from collections import deque
from collections.abc import Iterator

from olmo2.inference.pages import PAGE_TOKENS, PagePool
from olmo2.inference.request import Sequence

Piece = tuple[Sequence, int]  # a sequence, and how many of its next tokens are read


class Scheduler:
    """Sequences in the order of their arrival; those that run hold pages."""

    def __init__(self, pool: PagePool, *, max_sequences: int, step_tokens: int) -> None:
        self.pool = pool
        self.max_sequences, self.step_tokens = max_sequences, step_tokens
        self.waiting: deque[Sequence] = deque()
        self.running: dict[Sequence, None] = {}  # in the order in which they began

    def plan(self) -> list[Piece]:
        """Return what to read in one forward, at most `step_tokens` tokens, with pages for all of them.

        If the pages do not suffice for what runs, the sequence that came last gives its own back and waits again.
        """
        pieces: list[Piece] = []
        room = self.step_tokens
        for sequence in sorted(self.running, key=lambda each: each.num_waiting > 1):  # answers, then prompts
            if sequence not in self.running:  # put off meanwhile
                continue
            num_tokens = min(sequence.num_waiting, room)
            if num_tokens and self.has_pages(sequence, num_tokens):
                pieces.append((sequence, num_tokens))
                room -= num_tokens
        pieces = [piece for piece in pieces if piece[0] in self.running]  # was not put off for a later one
        if len(self.running) == len(pieces):  # nothing that runs was left out
            pieces += self.admitted(pieces, room)
        return pieces

    def has_pages(self, sequence: Sequence, num_tokens: int) -> bool:
        """Give a running sequence pages for `num_tokens` more, putting others off if need be; False if itself."""
        while sequence in self.running:
            if self.extend(sequence, num_tokens):
                return True
            self.put_off(next(reversed(self.running)))
        return False

    def extend(self, sequence: Sequence, num_tokens: int) -> bool:
        """Give a sequence pages for `num_tokens` more; False if there are not enough."""
        num_new = -(-(sequence.num_stored + num_tokens) // PAGE_TOKENS) - len(sequence.pages)
        if num_new > self.pool.num_available:
            return False
        sequence.pages += [self.pool.take() for _ in range(num_new)]
        return True

    def put_off(self, sequence: Sequence) -> None:
        """Take a sequence's pages; it will be read again later, answer so far included."""
        del self.running[sequence]
        self.forget(sequence)
        self.waiting.appendleft(sequence)

    def admitted(self, pieces: list[Piece], room: int) -> Iterator[Piece]:
        """Let waiting sequences begin, as long as there is room for them whole."""
        if not self.waiting:
            return
        # A prompt that begins like one being read waits a step, and finds its pages then.
        being_read = {key for sequence, _ in pieces if (key := next_page(sequence)) is not None}
        postponed: list[Sequence] = []
        while self.waiting and room > 0 and len(self.running) < self.max_sequences:
            sequence = self.waiting.popleft()
            self.reuse(sequence)
            key = next_page(sequence)
            if key is not None and key in being_read:
                self.forget(sequence)
                postponed.append(sequence)
                continue
            num_tokens = min(sequence.num_waiting, room)
            if not self.fits(sequence) or not self.extend(sequence, num_tokens):
                self.forget(sequence)
                self.waiting.appendleft(sequence)
                break
            if key is not None:
                being_read.add(key)
            room -= num_tokens
            self.running[sequence] = None
            yield sequence, num_tokens
        self.waiting.extendleft(reversed(postponed))

    def fits(self, sequence: Sequence) -> bool:
        """Tell whether all tokens known so far, and one more if there will be one, have room now."""
        num_tokens = min(len(sequence.ids) + 1, sequence.most_stored)
        return -(-num_tokens // PAGE_TOKENS) - len(sequence.pages) <= self.pool.num_available

    def reuse(self, sequence: Sequence) -> None:
        """Let a sequence that begins share the pages that hold its first tokens already."""
        while (end := sequence.num_stored + PAGE_TOKENS) <= sequence.num_reusable:
            found = self.pool.find(sequence.content, sequence.ids[sequence.num_stored : end])
            if found is None:
                break
            page, sequence.content = found
            self.pool.share(page)
            sequence.pages.append(page)
            sequence.num_stored, sequence.num_full = end, sequence.num_full + 1
        if not sequence.completion.token_ids:
            sequence.completion.num_cached = sequence.num_stored

    def stored(self, sequence: Sequence, num_tokens: int) -> None:
        """Note that a forward has stored a sequence's next tokens, and remember the pages that are full now."""
        sequence.num_stored += num_tokens
        while (end := (sequence.num_full + 1) * PAGE_TOKENS) <= sequence.num_stored:
            tokens = sequence.ids[end - PAGE_TOKENS : end]
            sequence.content = self.pool.remember(sequence.pages[sequence.num_full], sequence.content, tokens)
            sequence.num_full += 1

    def forget(self, sequence: Sequence) -> None:
        """Give a sequence's pages back."""
        self.pool.give_back(sequence.pages)
        sequence.start_over()

    def remove(self, sequence: Sequence) -> None:
        """Let go of a sequence that is complete or no longer wanted, also after a step that failed half-way."""
        if sequence in self.running:
            del self.running[sequence]
        elif sequence in self.waiting:
            self.waiting.remove(sequence)
        self.forget(sequence)


def next_page(sequence: Sequence) -> tuple[int, tuple[int, ...]] | None:
    """Return what will be remembered of the next page that a sequence fills with its prompt; None if it fills none."""
    start = sequence.num_full * PAGE_TOKENS
    tokens = tuple(sequence.ids[start : start + PAGE_TOKENS])
    return (sequence.content, tokens) if len(tokens) == PAGE_TOKENS else None
