"""T2I's style adapter: what CLIP saw of a picture, as a few words more at the end of a prompt."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from noderack_diffusion.checkpoint import placed
from noderack_diffusion.errors import UnknownModelError
from noderack_diffusion.patch import PatchSet
from noderack_diffusion.residual import ResidualAttention
from noderack_diffusion.shapes import count, told
from noderack_diffusion.store import Store
from noderack_diffusion.weights import Live, pieces_below, shapes

_MARK, _HEADS = "style_embedding", 8


class StyleAdapter(nn.Module):
    """What a tower saw ``[B, n, width]`` -> ``[B, words, context]``."""

    def __init__(self, width: int, context: int, words: int, layers: int, heads: int) -> None:
        super().__init__()
        self.transformer_layes = nn.Sequential(*(ResidualAttention(width, heads) for _ in range(layers)))
        self.style_embedding = nn.Parameter(torch.zeros(1, words, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.zeros(width, context))

    def forward(self, seen: Tensor) -> Tensor:
        words = self.style_embedding.expand(len(seen), -1, -1)
        x = self.transformer_layes(self.ln_pre(torch.cat([seen, words], dim=1)))
        out: Tensor = self.ln_post(x[:, -words.shape[1] :]) @ self.proj
        return out


@dataclass(frozen=True, eq=False)
class Style:
    """The handle that a STYLE_MODEL socket carries."""

    live: Live

    @torch.no_grad()
    def get_cond(self, seen: Any) -> Tensor:
        """``[B, words, context]`` of a CLIP_VISION_OUTPUT."""
        network, live = cast(StyleAdapter, self.live.use(PatchSet())), self.live
        words: Tensor = network(seen.last_hidden_state.to(live.device, live.dtype))
        return words.float().cpu()


def load_style(
    path: str | Path, *, device: str | torch.device | None = None, dtype: torch.dtype | None = None
) -> Style:
    """Open a style adapter. Raises FileError, or UnknownModelError if it is none."""
    store, place = Store.open(path), placed(device, dtype)
    if _MARK not in store.header:
        some = ", ".join(sorted(store.header)[:3]) or "nothing"
        raise UnknownModelError(f"{store.path.name} is no style model known here; it holds {some}")
    pieces = pieces_below(store, "")
    found = shapes(pieces)
    width, context = found["proj"]
    layers = count(found, "transformer_layes.{}.ln_1.weight")
    heads = told(store.metadata, "style").get("heads", _HEADS)
    words = found[_MARK][1]
    sizes = (width, context, words, layers, heads)
    return Style(place.live(store, lambda: StyleAdapter(*sizes), pieces, "style"))
