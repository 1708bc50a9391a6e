"""From a prompt's text to tokens with weights, in chunks of 75.

The grammar of the field: ``(words)`` weigh 1.1, ``(words:1.3)`` weigh 1.3, ``\\(`` and ``\\)`` are plain
parentheses, ``embedding:name`` stands for learned vectors. Unbalanced parentheses are text.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from noderack_diffusion.tokens import END, START, ClipTokenizer

EMPHASIS = 1.1
LONG_WORD = 8
_EMBEDDING = "embedding:"
_CLOSE, _OPEN = "\0\1", "\0\2"

Lookup = Callable[[str], "Tensor | None"]
"""Gives the vectors ``[n, width]`` (or ``[width]``) of an embedding's name, or None."""


class Token(tuple["int | Tensor", float]):
    """One place of a chunk: an id or a vector, and its weight. ``group`` numbers its group (0: none).

    Packs take it apart as the pair that it is, and give pairs back.
    """

    group: int

    def __new__(cls, value: "int | Tensor", weight: float = 1.0, group: int = 0) -> "Token":
        made = super().__new__(cls, (value, weight))
        made.group = group
        return made

    @property
    def value(self) -> "int | Tensor":
        """The id, or the vector."""
        return self[0]

    @property
    def weight(self) -> float:
        """1 for a plain word."""
        return self[1]


DEEPEST = 100
"""Parentheses in more parentheses than these are text: their weight would be beyond 13,000."""


def segments(text: str) -> list[tuple[str, float]]:
    """The stretches of ``text`` that share a weight, parentheses resolved."""
    hidden = text.replace("\\)", _CLOSE).replace("\\(", _OPEN)
    return [(s.replace(_CLOSE, ")").replace(_OPEN, "("), w) for s, w in _weigh(hidden, 1.0)]


def _weigh(text: str, weight: float, depth: int = 0) -> Iterator[tuple[str, float]]:
    for piece in _split(text):
        if len(piece) >= 2 and piece[0] == "(" and piece[-1] == ")" and depth < DEEPEST:
            yield from _weigh(*_own_weight(piece[1:-1], weight), depth + 1)
        else:
            yield piece, weight


def _own_weight(text: str, weight: float) -> tuple[str, float]:
    before, colon, number = text.rpartition(":")
    if colon and before:
        try:
            said = float(number)
        except ValueError:
            said = math.nan
        if math.isfinite(said):
            return before, said
    return text, weight * EMPHASIS


def _split(text: str) -> Iterator[str]:
    """Stretches outside of parentheses and whole outermost ``(...)``."""
    depth, start = 0, 0
    for i, char in enumerate(text):
        if char == "(":
            if depth == 0 and i > start:
                yield text[start:i]
                start = i
            depth += 1
        elif char == ")":
            depth -= 1
            if depth == 0:
                yield text[start : i + 1]
                start = i + 1
    if start < len(text):
        yield text[start:]


def groups(
    text: str, tokenizer: ClipTokenizer, lookup: Lookup | None = None, *, weights: bool = True
) -> list[list[Token]]:
    """Tokens in groups that a chunk should not cut: one group per segment and per embedding."""
    found: list[list[Token]] = []
    plain = text.replace("\\)", ")").replace("\\(", "(")
    for segment, weight in segments(text) if weights else [(plain, 1.0)]:
        for words in _words(segment):
            if lookup is not None and words.startswith(_EMBEDDING):
                vectors, words = _embedding(words, lookup)
                if vectors is not None:
                    found.append([Token(v, weight) for v in vectors.reshape(-1, vectors.shape[-1])])
                if not words:
                    continue
            found.append([Token(i, weight) for i in tokenizer.ids(words)])
    return found


def _words(segment: str) -> list[str]:
    first, *rest = re.split(f"[ \n]{_EMBEDDING}", segment)
    return [words for words in (first, *(_EMBEDDING + r for r in rest)) if words]


def _embedding(words: str, lookup: Lookup) -> tuple[Tensor | None, str]:
    name, *rest = words.removeprefix(_EMBEDDING).strip("\n").split() or [""]
    left = " ".join(rest)
    vectors = lookup(name) if name else None
    bare = name.strip(",")
    if vectors is None and len(bare) < len(name):
        return (lookup(bare) if bare else None), f"{name[len(bare) :]} {left}"
    return vectors, left


def chunks(found: Sequence[Sequence[Token]], *, pad: int = END, length: int = 77) -> list[list[Token]]:
    """Groups laid out in chunks of ``length``: start, tokens, end, padding.

    A group that does not fit moves to the next chunk; one of eight tokens or more is cut instead.
    """
    start, end, padding = Token(START), Token(END), Token(pad)
    laid: list[list[Token]] = [[start]]
    for number, group in enumerate(found, 1):
        rest = [Token(t.value, t.weight, number) for t in group]
        while len(rest) + len(laid[-1]) > length - 1:
            room = length - 1 - len(laid[-1])
            taken = room if len(group) >= LONG_WORD else 0
            laid[-1] += [*rest[:taken], end, *[padding] * (room - taken)]
            rest = rest[taken:]
            laid.append([start])
        laid[-1] += rest
    laid[-1].append(end)
    laid[-1] += [padding] * (length - len(laid[-1]))
    return laid


def tokenize(
    text: str,
    tokenizer: ClipTokenizer,
    lookup: Lookup | None = None,
    *,
    pad: int = END,
    length: int = 77,
    weights: bool = True,
) -> list[list[Token]]:
    """The chunks of a prompt."""
    return chunks(groups(text, tokenizer, lookup, weights=weights), pad=pad, length=length)
