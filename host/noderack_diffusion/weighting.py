"""What weights in a prompt do: the ways that the field has, chosen by name.

Each way gets the chunks of a prompt and a function that runs the text tower, and gives the states
``[chunks, n, D]``. A prompt without weights comes out the same in all of them.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from noderack_diffusion.prompt import Token
from noderack_diffusion.tokens import clip_tokenizer

Chunks = Sequence[Sequence[Token]]
Run = Callable[[Chunks, "Tensor | None"], Tensor]
"""(chunks, which of their tokens no other token may look at ``[chunks, n]``) -> states ``[chunks, n, D]``."""
Way = Callable[[Chunks, Run, Sequence[Token]], Tensor]
"""(chunks, run, the chunk of an empty prompt) -> states."""


def weights_of(chunks: Chunks) -> Tensor:
    """The weight of each token ``[chunks, n]``; padding has 1."""
    return torch.tensor([[token.weight for token in chunk] for chunk in chunks])


def _from_empty(said: Tensor, nothing: Tensor, weights: Tensor) -> Tensor:
    """Each state moved away from (or towards) that of the empty prompt at its place."""
    weights = weights[..., None]
    return torch.where(weights == 1.0, said, (said - nothing) * weights + nothing)


def interpolated(chunks: Chunks, run: Run, empty: Sequence[Token]) -> Tensor:
    """ComfyUI's way: away from the states of the empty prompt."""
    *said, nothing = run([*chunks, empty], None)
    return _from_empty(torch.stack(said), nothing, weights_of(chunks))


def scaled(chunks: Chunks, run: Run, empty: Sequence[Token]) -> Tensor:
    """A1111's way: states times weights, then each chunk scaled so that its mean is what it was."""
    said = run(chunks, None)
    moved = said * weights_of(chunks)[..., None]
    return moved * (said.mean((1, 2), keepdim=True) / moved.mean((1, 2), keepdim=True))


def blended(chunks: Chunks, run: Run, empty: Sequence[Token]) -> Tensor:
    """Compel's way: upwards as ComfyUI; downwards mixed with the prompt in which those tokens are hidden.

    For a weight w below 1 that mix has ``tan((1 - w) pi / 2)`` parts of it to one of the whole prompt.
    """
    weights = weights_of(chunks)
    low = sorted({w for w in weights.flatten().tolist() if w < 1.0})
    nothing = run([empty], None)[0]
    total, parts = torch.zeros(()), 0.0
    for weight in (1.0, *low):
        said = run(chunks, None if weight == 1.0 else weights == weight)
        part = 1.0 if weight == 1.0 else math.tan((1.0 - max(weight, 1e-6)) * math.pi / 2)
        total = total + part * _from_empty(said, nothing, weights.clamp(min=1.0))
        parts += part
    return total / parts


def layered(chunks: Chunks, run: Run, empty: Sequence[Token]) -> Tensor:
    """Down-weighting only: weights are divided by the greatest, and a token of weight w is seen in a share w
    of a mixture of prompts from which the weaker tokens are hidden.
    """
    weights = weights_of(chunks)
    real = torch.tensor([[token.group > 0 for token in chunk] for chunk in chunks])
    shares = torch.where(real, weights / weights[real].max().clamp(min=1e-6), 1.0)
    return _mixed(chunks, run, shares.clamp(min=0.0))


def _mixed(chunks: Chunks, run: Run, shares: Tensor) -> Tensor:
    """Of prompts from which tokens are hidden, so many that each is seen in its share (0 .. 1)."""
    levels = sorted({1.0, *shares.flatten().tolist()}, reverse=True)
    total = torch.zeros(())
    for level, below in zip(levels, [*levels[1:], 0.0], strict=True):
        if level > below:
            hidden = shares < level
            total = total + (level - below) * run(chunks, hidden if hidden.any() else None)
    return total


def contrasted(chunks: Chunks, run: Run, empty: Sequence[Token]) -> Tensor:
    """Downwards as ``layered``, each weight for itself; upwards each word moves away from what its place has
    in the prompt from which that word is hidden ("comfy++").
    """
    weights = weights_of(chunks)
    total, plain = _mixed(chunks, run, weights.clamp(0.0, 1.0)), None
    for row, chunk in enumerate(chunks):
        for word in _words(chunk):
            stronger = weights[row, word[0]] - 1.0
            if stronger <= 0.0:
                continue
            plain = run(chunks, None) if plain is None else plain
            hidden = torch.zeros_like(weights, dtype=torch.bool)
            hidden[row, word] = True
            without = run([chunk], hidden[row : row + 1])[0]
            total[row, word] += stronger * (plain[row, word] - without[word])
    return total


WAYS: Mapping[str, Way] = {
    "comfy": interpolated,
    "A1111": scaled,
    "compel": blended,
    "down_weight": layered,
    "comfy++": contrasted,
}


def _words(chunk: Sequence[Token]) -> Iterable[list[int]]:
    """The places of each word, and of each embedding's vectors."""
    found: list[int] = []
    for place, token in enumerate(chunk):
        vector = isinstance(token.value, Tensor)
        if not token.group:
            continue
        if found and (token.group != chunk[found[-1]].group or vector != _is_vector(chunk[found[-1]])):
            yield found
            found = []
        found.append(place)
        if not vector and clip_tokenizer().ends_word(int(token.value)):
            yield found
            found = []
    if found:
        yield found


def _is_vector(token: Token) -> bool:
    return isinstance(token.value, Tensor)


def _by_length(chunk: Sequence[Token]) -> list[Token]:
    """A word of n tokens: each has 1/sqrt(n) of the weight's distance from 1."""
    out = list(chunk)
    for word in _words(chunk):
        for place in word:
            away = (chunk[place].weight - 1.0) / math.sqrt(len(word))
            out[place] = Token(chunk[place].value, 1.0 + away, chunk[place].group)
    return out


def _lengths(chunks: Chunks) -> Chunks:
    return [_by_length(chunk) for chunk in chunks]


def _means(chunks: Chunks) -> Chunks:
    """All weights moved by so much that their mean is 1."""
    real = [token.weight for chunk in chunks for token in chunk if token.group]
    if not real:
        return chunks
    off = 1.0 - sum(real) / len(real)
    return [[Token(t.value, t.weight + off, t.group) if t.group else t for t in chunk] for chunk in chunks]


EVENING: Mapping[str, Callable[[Chunks], Chunks]] = {
    "none": lambda chunks: chunks,
    "mean": _means,
    "length": _lengths,
    "length+mean": lambda chunks: _means(_lengths(chunks)),
}
"""What is done to weights before they are used, so that long words or many weights do not count more."""
