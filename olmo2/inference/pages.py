"""Which pages of the cache hold which tokens: handed out, shared between equal beginnings, and taken back.

A page holds the keys and values of PAGE_TOKENS tokens. A full page is remembered under its tokens and those before
it, so that a later prompt which begins the same finds it; a page that nobody uses stays until its room is needed.
"""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import count

PAGE_TOKENS = 16
START = -1  # what stands before the first page of a sequence

PageKey = tuple[int, tuple[int, ...]]  # (number of the content before, tokens of the page)


class PagePool:
    """The pages of a cache, by number.

    Every remembered content has a number of its own that is never given twice: a page may be given to other tokens,
    but what was remembered to follow the old ones is not found behind the new.
    """

    def __init__(self, num_pages: int) -> None:
        self.num_pages = num_pages
        self.free = list(reversed(range(num_pages)))
        self.idle: OrderedDict[int, None] = OrderedDict()  # remembered and unused, the longest unused first
        self.users = [0] * num_pages
        self.content_of: dict[int, tuple[int, PageKey]] = {}  # page -> its content's number and key
        self.page_of: dict[PageKey, int] = {}
        self.numbers = count()

    @property
    def num_available(self) -> int:
        """Pages that `take` can hand out."""
        return len(self.free) + len(self.idle)

    def take(self) -> int:
        """Hand out a page, if need be one that was remembered."""
        if self.free:
            page = self.free.pop()
        else:
            page, _ = self.idle.popitem(last=False)
            _, key = self.content_of.pop(page)
            del self.page_of[key]
        self.users[page] = 1
        return page

    def share(self, page: int) -> None:
        """Let one more sequence use a page."""
        self.idle.pop(page, None)
        self.users[page] += 1

    def give_back(self, pages: Sequence[int]) -> None:
        """End one use of each of a sequence's pages.

        The last one becomes idle first: what follows is forgotten before what it follows.
        """
        for page in reversed(pages):
            self.users[page] -= 1
            if self.users[page] == 0:
                if page in self.content_of:
                    self.idle[page] = None
                else:
                    self.free.append(page)

    def forget_all(self) -> None:
        """Forget what unused pages hold: for measurements, and when the weights have changed."""
        self.free += self.idle
        for page in self.idle:
            _, key = self.content_of.pop(page)
            del self.page_of[key]
        self.idle.clear()

    def find(self, before: int, tokens: Sequence[int]) -> tuple[int, int] | None:
        """Return the page that holds `tokens` behind the content `before`, and its content's number; None if none."""
        page = self.page_of.get((before, tuple(tokens)))
        return None if page is None else (page, self.content_of[page][0])

    def remember(self, page: int, before: int, tokens: Sequence[int]) -> int:
        """Remember what a full page holds; return its content's number, that of an equal page if there is one."""
        found = self.find(before, tokens)
        if found is not None:
            return found[1]
        key, number = (before, tuple(tokens)), next(self.numbers)
        self.content_of[page], self.page_of[key] = (number, key), page
        return number
