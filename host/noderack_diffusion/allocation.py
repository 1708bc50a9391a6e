"""How the C library hands out memory while a network runs on a CPU.

Left alone, glibc takes every large block from the system and gives it back at once, so that each operation
of a network pays for fresh, zeroed pages: a third of a step of SD 1.5 was spent so. A network asks for the
same blocks at each step; pages that are kept cost nothing.
"""

import ctypes
import mmap
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from math import prod

import torch
from torch import Tensor

_NO_BLOCKS_OF_THEIR_OWN = (-4, 0)  # M_MMAP_MAX: large blocks come from the heap, too
_BLOCKS_OF_THEIR_OWN = (-4, 1 << 16)
_LARGE = (-3, 1 << 20)  # M_MMAP_THRESHOLD
_KEEP_WHAT_IS_FREE = (-1, 2**31 - 1)  # M_TRIM_THRESHOLD: the heap's end is not given back
_GROW_BY = (-2, 64 << 20)  # M_TOP_PAD
_ONE_HEAP = (-8, 1)  # M_ARENA_MAX: threads share it


@cache
def keep_pages() -> bool:
    """Have this process keep the pages that it frees. Says whether the C library is one that can."""
    library = _glibc()
    if library is None:
        return False
    rules = (_ONE_HEAP, _KEEP_WHAT_IS_FREE, _GROW_BY, _NO_BLOCKS_OF_THEIR_OWN)
    return all(library.mallopt(which, value) == 1 for which, value in rules)


@contextmanager
def to_stay() -> Iterator[None]:
    """Large blocks that are asked for meanwhile get pages of their own: among others that come and go, those
    that stay would leave holes which nothing fits into.
    """
    library = _glibc() if keep_pages() else None
    if library is not None:
        library.mallopt(*_LARGE)
        library.mallopt(*_BLOCKS_OF_THEIR_OWN)
    try:
        yield
    finally:
        if library is not None:
            library.mallopt(*_NO_BLOCKS_OF_THEIR_OWN)


class Room:
    """Memory for what is made again and again and never needed for long. It lies in pages of its own, as
    large blocks that come and go leave holes among those that stay.
    """

    def __init__(self) -> None:
        self._flat = torch.empty(0)

    def of(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """A tensor in it, good until the next is asked for."""
        count = prod(shape)
        if self._flat.dtype != dtype or self._flat.numel() < count:
            with torch.inference_mode(False):  # so that it can be written to in either mode
                self._flat = pages(count, dtype)
        return self._flat[:count].view(tuple(shape))


def pages(count: int, dtype: torch.dtype) -> Tensor:
    """Memory for ``count`` numbers, in pages of its own: they are given back as soon as it is not needed,
    whatever lies beside them.
    """
    memory = mmap.mmap(-1, max(1, count * dtype.itemsize))
    if hasattr(memory, "madvise") and hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=dtype, count=count)


def room(use: str) -> Room:
    """This thread's room for a use."""
    return _room(threading.get_ident(), use)


@lru_cache(maxsize=16)
def _room(thread: int, use: str) -> Room:
    return Room()


def give_back() -> None:
    """Give the system all pages that are free now."""
    _room.cache_clear()
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "gnu_get_libc_version") else None
