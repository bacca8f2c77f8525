"""Pages are handed out once, shared by equal beginnings, and never found behind other tokens."""

import pytest

from olmo2.inference.pages import PAGE_TOKENS, START, PagePool

A, B, C = ([letter] * PAGE_TOKENS for letter in (1, 2, 3))


def test_pages_come_back() -> None:
    pool = PagePool(3)
    pages = [pool.take() for _ in range(3)]
    assert sorted(pages) == [0, 1, 2] and pool.num_available == 0
    with pytest.raises(KeyError):
        pool.take()
    pool.give_back(pages)
    assert pool.num_available == 3


def test_a_remembered_page_is_found_and_shared() -> None:
    pool = PagePool(4)
    first, second = pool.take(), pool.take()
    content = pool.remember(first, START, A)
    pool.remember(second, content, B)
    assert pool.find(START, A) == (first, content)
    assert pool.find(START, B) is None, "B stands behind A only"
    assert pool.find(content, B) is not None
    pool.share(first)
    pool.give_back([first, second])
    assert pool.num_available == 3, "the first is still in use"
    pool.give_back([first])
    assert pool.num_available == 4 and pool.find(START, A) == (first, content), "unused, but not forgotten"


def test_the_longest_unused_is_forgotten_first_and_ends_before_beginnings() -> None:
    pool = PagePool(3)
    pages = [pool.take() for _ in range(3)]
    number = START
    numbers = []
    for page, tokens in zip(pages, (A, B, C), strict=True):
        number = pool.remember(page, number, tokens)
        numbers.append(number)
    pool.give_back(pages)
    assert pool.take() == pages[2] and pool.find(numbers[1], C) is None
    assert pool.take() == pages[1] and pool.find(numbers[0], B) is None
    assert pool.find(START, A) == (pages[0], numbers[0])


def test_new_content_of_a_page_is_not_taken_for_the_old() -> None:
    pool = PagePool(2)
    first, second = pool.take(), pool.take()
    old = pool.remember(first, START, A)
    pool.remember(second, old, B)
    pool.give_back([first])  # the one behind it is still used
    page = pool.take()
    new = pool.remember(page, START, C)
    assert page == first and new != old
    assert pool.find(new, B) is None and pool.find(START, A) is None


def test_equal_pages_are_remembered_once() -> None:
    pool = PagePool(2)
    first, second = pool.take(), pool.take()
    content = pool.remember(first, START, A)
    assert pool.remember(second, START, A) == content
    pool.give_back([second])
    assert pool.free == [second] and not pool.idle


def test_all_that_is_unused_can_be_forgotten() -> None:
    pool = PagePool(3)
    used, unused = pool.take(), pool.take()
    content = pool.remember(used, START, A)
    pool.remember(unused, content, B)
    pool.give_back([unused])
    pool.forget_all()
    assert pool.num_available == 2 and not pool.idle
    assert pool.find(content, B) is None and pool.find(START, A) is not None
