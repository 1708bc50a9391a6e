from typing import Any

import pytest
from noderack_host.cache import LRU, ByBytes, Classic, Entry, NoCache, cache_named
from noderack_host.sizes import size_of


def entry(*values: Any, keys: tuple[bytes, ...] = ()) -> Entry:
    return Entry(tuple([value] for value in values), keys=keys)


def test_classic_keeps_what_the_last_prompt_used_and_what_that_expanded_to() -> None:
    cache = Classic()
    for key, keys in ((b"a", (b"b",)), (b"b", (b"c",)), (b"c", ()), (b"d", ())):
        cache.put(key, entry(1, keys=keys))
    cache.begin({b"a"})
    assert [key in cache for key in (b"a", b"b", b"c", b"d")] == [True, True, True, False]


def test_lru_drops_the_longest_unused_when_a_prompt_is_over() -> None:
    cache = LRU(2)
    for key in (b"a", b"b", b"c"):
        cache.put(key, entry(1))
    assert cache.get(b"a") is not None
    assert len(cache) == 3
    cache.end()
    assert [key in cache for key in (b"a", b"b", b"c")] == [True, False, True]


def test_a_budget_counts_shared_storage_once() -> None:
    numpy = pytest.importorskip("numpy")
    whole = numpy.zeros(1000, dtype=numpy.uint8)
    cache = ByBytes(2500)
    cache.put(b"a", entry(whole))
    cache.put(b"b", entry(whole[:10], whole[500:]))
    assert cache.bytes == 1000
    cache.put(b"c", entry(numpy.zeros(1200, dtype=numpy.uint8)))
    assert cache.bytes == 2200 and len(cache) == 3
    cache.put(b"d", entry(numpy.zeros(400, dtype=numpy.uint8)))
    assert (b"a" in cache, b"b" in cache, cache.bytes) == (False, False, 1600)
    cache.put(b"e", entry(numpy.zeros(9999, dtype=numpy.uint8)))
    assert len(cache) == 0 and cache.bytes == 0


def test_tensors_are_measured_by_their_storage() -> None:
    torch = pytest.importorskip("torch")
    whole = torch.zeros(10, 10)
    assert size_of({"samples": whole, "part": [whole[:2], whole.view(-1)], "n": 3}) == 400
    assert size_of((b"123", "ab", None)) == 5


@pytest.mark.parametrize(
    ("name", "kind"), [("classic", Classic), ("none", NoCache), ("lru:5", LRU), ("bytes:1.5G", ByBytes)]
)
def test_a_policy_has_a_name(name: str, kind: type) -> None:
    assert type(cache_named(name)) is kind


@pytest.mark.parametrize("name", ["", "lru", "lru:x", "bytes:", "classic:3", "forever"])
def test_a_wrong_name_says_which_are_right(name: str) -> None:
    with pytest.raises(ValueError, match="lru:100"):
        cache_named(name)
