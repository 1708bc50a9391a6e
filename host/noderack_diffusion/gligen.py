"""Words with a place: gates in the U-Net's transformer blocks that attend to what shall be where (GLIGEN).

A file brings one gate per transformer of the U-Net, in the order in which a pass meets them, and a small
network that turns a text's vector and a box into what the gates attend to.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from noderack_diffusion.checkpoint import placed
from noderack_diffusion.errors import UnknownModelError
from noderack_diffusion.patch import PatchSet
from noderack_diffusion.shapes import count
from noderack_diffusion.store import Store
from noderack_diffusion.unet import CrossAttention, FeedForward
from noderack_diffusion.weights import Live, Piece, Pieces, shapes

MOST = 30
"""Places that the network was trained on; those not used are told to be empty."""
_FREQUENCIES, _TEMPERATURE = 8, 100.0
_INNER = 512
_SD1_WIDTH, _SD1_HEADS, _HEAD = 768, 8, 64
_PLACES = ("input_blocks", "middle_block", "output_blocks")
_GATE = re.compile(r"(?:.*\.)?(input_blocks|middle_block|output_blocks)\.(\d+)\..*?\.fuser\.(.+)")
_POSITION = "position_net."

Patch = Callable[[Tensor, Mapping[str, Any]], Tensor]
"""(state, where the pass is) -> state."""
Placed = tuple[Tensor, int, int, int, int]
"""A text's pooled vector ``[1, n]``; height, width, top and left in latent cells."""


class Gate(nn.Module):
    """Attention of what is drawn, and what shall be placed, to both; added as far as the gates are open."""

    def __init__(self, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.linear = nn.Linear(context, width)
        self.attn = CrossAttention(width, width, heads)
        self.ff = FeedForward(width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.alpha_attn, self.alpha_dense = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, objects: Tensor) -> Tensor:
        both = self.norm1(torch.cat([x, self.linear(objects)], dim=1))
        x = x + self.alpha_attn.tanh() * self.attn(both)[:, : x.shape[1]]
        return x + self.alpha_dense.tanh() * cast(Tensor, self.ff(self.norm2(x)))


class PositionNet(nn.Module):
    """Boxes ``[B, n, 4]`` (left, top, right, bottom; 0..1), mask ``[B, n]``, texts ``[B, n, D]`` ->
    objects.
    """

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.linears = nn.Sequential(
            nn.Linear(inner + 8 * _FREQUENCIES, _INNER),
            nn.SiLU(),
            nn.Linear(_INNER, _INNER),
            nn.SiLU(),
            nn.Linear(_INNER, outer),
        )
        self.null_positive_feature = nn.Parameter(torch.zeros(inner))
        self.null_position_feature = nn.Parameter(torch.zeros(8 * _FREQUENCIES))

    def forward(self, boxes: Tensor, mask: Tensor, texts: Tensor) -> Tensor:
        there = mask[..., None]
        words = texts * there + (1 - there) * self.null_positive_feature
        where = waves(boxes) * there + (1 - there) * self.null_position_feature
        objects: Tensor = self.linears(torch.cat([words, where], dim=-1))
        return objects


def waves(boxes: Tensor) -> Tensor:
    """Sines and cosines of the four numbers of each box, frequency by frequency."""
    steps = torch.arange(_FREQUENCIES, device=boxes.device) / _FREQUENCIES
    angles = boxes[..., None, :] * (_TEMPERATURE**steps)[:, None].to(boxes)
    return torch.stack([angles.sin(), angles.cos()], dim=-2).flatten(-3)


class GatesNet(nn.Module):
    """All gates of a U-Net, and what tells them of places; ``widths`` are the transformers'."""

    def __init__(self, widths: Sequence[int], context: int, inner: int) -> None:
        super().__init__()
        self.gates = nn.ModuleList(Gate(w, context, _heads(w, context)) for w in widths)
        self.position_net = PositionNet(inner, context)


def _heads(width: int, context: int) -> int:
    return _SD1_HEADS if context == _SD1_WIDTH else max(1, width // _HEAD)


@dataclass(frozen=True, eq=False)
class Gligen:
    """The handle that a GLIGEN socket carries."""

    live: Live

    def patch(self, rows: Sequence[Placed], shape: Sequence[int]) -> Patch:
        """What to do in the middle of each transformer block, for an input of ``shape [B, C, h, w]``."""
        network = cast(GatesNet, self.live.use(PatchSet()))
        boxes, mask, texts = (t.to(self.live.device, self.live.dtype) for t in self._told(rows, shape))
        objects = network.position_net(boxes, mask, texts).repeat(shape[0], 1, 1)

        def gated(x: Tensor, told: Mapping[str, Any]) -> Tensor:
            return cast(Tensor, network.gates[told["transformer_index"]](x, objects.to(x)))

        return gated

    def _told(self, rows: Sequence[Placed], shape: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        if len(rows) > MOST:
            raise UnknownModelError(f"{len(rows)} texts have places, but this network knows {MOST} at most")
        height, width = shape[-2:]
        inner = self.live.pieces["position_net.null_positive_feature"].dims()[0]
        boxes, mask, texts = torch.zeros(1, MOST, 4), torch.zeros(1, MOST), torch.zeros(1, MOST, inner)
        for i, (text, h, w, top, left) in enumerate(rows):
            boxes[0, i] = torch.tensor([left / width, top / height, (left + w) / width, (top + h) / height])
            mask[0, i], texts[0, i] = 1.0, text[0].float().cpu()
        return boxes, mask, texts


def load_gligen(
    path: str | Path, *, device: str | torch.device | None = None, dtype: torch.dtype | None = None
) -> Gligen:
    """Open a file of gates. Raises FileError, or UnknownModelError if it holds none."""
    store, place = Store.open(path), placed(device, dtype)
    pieces = _pieces(store)
    found = shapes(pieces)
    if "position_net.null_positive_feature" not in found or "gates.0.linear.weight" not in found:
        some = ", ".join(sorted(store.header)[:3]) or "nothing"
        raise UnknownModelError(f"{store.path.name} holds no GLIGEN gates; it holds {some}")
    widths = [found[f"gates.{i}.linear.weight"][0] for i in range(count(found, "gates.{}.linear.weight"))]
    context, inner = found["gates.0.linear.weight"][1], found["position_net.null_positive_feature"][0]
    return Gligen(place.live(store, lambda: GatesNet(widths, context, inner), pieces, "gligen"))


def _pieces(store: Store) -> Pieces:
    """The gates numbered as a pass meets them."""
    found = {name: match for name in store.header if (match := _GATE.fullmatch(name))}
    order = sorted({_place(match) for match in found.values()})
    gates = {f"gates.{order.index(_place(m))}.{m[3]}": Piece(store, name) for name, m in found.items()}
    start = {n: n.index(_POSITION) for n in store.header if _POSITION in n}
    return gates | {name[at:]: Piece(store, name) for name, at in start.items()}


def _place(match: re.Match[str]) -> tuple[int, int]:
    return _PLACES.index(match[1]), int(match[2])
