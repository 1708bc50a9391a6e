"""The open bytes of a download: however connections take, bring and give back, each byte comes once."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from noderack_cli.extents import SMALLEST, Extent, Extents

MB = 1 << 20


def test_the_first_takes_all_and_the_next_its_second_half() -> None:
    open_ = Extents([(0, 8 * MB)])
    first, second = open_.take(), open_.take()
    assert first and second
    assert (first.at, first.end, second.at, second.end) == (0, 4 * MB, 4 * MB, 8 * MB)


def test_what_is_not_worth_a_connection_is_not_split() -> None:
    open_ = Extents([(0, 2 * SMALLEST - 1)])
    assert open_.take() and open_.take() is None


def test_what_is_given_back_goes_to_the_one_before() -> None:
    open_ = Extents([(0, 8 * MB)])
    first, second = open_.take(), open_.take()
    assert first and second
    open_.came(second, MB)
    open_.give_back(second)
    assert first.end == 4 * MB and open_.take(split=False) is second, "a byte of it came: no neighbour"
    open_.give_back(first)
    assert open_.still() == [(0, 4 * MB), (5 * MB, 8 * MB)]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3 * MB), st.booleans()), max_size=60))
def test_each_byte_comes_once(steps: list[tuple[int, int, bool]]) -> None:
    total, brought = 10 * MB, 0
    open_, workers = Extents([(0, total)]), dict[int, Extent]()
    for who, count, leave in steps:
        extent = workers.get(who) or open_.take()
        if extent is None:
            continue
        workers[who] = extent
        brought += open_.came(extent, count)
        assert open_.left == total - brought
        if extent.at >= extent.end:
            del workers[who]
        elif leave:
            open_.give_back(workers.pop(who))
        spans = open_.still()
        assert all(a < b for a, b in spans) and all(x[1] <= y[0] for x, y in pairwise(spans))
    assert open_.whole_until(total) == (open_.still()[0][0] if open_.still() else total)
