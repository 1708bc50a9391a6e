"""Token merging (Bolya & Hoffman, 2023): tokens that are alike go through an attention as one.

In each two by two tokens one is chosen to stay; of the others those most like a token that stays are merged
into it, and take its place again afterwards.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

_CELL = 2


@dataclass(frozen=True, slots=True, eq=False)
class Merging:
    """Which tokens stay (``kept``), which go (``gone``, with ``into``: the place among the kept ones)."""

    places: Tensor
    """Token numbers: first those that go, then those that are no candidates, then those that stay."""
    into: Tensor
    """For each that goes, ``[B, r, 1]``, the one among those that stay."""
    others: Tensor
    """Numbers, among the candidates, of those that go and of those that do not: ``[B, n, 1]``."""

    def merge(self, x: Tensor) -> Tensor:
        """``[B, n, C]`` -> ``[B, n - r, C]``: what does not go, then what stays, with the means of each."""
        width, r = x.shape[-1], self.into.shape[1]
        candidates, stay = self._parts(x)
        take = self.others.expand(-1, -1, width)
        going, not_going = candidates.gather(1, take[:, :r]), candidates.gather(1, take[:, r:])
        at = self.into.expand(-1, -1, width)
        return torch.cat([not_going, stay.scatter_reduce(1, at, going, reduce="mean")], dim=1)

    def unmerge(self, x: Tensor) -> Tensor:
        """``[B, n - r, C]`` -> ``[B, n, C]``: what went gets the values of what it went into."""
        batch, _, width = x.shape
        r, left = self.into.shape[1], self.others.shape[1] - self.into.shape[1]
        not_going, stay = x[:, :left], x[:, left:]
        take = self.others.expand(-1, -1, width)
        candidates = x.new_empty(batch, self.others.shape[1], width)
        candidates.scatter_(1, take[:, :r], stay.gather(1, self.into.expand(-1, -1, width)))
        candidates.scatter_(1, take[:, r:], not_going)
        out = torch.empty_like(torch.cat([candidates, stay], dim=1))
        out[:, self.places] = torch.cat([candidates, stay], dim=1)
        return out

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        moved, count = x[:, self.places], self.others.shape[1]
        return moved[:, :count], moved[:, count:]


def merging(x: Tensor, height: int, width: int, ratio: float, generator: torch.Generator) -> Merging | None:
    """What to merge of ``x [B, height * width, C]``, ``ratio`` of all; None if nothing is."""
    stays = _chosen(height, width, generator).to(x.device)
    places = torch.cat([(~stays).nonzero()[:, 0], stays.nonzero()[:, 0]])
    count = int((~stays).sum())
    r = min(count, int(x.shape[1] * ratio))
    if r <= 0 or count == x.shape[1]:
        return None
    unit = x / x.norm(dim=-1, keepdim=True)
    candidates, kept = unit[:, places[:count]], unit[:, places[count:]]
    likeness, nearest = (candidates @ kept.transpose(-1, -2)).max(dim=-1)
    order = likeness.argsort(dim=-1, descending=True)[..., None]
    return Merging(places, nearest[..., None].gather(1, order[:, :r]), order)


def _chosen(height: int, width: int, generator: torch.Generator) -> Tensor:
    """Which tokens stay: one of each whole cell, by chance."""
    rows, columns = height // _CELL, width // _CELL
    which = torch.randint(_CELL * _CELL, (rows, columns), generator=generator)
    found = torch.zeros(height, width, dtype=torch.bool)
    y = torch.arange(rows)[:, None] * _CELL + which // _CELL
    x = torch.arange(columns)[None] * _CELL + which % _CELL
    found[y, x] = True
    return found.flatten()
