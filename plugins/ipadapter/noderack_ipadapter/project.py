"""From what CLIP saw to tokens that attention reads like text: the forms that adapter files have.

Source: Ye et al., "IP-Adapter" (2023), and the resampler of Flamingo (2022) that its "plus" form uses.
Parameter names are those of the files below ``image_proj.``.
"""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEAD = 64
"""Channels per head of the resampler."""


class Linear(nn.Module):
    """The basic form: CLIP's one vector ``[B, D]`` becomes a few tokens ``[B, n, context]``."""

    def __init__(self, seen: int, context: int, tokens: int) -> None:
        super().__init__()
        self.context = context
        self.proj, self.norm = nn.Linear(seen, context * tokens), nn.LayerNorm(context)

    def forward(self, seen: Tensor) -> Tensor:
        out: Tensor = self.norm(self.proj(seen).reshape(len(seen), -1, self.context))
        return out


class Whole(nn.Module):
    """The "full face" form: every patch ``[B, p, D]`` that CLIP saw becomes a token."""

    def __init__(self, seen: int, context: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.Linear(seen, seen), nn.GELU(), nn.Linear(seen, context), nn.LayerNorm(context)
        )

    def forward(self, seen: Tensor) -> Tensor:
        out: Tensor = self.proj(seen)
        return out


class Perceive(nn.Module):
    """Attention of a few learned tokens to what was seen and to themselves."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, inner = heads, heads * HEAD
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_kv = nn.Linear(width, inner * 2, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)

    def forward(self, seen: Tensor, tokens: Tensor) -> Tensor:
        tokens = self.norm2(tokens)
        source = torch.cat([self.norm1(seen), tokens], dim=1)
        q, (k, v) = self.to_q(tokens), self.to_kv(source).chunk(2, dim=-1)
        heads = [part.unflatten(-1, (self.heads, HEAD)).transpose(1, 2) for part in (q, k, v)]
        mixed = F.scaled_dot_product_attention(*heads)
        out: Tensor = self.to_out(mixed.transpose(1, 2).flatten(2))
        return out


class Resampler(nn.Module):
    """The "plus" form: learned tokens ask every patch ``[B, p, D]`` that CLIP saw."""

    def __init__(
        self, seen: int, width: int, heads: int, inner: int, context: int, tokens: int, depth: int
    ) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.empty(1, tokens, width))
        self.proj_in, self.proj_out = nn.Linear(seen, width), nn.Linear(width, context)
        self.norm_out = nn.LayerNorm(context)
        self.layers = nn.ModuleList(
            nn.ModuleList([Perceive(width, heads), _feed_forward(width, inner)]) for _ in range(depth)
        )

    def forward(self, seen: Tensor) -> Tensor:
        tokens, seen = self.latents.expand(len(seen), -1, -1), self.proj_in(seen)
        for layer in self.layers:
            attend, forward = cast(nn.ModuleList, layer)
            tokens = attend(seen, tokens) + tokens
            tokens = forward(tokens) + tokens
        out: Tensor = self.norm_out(self.proj_out(tokens))
        return out


class Face(nn.Module):
    """The form for faces: the vector of a face recognition model ``[B, D]`` becomes a few tokens."""

    def __init__(self, seen: int, inner: int, context: int, tokens: int) -> None:
        super().__init__()
        self.context = context
        self.proj = nn.Sequential(nn.Linear(seen, inner), nn.GELU(), nn.Linear(inner, context * tokens))
        self.norm = nn.LayerNorm(context)

    def forward(self, seen: Tensor) -> Tensor:
        out: Tensor = self.norm(self.proj(seen).reshape(len(seen), -1, self.context))
        return out


class Asking(nn.Module):
    """Given tokens ask every patch ``[B, p, D]`` that CLIP saw."""

    def __init__(self, seen: int, width: int, heads: int, inner: int, depth: int) -> None:
        super().__init__()
        self.proj_in, self.proj_out = nn.Linear(seen, width), nn.Linear(width, width)
        self.norm_out = nn.LayerNorm(width)
        self.layers = nn.ModuleList(
            nn.ModuleList([Perceive(width, heads), _feed_forward(width, inner)]) for _ in range(depth)
        )

    def forward(self, tokens: Tensor, seen: Tensor) -> Tensor:
        seen = self.proj_in(seen)
        for layer in self.layers:
            attend, forward = cast(nn.ModuleList, layer)
            tokens = attend(seen, tokens) + tokens
            tokens = forward(tokens) + tokens
        out: Tensor = self.norm_out(self.proj_out(tokens))
        return out


class FacePlus(Face):
    """The "plus" form for faces: a face's tokens ask what CLIP saw of it. In its second version the face's
    own tokens stay, and the answer is added ``scale`` times.
    """

    def __init__(self, seen: int, inner: int, context: int, tokens: int, asking: Asking) -> None:
        super().__init__(seen, inner, context, tokens)
        self.perceiver_resampler = asking

    def asked(self, face: Tensor, patches: Tensor, scale: float | None) -> Tensor:
        """``scale`` None is the first version."""
        own = self(face)
        answer: Tensor = self.perceiver_resampler(own, patches)
        return answer if scale is None else own + scale * answer


def _feed_forward(width: int, inner: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, inner, bias=False),
        nn.GELU(),
        nn.Linear(inner, width, bias=False),
    )


def projector(state: Mapping[str, Tensor], context: int) -> nn.Module | None:
    """The network whose tensors these are, with them in it; None if they are of no known form."""
    with torch.device("meta"):
        network = _built({name: tuple(tensor.shape) for name, tensor in state.items()}, context)
    if network is None:
        return None
    own = {name: tensor.float() for name, tensor in state.items() if name in network.state_dict()}
    network.load_state_dict(own, assign=True)
    return network.eval().requires_grad_(False)


def _face(shapes: Mapping[str, tuple[int, ...]], context: int) -> nn.Module:
    (inner, seen), out = shapes["proj.0.weight"], shapes["proj.2.weight"][0]
    prefix = "perceiver_resampler."
    own = {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}
    if not own:
        return Face(seen, inner, context, out // context)
    width, patches = own["proj_in.weight"]
    depth = len({name.split(".")[1] for name in own if name.startswith("layers.")})
    heads, wide = own["layers.0.0.to_q.weight"][0] // HEAD, own["layers.0.1.1.weight"][0]
    return FacePlus(seen, inner, context, out // context, Asking(patches, width, heads, wide, depth))


def _built(shapes: Mapping[str, tuple[int, ...]], context: int) -> nn.Module | None:
    if "proj.weight" in shapes:
        out, seen = shapes["proj.weight"]
        return Linear(seen, context, out // context)
    if "proj.2.weight" in shapes and "proj.3.weight" not in shapes:
        return _face(shapes, context)
    if "proj.3.weight" in shapes:
        return Whole(shapes["proj.0.weight"][1], context)
    if "latents" in shapes:
        _, tokens, width = shapes["latents"]
        depth = len({name.split(".")[1] for name in shapes if name.startswith("layers.")})
        heads, inner = shapes["layers.0.0.to_q.weight"][0] // HEAD, shapes["layers.0.1.1.weight"][0]
        return Resampler(shapes["proj_in.weight"][1], width, heads, inner, context, tokens, depth)
    return None
