"""Brownian motion as a function of a seed: bit for bit the values of ``torchsde.BrownianTree``.

The motion over [t0, t1] is refined by halving: each half's increment is drawn from the bridge of its parent,
with a seed that depends only on where the half lies. So any interval can be asked for, in any order, and the
answer is the same. Seeds are spawned as numpy's ``SeedSequence`` does (its published algorithm: O'Neill's
seed_seq), written here with Python's integers.
"""

import math
from collections import OrderedDict
from collections.abc import Iterable

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF
_INIT_A, _MULT_A = 0x43B0D7E5, 0x931E8875
_INIT_B, _MULT_B = 0x8B51F9DD, 0x58F38DED
_MIX_LEFT, _MIX_RIGHT = 0xCA01F9DD, 0x4973F715
_POOL = 24
_KEPT = 64
_DIGITS = 6


def _limbs(number: int) -> list[int]:
    """A number as 32-bit words, the lowest first; zero is one word."""
    words = [number & _MASK]
    while number := number >> 32:
        words.append(number & _MASK)
    return words


def _mix(x: int, y: int) -> int:
    mixed = (_MIX_LEFT * x - _MIX_RIGHT * y) & _MASK
    return mixed ^ (mixed >> 16)


class Seeds:
    """The seeds that numpy's ``SeedSequence(entropy, pool_size=24)`` would spawn, one word each."""

    def __init__(self, entropy: int) -> None:
        self._constant = _INIT_A
        given = _limbs(entropy)
        pool = [self._hashed(word) for word in (given + [0] * _POOL)[:_POOL]]
        for source in range(_POOL):
            for target in range(_POOL):
                if source != target:
                    pool[target] = _mix(pool[target], self._hashed(pool[source]))
        self._first, self._after = pool[0], self._constant
        self._stride = pow(_MULT_A, _POOL - 1, 1 << 32)

    def _hashed(self, word: int) -> int:
        word ^= self._constant
        self._constant = self._constant * _MULT_A & _MASK
        word = word * self._constant & _MASK
        return word ^ (word >> 16)

    def at(self, place: Iterable[int]) -> int:
        """The seed of a spawn key. Only the pool's first word reaches it, so only that one is followed."""
        self._constant, word = self._after, self._first
        for key in place:
            for limb in _limbs(key):
                word = _mix(word, self._hashed(limb))
                self._constant = self._constant * self._stride & _MASK
        word = (word ^ _INIT_B) * (_INIT_B * _MULT_B & _MASK) & _MASK
        return word ^ (word >> 16)


class Brownian:
    """W(b) - W(a) for intervals within [t0, t1], shaped like a tensor, on its device and in its dtype."""

    def __init__(self, like: Tensor, t0: float, t1: float, entropy: int) -> None:
        self._like, self._seeds = like, Seeds(entropy)
        self._ends = round(t0, _DIGITS), round(t1, _DIGITS)
        self._lefts: OrderedDict[tuple[int, int], Tensor] = OrderedDict()
        self._whole = self._normal(()) * math.sqrt(t1 - t0)

    def _normal(self, place: Iterable[int]) -> Tensor:
        like = self._like
        generator = torch.Generator(like.device).manual_seed(self._seeds.at(place))
        return torch.randn(like.shape, dtype=like.dtype, device=like.device, generator=generator)

    def __call__(self, a: float, b: float) -> Tensor:
        """The increment from a to b (a < b)."""
        total: Tensor | None = None
        a, b = round(a, _DIGITS), round(b, _DIGITS)
        stack = [(self._whole, 0, 0, *self._ends)]
        while stack:
            increment, depth, number, low, high = stack.pop()
            if a <= low and high <= b:
                total = increment if total is None else total + increment
                continue
            middle = round(0.5 * (high + low), _DIGITS)
            left = self._left(increment, depth, number, (low, middle, high))
            if b > middle:
                stack.append((increment - left, depth + 1, 2 * number + 1, middle, high))
            if a < middle:
                stack.append((left, depth + 1, 2 * number, low, middle))
        while len(self._lefts) > _KEPT:
            self._lefts.popitem(last=False)
        return torch.zeros_like(self._like) if total is None else total

    def _left(self, whole: Tensor, depth: int, number: int, times: tuple[float, float, float]) -> Tensor:
        """The first half's increment: the bridge's mean, and its own noise."""
        low, middle, high = times
        if (depth, number) not in self._lefts:
            before, after, scale = middle - low, high - middle, 1 / (high - low)
            spread = math.sqrt(before * after * scale)
            self._lefts[depth, number] = before * whole * scale + spread * self._normal((number, depth))
        return self._lefts[depth, number]


class BrownianNoise:
    """Unit noise for steps down the sigmas of one run."""

    def __init__(self, like: Tensor, low: float, high: float, seed: int, *, on_cpu: bool = True) -> None:
        self._device = like.device
        self._walk = Brownian(like.cpu() if on_cpu else like, low, high, seed)

    def __call__(self, now: float, then: float) -> Tensor:
        """Noise of unit variance for the step from sigma ``now`` down to ``then``."""
        sign, low, high = (-1.0, then, now) if now > then else (1.0, now, then)
        return (sign * self._walk(low, high) / math.sqrt(high - low)).to(self._device)
