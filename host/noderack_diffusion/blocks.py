"""How strongly an adapter acts in each block of a U-Net, in the notations that people share.

A list of numbers, whose length says what they are of: 12 and 20 for SDXL, 17 and 26 for Stable Diffusion 1
(BASE, which is the text encoder, then the first half, the middle, the second half; the short lists leave out
blocks without attention). Or pairs as ``OUT:0.5, IN08:0, MID:1``.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from noderack_diffusion.errors import AdapterError

Factor = Callable[[str], float]
"""Parameter name -> what its change is multiplied by."""


def _named(half: str, numbers: Sequence[int]) -> list[str]:
    return [f"{half}{n:02d}" for n in numbers]


LISTS: Mapping[int, Sequence[str]] = {
    12: ["BASE", *_named("IN", [4, 5, 7, 8]), "MID", *_named("OUT", range(6))],
    17: ["BASE", *_named("IN", [1, 2, 4, 5, 7, 8]), "MID", *_named("OUT", range(3, 12))],
    20: ["BASE", *_named("IN", range(9)), "MID", *_named("OUT", range(9))],
    26: ["BASE", *_named("IN", range(12)), "MID", *_named("OUT", range(12))],
}
"""Length of a list -> the blocks that it is of."""
_HALVES = {"input_blocks": "IN", "output_blocks": "OUT"}
_PAIR = re.compile(r"(BASE|MID|(?:IN|OUT)(?:\d\d)?)\s*[:=]\s*(\S+)", re.IGNORECASE)


def block_of(parameter: str) -> str:
    """The block of a parameter ("IN04", "MID", "BASE" for text encoders), or "" for what is in none."""
    place, _, rest = parameter.partition(".")
    if place in _HALVES:
        return f"{_HALVES[place]}{int(rest.partition('.')[0]):02d}"
    return "MID" if place == "middle_block" else "BASE" if "text_model." in parameter else ""


def block_factors(said: str) -> Factor:
    """What ``said`` (a list or pairs) means; blocks that it does not name keep their full strength.

    Raises AdapterError with what would do.
    """
    rows = [part.strip() for part in re.split(r"[,\n;]", said) if part.strip()]
    if not rows:
        return lambda parameter: 1.0
    table = _pairs(rows) if _PAIR.fullmatch(rows[0]) else _listed(rows)

    def factor(parameter: str) -> float:
        block = block_of(parameter)
        return table.get(block, table.get(block[:-2], 1.0))

    return factor


def _pairs(rows: Sequence[str]) -> dict[str, float]:
    found = {}
    for row in rows:
        match = _PAIR.fullmatch(row)
        if match is None:
            raise AdapterError(f"block weight {row!r} is no pair as OUT:0.5, IN08:0, MID:1 or BASE:1")
        found[match[1].upper()] = _number(match[2])
    return found


def _listed(rows: Sequence[str]) -> dict[str, float]:
    blocks = LISTS.get(len(rows))
    if blocks is None:
        lengths = ", ".join(map(str, LISTS))
        raise AdapterError(
            f"{len(rows)} block weights are of no known list (those have {lengths}); pairs as OUT:0.5 do too"
        )
    return dict(zip(blocks, map(_number, rows), strict=True))


def _number(said: str) -> float:
    try:
        return float(said)
    except ValueError as cause:
        raise AdapterError(f"block weight {said!r} is no number") from cause
