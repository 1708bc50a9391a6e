"""CLIP's other half: pictures as vectors. Parameters have Hugging Face's names; OpenCLIP's are renamed."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noderack_diffusion.checkpoint import Placed, placed
from noderack_diffusion.clip import Encoder
from noderack_diffusion.detect import find_prefix
from noderack_diffusion.errors import UnknownModelError
from noderack_diffusion.openclip import block_pieces
from noderack_diffusion.patch import PatchSet
from noderack_diffusion.shapes import Shapes, Told, count, need, told
from noderack_diffusion.store import Store
from noderack_diffusion.weights import Live, Piece, Pieces, pieces_below, shapes

MEAN = (0.48145466, 0.4578275, 0.40821073)
SPREAD = (0.26862954, 0.26130258, 0.27577711)
"""Of the pictures that CLIP was trained on, by channel."""

_HF_MARK, _OPEN_MARK = "vision_model.embeddings.class_embedding", "class_embedding"
_PREFIXES = ("", "embedder.model.visual.", "visual.", "model.visual.", "clip_vision.")
_ENDS = {
    "class_embedding": "vision_model.embeddings.class_embedding",
    "conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "positional_embedding": "vision_model.embeddings.position_embedding.weight",
    **{f"ln_pre.{leaf}": f"vision_model.pre_layrnorm.{leaf}" for leaf in ("weight", "bias")},
    **{f"ln_post.{leaf}": f"vision_model.post_layernorm.{leaf}" for leaf in ("weight", "bias")},
}
_BLOCK = re.compile(r"transformer\.resblocks\.(\d+)\.(.+?)[._](weight|bias)")


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """The numbers that make an image tower; ``projection`` is 0 where there is none."""

    width: int
    layers: int
    heads: int
    inner: int
    patch: int
    size: int
    projection: int
    quick_gelu: bool


def vision_config(found: Shapes, said: Told | None = None) -> VisionConfig:
    """Read from shapes. Heads: one per 64 channels, 80 in the widest towers; the quick GELU is L's (1024)."""
    said = said or {}
    what = "CLIP image tower"
    width, _, patch, _ = need(found, "vision_model.embeddings.patch_embedding.weight", what)
    cells = need(found, "vision_model.embeddings.position_embedding.weight", what)[0] - 1
    return VisionConfig(
        width=width,
        layers=count(found, "vision_model.encoder.layers.{}.layer_norm1.weight"),
        heads=said.get("heads", max(1, width // (80 if width == 1280 else 104 if width == 1664 else 64))),
        inner=need(found, "vision_model.encoder.layers.0.mlp.fc1.weight", what)[0],
        patch=patch,
        size=round(cells**0.5) * patch,
        projection=found.get("visual_projection.weight", (0,))[0],
        quick_gelu=bool(said.get("quick_gelu", width <= 1024)),
    )


class _Embeddings(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.empty(config.width))
        self.patch_embedding = nn.Conv2d(3, config.width, config.patch, stride=config.patch, bias=False)
        self.position_embedding = nn.Embedding((config.size // config.patch) ** 2 + 1, config.width)

    def forward(self, pixels: Tensor) -> Tensor:
        cells = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        whole = self.class_embedding.to(cells).expand(len(cells), 1, -1)
        return torch.cat((whole, cells), dim=1) + self.position_embedding.weight.to(cells.dtype)


class _VisionModel(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.embeddings = _Embeddings(config)
        self.pre_layrnorm = nn.LayerNorm(config.width)  # the original's spelling
        self.encoder = Encoder(config, causal=False)
        self.post_layernorm = nn.LayerNorm(config.width)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a tower says of pictures ``[B, ...]``; packs ask for its parts by name or as items."""

    last_hidden_state: Tensor
    penultimate_hidden_states: Tensor
    image_embeds: Tensor
    """The last layer's normed first state, projected if there is a projection: ``[B, P]``."""

    def __getitem__(self, name: str) -> Tensor:
        return cast(Tensor, getattr(self, name))

    def get(self, name: str, default: Any = None) -> Any:
        """A part by name."""
        return getattr(self, name, default)


class ClipVision(nn.Module):
    """Pixels ``[B, 3, size, size]``, normalised -> Seen."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.vision_model = _VisionModel(config)
        if config.projection:
            self.visual_projection = nn.Linear(config.width, config.projection, bias=False)

    def forward(self, pixels: Tensor) -> Seen:
        model = self.vision_model
        x = before = model.pre_layrnorm(model.embeddings(pixels))
        for layer in model.encoder.layers:
            before, x = x, layer(x)
        whole = model.post_layernorm(x[:, 0])
        return Seen(x, before, self.visual_projection(whole) if self.config.projection else whole)


@dataclass(frozen=True, eq=False)
class Vision:
    """The handle that a CLIP_VISION socket carries."""

    config: VisionConfig
    live: Live

    @property
    def key(self) -> str:
        """Names its file."""
        return self.live.key

    def encode_image(self, image: Tensor, crop: bool = True) -> Seen:
        """Pictures ``[B, H, W, 3]`` in 0..1; without ``crop`` they are squeezed into a square."""
        return self.encode_pixels(normalised(image, self.config.size, crop=crop))

    @torch.no_grad()
    def encode_pixels(self, pixels: Tensor) -> Seen:
        """Pixels ``[B, 3, size, size]`` that are ``normalised`` already."""
        network, live = cast(ClipVision, self.live.use(PatchSet())), self.live
        seen = network(pixels.to(live.device, live.dtype))
        parts = (seen.last_hidden_state, seen.penultimate_hidden_states, seen.image_embeds)
        return Seen(*(part.float().cpu() for part in parts))


def normalised(image: Tensor, size: int, *, crop: bool) -> Tensor:
    """Pictures as CLIP wants them: the square in their middle, in eight bits, ``[B, 3, size, size]``."""
    pixels = image[..., :3].movedim(-1, 1).float()
    height, width = pixels.shape[-2:]
    if (height, width) != (size, size):
        scale = size / min(height, width)
        target = (round(scale * height), round(scale * width)) if crop else (size, size)
        pixels = F.interpolate(pixels, target, mode="bicubic", antialias=True)
        top, left = (target[0] - size) // 2, (target[1] - size) // 2
        pixels = pixels[..., top : top + size, left : left + size]
    pixels = (pixels * 255.0).clamp(0, 255).round() / 255.0
    mean, spread = (torch.tensor(values).view(1, 3, 1, 1).to(pixels) for values in (MEAN, SPREAD))
    return (pixels - mean) / spread


def load_vision(
    path: str | Path, *, device: str | torch.device | None = None, dtype: torch.dtype | None = None
) -> Vision:
    """Open an image tower, in a file of its own or in a checkpoint. Raises FileError or UnknownModelError."""
    store = Store.open(path)
    found = vision_in(store, placed(device, dtype))
    if found is None:
        some = ", ".join(sorted(store.header)[:3]) or "nothing"
        raise UnknownModelError(f"{store.path.name} is no CLIP image tower known here; it holds {some}")
    return found


def vision_in(store: Store, place: Placed) -> Vision | None:
    """The image tower of a file, if it has one."""
    pieces = vision_pieces(store)
    if pieces is None:
        return None
    config = vision_config(shapes(pieces), told(store.metadata, "clip_vision"))
    return Vision(config, place.live(store, lambda: ClipVision(config), pieces, "clip_vision"))


def vision_pieces(store: Store) -> Pieces | None:
    """A tower's pieces, whatever layout they have."""
    prefix = find_prefix(store.header, _PREFIXES, _HF_MARK)
    if prefix is not None:
        return pieces_below(store, prefix)
    prefix = find_prefix(store.header, _PREFIXES, _OPEN_MARK)
    return None if prefix is None else _renamed(store, prefix)


def _renamed(store: Store, prefix: str) -> dict[str, Piece]:
    found: dict[str, Piece] = {}
    for name, piece in pieces_below(store, prefix).items():
        if name in _ENDS:
            found[_ENDS[name]] = piece
        elif name == "proj":
            found["visual_projection.weight"] = Piece(store, piece.key, transposed=True)
        elif match := _BLOCK.fullmatch(name):
            found |= block_pieces(store, piece, "vision_model", *match.groups())
    return found
