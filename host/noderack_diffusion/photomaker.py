"""PhotoMaker (Li et al., 2024): a person's picture joined with a word of an SDXL prompt.

The file holds an image tower with a second projection, and two small networks that fuse what they see with
the word. Parameter names are those of the file below ``id_encoder``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from noderack_diffusion.errors import FileError, MismatchError, UnknownModelError
from noderack_diffusion.store import Store
from noderack_diffusion.textenc import Clip
from noderack_diffusion.vision import ClipVision, VisionConfig, normalised, vision_config

WORD = "photomaker"
"""Stands behind the word for the person: "photograph of a man photomaker"."""


class _Mlp(nn.Module):
    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.layernorm = nn.LayerNorm(inner)
        self.fc1, self.fc2 = nn.Linear(inner, outer), nn.Linear(outer, outer)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(nn.functional.gelu(self.fc1(self.layernorm(x))))
        return out


class Fuse(nn.Module):
    """A word's vector and that of a person, both ``[n, D]`` -> one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp1, self.mlp2 = _Mlp(2 * width, width), _Mlp(width, width)
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, word: Tensor, person: Tensor) -> Tensor:
        mixed = self.mlp1(torch.cat([word, person], dim=-1)) + word
        out: Tensor = self.layer_norm(self.mlp2(mixed) + mixed)
        return out


class IdEncoder(ClipVision):
    """The image tower with both projections, and what fuses them with words of ``width`` numbers."""

    def __init__(self, config: VisionConfig, second: int, width: int) -> None:
        super().__init__(config)
        self.visual_projection_2 = nn.Linear(config.width, second, bias=False)
        self.fuse_module = Fuse(width)

    def person(self, pixels: Tensor) -> Tensor:
        """Pixels ``[B, 3, size, size]`` -> vectors ``[B, width]``."""
        model = self.vision_model
        x = model.pre_layrnorm(model.embeddings(pixels))
        for layer in model.encoder.layers:
            x = layer(x)
        whole = model.post_layernorm(x[:, 0])
        return torch.cat([self.visual_projection(whole), self.visual_projection_2(whole)], dim=-1)


@dataclass(frozen=True, slots=True, eq=False)
class PhotoMaker:
    """What a PHOTOMAKER socket carries."""

    name: str
    network: IdEncoder

    @torch.no_grad()
    def encode(self, clip: Clip, image: Tensor, text: str) -> tuple[Tensor, Tensor | None]:
        """A prompt with the person of the first of ``image [B, H, W, 3]`` in it, and its pooled vector.

        Words are counted by spaces, and the fused vector takes the place before the word "photomaker", as in
        the host that workflows were made with. Without that word the prompt stays as it is.
        """
        words = text.split(" ")
        place = words.index(WORD) if WORD in words else None
        tokens = {
            name: [_without(chunk, place) for chunk in rows] for name, rows in clip.tokenize(text).items()
        }
        states, pooled = clip.encode_tokens(tokens)
        if place is None:
            return states, pooled
        if states.shape[-1] != self.network.fuse_module.layer_norm.normalized_shape[0]:
            raise MismatchError(
                f"{self.name} is for SDXL, whose prompts are 2048 wide; this text encoder gives "
                f"{states.shape[-1]}"
            )
        pixels = normalised(image[:1], self.network.config.size, crop=True)
        states = states.clone()
        states[:, place] = self.network.fuse_module(states[:, place], self.network.person(pixels))
        return states, pooled


def _without(chunk: Any, place: int | None) -> Any:
    """The tokens of a chunk without the group of that number, as long as before."""
    if place is None:
        return chunk
    kept = [token for token in chunk if token.group != place + 1]
    return kept + [chunk[-1]] * (len(chunk) - len(kept))


def load_photomaker(path: str | Path) -> PhotoMaker:
    """Open a file. Raises FileError or UnknownModelError."""
    path = Path(path)
    tensors = _tensors(path)
    if "visual_projection_2.weight" not in tensors or "fuse_module.layer_norm.weight" not in tensors:
        raise UnknownModelError(f"{path.name} is no PhotoMaker of the first version, the one known here")
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    second, width = found["visual_projection_2.weight"][0], found["fuse_module.layer_norm.weight"][0]
    with torch.device("meta"):
        network = IdEncoder(vision_config(found), second, width)
    own = {name: tensors[name].float() for name in network.state_dict() if name in tensors}
    missing = network.state_dict().keys() - own.keys()
    if missing:
        raise UnknownModelError(f"{path.name} lacks the weight {min(missing)} of PhotoMaker")
    network.load_state_dict(own, assign=True)
    return PhotoMaker(path.name, network.eval().requires_grad_(False))


def _tensors(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        store = Store.open(path)
        return {name.removeprefix("id_encoder."): store.tensor(name) for name in store.header}
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as cause:  # torch raises many kinds; all mean the same here
        raise FileError(f"cannot read {path} without running its code: {cause}") from cause
    found = found.get("id_encoder", found) if isinstance(found, Mapping) else {}
    return {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
