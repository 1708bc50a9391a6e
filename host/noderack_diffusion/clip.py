"""The text tower of CLIP, under the parameter names that SD 1.x checkpoints hold below
``cond_stage_model.transformer.`` (Hugging Face layout).
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noderack_diffusion.ops import attention
from noderack_diffusion.shapes import Shapes, Told, count, need


@dataclass(frozen=True, slots=True)
class ClipConfig:
    """The numbers that make a text tower; ``projection`` is 0 where there is no text projection."""

    width: int = 768
    layers: int = 12
    heads: int = 12
    inner: int = 3072
    vocabulary: int = 49408
    positions: int = 77
    projection: int = 0
    quick_gelu: bool = True


def clip_config(shapes: Shapes, told: Told | None = None) -> ClipConfig:
    """Read the config of a text tower from its tensors' shapes (keys without prefix).

    Heads come from ``told``; else one per 64 channels, as in CLIP L, H and G. The quick form of GELU is
    CLIP-L's; wider towers (H, G) use the exact one, unless ``told`` has "quick_gelu".
    """
    told = told or {}
    table = need(shapes, "text_model.embeddings.token_embedding.weight", "CLIP text tower")
    width = table[1]
    return ClipConfig(
        width=width,
        layers=count(shapes, "text_model.encoder.layers.{}.layer_norm1.weight"),
        heads=told.get("heads", max(1, width // 64)),
        inner=need(shapes, "text_model.encoder.layers.0.mlp.fc1.weight", "CLIP text tower")[0],
        vocabulary=table[0],
        positions=need(shapes, "text_model.embeddings.position_embedding.weight", "CLIP text tower")[0],
        projection=shapes.get("text_projection.weight", (0,))[0],
        quick_gelu=bool(told.get("quick_gelu", width <= 768)),
    )


class Tall(Protocol):
    """The numbers of a stack of layers, of text or of pictures."""

    @property
    def width(self) -> int: ...
    @property
    def layers(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def inner(self) -> int: ...
    @property
    def quick_gelu(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class ClipOutput:
    """What a tower says of ``[B, n]`` tokens."""

    hidden: Tensor
    """The chosen layer's states ``[B, n, width]``, after the final norm if that was asked for."""
    pooled: Tensor
    """The last layer's normed state at the end token ``[B, width]``, projected if there is a projection."""


class SelfAttention(nn.Module):
    """Attention, causal unless told otherwise."""

    def __init__(self, width: int, heads: int, *, causal: bool = True) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        h = attention(q, k, v, self.heads, causal=self.causal, seen=seen)
        out: Tensor = self.out_proj(h)
        return out


class Mlp(nn.Module):
    """Widen, GELU, narrow."""

    def __init__(self, config: Tall) -> None:
        super().__init__()
        self.quick = config.quick_gelu
        self.fc1 = nn.Linear(config.width, config.inner)
        self.fc2 = nn.Linear(config.inner, config.width)

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc1(x)
        h = h * torch.sigmoid(1.702 * h) if self.quick else F.gelu(h)
        out: Tensor = self.fc2(h)
        return out


class Layer(nn.Module):
    """Attention and feed-forward, each after its norm and added."""

    def __init__(self, config: Tall, *, causal: bool = True) -> None:
        super().__init__()
        self.self_attn = SelfAttention(config.width, config.heads, causal=causal)
        self.layer_norm1 = nn.LayerNorm(config.width)
        self.mlp = Mlp(config)
        self.layer_norm2 = nn.LayerNorm(config.width)

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x), seen)
        out: Tensor = x + self.mlp(self.layer_norm2(x))
        return out


class Embeddings(nn.Module):
    """The tables of tokens and positions."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocabulary, config.width)
        self.position_embedding = nn.Embedding(config.positions, config.width)


class Encoder(nn.Module):
    """The stack of layers."""

    def __init__(self, config: Tall, *, causal: bool = True) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(config, causal=causal) for _ in range(config.layers))


class TextModel(nn.Module):
    """Embeddings, layers, final norm."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.final_layer_norm = nn.LayerNorm(config.width)


class ClipText(nn.Module):
    """Tokens ``[B, n]`` (or their vectors ``[B, n, width]``) -> ClipOutput."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.config = config
        self.text_model = TextModel(config)
        if config.projection:
            self.text_projection = nn.Linear(config.width, config.projection, bias=False)

    def embed(self, tokens: Tensor) -> Tensor:
        """The vectors of tokens ``[B, n]``, without positions, in the dtype of the layers."""
        vectors: Tensor = self.text_model.embeddings.token_embedding(tokens)
        return vectors.to(self.text_model.final_layer_norm.weight.dtype)

    def forward(
        self,
        tokens: Tensor,
        *,
        end: Tensor | None = None,
        layer: int = -1,
        final_norm: bool = True,
        hidden: Tensor | None = None,
    ) -> ClipOutput:
        """``tokens`` are ids, or vectors as ``embed`` gives them. ``end [B]`` is the place of each end
        token: by default that of the greatest id, or the last place where vectors are given. ``layer``
        counts from the end: -1 is the last, -2 the one before it; beyond the first it means the last.
        ``hidden [B, n]`` are places that no other place may look at.
        """
        ids = tokens.dtype in (torch.int32, torch.int64)
        model, config = self.text_model, self.config
        x = self.embed(tokens) if ids else tokens
        x = x + model.embeddings.position_embedding.weight[: x.shape[1]].to(x.dtype)
        wanted = config.layers + layer if -config.layers <= layer < 0 else config.layers - 1
        chosen, seen = x, None if hidden is None else _visible(hidden.to(x.device))
        for i, block in enumerate(model.encoder.layers):
            x = block(x, seen)
            if i == wanted:
                chosen = x
        last = model.final_layer_norm(x)
        if wanted == config.layers - 1:
            chosen = last if final_norm else x
        elif final_norm:
            chosen = model.final_layer_norm(chosen)
        return ClipOutput(chosen, self._pool(last, _ends(tokens, end)))

    def _pool(self, last: Tensor, end: Tensor) -> Tensor:
        pooled = last[torch.arange(last.shape[0], device=last.device), end.to(last.device)]
        if self.config.projection:
            pooled = self.text_projection(pooled)
        return pooled


def _visible(hidden: Tensor) -> Tensor:
    """What each place may look at, ``[B, 1, n, n]``: those before it that are not hidden, and itself."""
    length = hidden.shape[1]
    before = torch.ones(length, length, dtype=torch.bool, device=hidden.device).tril()
    itself = torch.eye(length, dtype=torch.bool, device=hidden.device)
    return ((before & ~hidden[:, None]) | itself)[:, None]


def _ends(tokens: Tensor, end: Tensor | None) -> Tensor:
    if end is not None:
        return end
    if tokens.dim() == 2:
        return tokens.argmax(dim=-1)
    return torch.full((tokens.shape[0],), tokens.shape[1] - 1)
