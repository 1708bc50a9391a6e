"""The U-Net of Stable Diffusion 1.x, 2.x and XL, under its original parameter names.

One class serves all of them: ``UNetConfig`` says how many levels, blocks and transformers there are, and
``unet_config`` reads that from the shapes of a checkpoint. The forward pass reads top to bottom.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count as numbers

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noderack_diffusion.ops import RES_EPS, attention, conv3, group_norm, timestep_embedding
from noderack_diffusion.seen_text import SeenText
from noderack_diffusion.shapes import Shapes, Told, count, groups_for, need
from noderack_diffusion.steer import Steer

SkipHook = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(second half's state, skip) -> both, perhaps changed."""
TOKENS = 1024
"""Of each picture that go through a feed-forward layer at a time on a CPU."""
NO_ATTENTION = -1
NO_MIDDLE = -2


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution: its width as a multiple of the model's, and the transformer depth of each block.

    With ``text_only`` its transformers attend to the text twice, and never to themselves.
    """

    mult: int
    down: tuple[int, ...]
    up: tuple[int, ...]
    text_only: bool = False


@dataclass(frozen=True, slots=True)
class UNetConfig:
    """The numbers that make a U-Net.

    ``middle`` is the transformer depth in the middle (-1: one residual block only, -2: no middle at all).
    Heads are either counted (``heads``) or sized (``head_dim``); the one that is 0 follows from the other.
    ``classes`` is the length of a table of labels in place of a label vector.
    """

    in_channels: int = 4
    out_channels: int = 4
    width: int = 320
    levels: tuple[Level, ...] = ()
    middle: int = 1
    context: int = 768
    linear_proj: bool = False
    adm: int = 0
    heads: int = 8
    head_dim: int = 0
    groups: int = 32
    classes: int = 0

    def heads_at(self, channels: int) -> int:
        """How many attention heads a transformer on ``channels`` has."""
        return self.heads or max(1, channels // self.head_dim)


def unet_config(shapes: Shapes, told: Told | None = None) -> UNetConfig:
    """Read the config of a U-Net from its tensors' shapes (keys without prefix).

    Heads and groups come from ``told``. If it is silent: linear projections (SD 2, SDXL) mean heads of 64
    channels, convolutional ones (SD 1) and a table of labels (the upscaler) mean 8 heads; groups are 32
    wherever the width allows.
    """
    told = told or {}
    first = need(shapes, "input_blocks.0.0.weight", "U-Net")
    width = first[0]
    linear = any(k.endswith("proj_in.weight") and len(s) == 2 for k, s in shapes.items())
    contexts = [s[1] for k, s in shapes.items() if k.endswith("attn2.to_k.weight")]
    classes = shapes.get("label_emb.weight", (0, 0))[0]
    head_dim = told.get("head_dim", 64 if linear and not classes and "heads" not in told else 0)
    return UNetConfig(
        in_channels=first[1],
        out_channels=need(shapes, "out.2.weight", "U-Net")[0],
        width=width,
        levels=_levels(shapes, width),
        middle=_middle(shapes),
        context=contexts[0] if contexts else 0,
        linear_proj=linear,
        adm=shapes.get("label_emb.0.0.weight", (0, 0))[1],
        heads=0 if head_dim else told.get("heads", 8),
        head_dim=head_dim,
        groups=told.get("groups", groups_for(width)),
        classes=classes,
    )


def _levels(shapes: Shapes, width: int) -> tuple[Level, ...]:
    downs: list[tuple[int, list[int]]] = [(0, [])]
    blind: set[int] = set()
    for i in numbers(1):
        if f"input_blocks.{i}.0.op.weight" in shapes:
            downs.append((0, []))
            continue
        keys = shapes.get(f"input_blocks.{i}.1.transformer_blocks.0.attn1.to_k.weight", (0, 0))
        if keys[0] != keys[1]:
            blind.add(len(downs) - 1)
        conv = shapes.get(f"input_blocks.{i}.0.out_layers.3.weight")
        if conv is None:
            break
        downs[-1] = (conv[0] // width, [*downs[-1][1], _depth(shapes, f"input_blocks.{i}.1.")])
    up = (_depth(shapes, f"output_blocks.{i}.1.") for i in numbers())
    ups = [tuple(next(up) for _ in range(len(depths) + 1)) for _, depths in reversed(downs)]
    rows = enumerate(zip(downs, reversed(ups), strict=True))
    return tuple(Level(mult, tuple(depths), climb, x in blind) for x, ((mult, depths), climb) in rows)


def _depth(shapes: Shapes, prefix: str) -> int:
    return count(shapes, prefix + "transformer_blocks.{}.norm1.weight")


def _middle(shapes: Shapes) -> int:
    if "middle_block.0.in_layers.0.weight" not in shapes:
        return NO_MIDDLE
    return _depth(shapes, "middle_block.1.") or NO_ATTENTION


class ResBlock(nn.Module):
    """Two convolutions around the time embedding, added to the input."""

    def __init__(self, inner: int, outer: int, emb: int, groups: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(group_norm(inner, groups, RES_EPS), nn.SiLU(), conv3(inner, outer))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb, outer))
        self.out_layers = nn.Sequential(
            group_norm(outer, groups, RES_EPS), nn.SiLU(), nn.Identity(), conv3(outer, outer)
        )
        self.skip_connection = nn.Identity() if inner == outer else nn.Conv2d(inner, outer, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.in_layers(x)
        h += self.emb_layers(emb)[:, :, None, None]
        out: Tensor = self.out_layers(h)
        out += self.skip_connection(x)
        return out


class CrossAttention(nn.Module):
    """Attention of ``x`` to ``context`` (to itself if that is None)."""

    def __init__(self, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context, width, bias=False)
        self.to_v = nn.Linear(context, width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width))
        self.seen = SeenText()

    def forward(self, x: Tensor, context: Tensor | None = None, value: Tensor | None = None) -> Tensor:
        if context is not None and value is None:
            keys, values = self.seen.of(context, self.to_k, self.to_v)
        else:
            source = x if context is None else context
            keys, values = self.to_k(source), self.to_v(source if value is None else value)
        out: Tensor = self.to_out(attention(self.to_q(x), keys, values, self.heads))
        return out


class GeGlu(nn.Module):
    """A linear layer whose second half gates the first (exact GELU)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, inner * 2)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return F.gelu(gate).mul_(value)


class FeedForward(nn.Module):
    """Widen by four, gate, narrow. On a CPU some tokens at a time, as what is widened is the largest thing
    that a step makes.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(GeGlu(width, width * 4), nn.Identity(), nn.Linear(width * 4, width))

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and x.shape[1] > TOKENS and not torch.is_grad_enabled():
            parts = (x[:, start : start + TOKENS] for start in range(0, x.shape[1], TOKENS))
            return torch.cat([self.net(part) for part in parts], dim=1)
        out: Tensor = self.net(x)
        return out


class TransformerBlock(nn.Module):
    """Self-attention, attention to the text, feed-forward; each with its norm before it."""

    def __init__(self, width: int, context: int, heads: int, text_only: bool = False) -> None:
        super().__init__()
        self.text_only = text_only
        self.attn1 = CrossAttention(width, context if text_only else width, heads)
        self.ff = FeedForward(width)
        self.attn2 = CrossAttention(width, context, heads)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)

    def forward(self, x: Tensor, context: Tensor, steer: Steer | None = None) -> Tensor:
        first = context if self.text_only else None
        if steer is None:
            x = self.attn1(self.norm1(x), first).add_(x)
            x = self.attn2(self.norm2(x), context).add_(x)
        else:
            x = steer.between(steer.attend(1, self.attn1, self.norm1(x), first) + x)
            x = steer.attend(2, self.attn2, self.norm2(x), context) + x
        out: Tensor = self.ff(self.norm3(x)).add_(x)
        return out


class SpatialTransformer(nn.Module):
    """Transformer blocks over the pixels of ``x [B, C, h, w]``, added to it."""

    def __init__(self, channels: int, depth: int, config: UNetConfig, text_only: bool = False) -> None:
        super().__init__()
        self.norm = group_norm(channels, config.groups)
        self.linear = config.linear_proj
        heads = config.heads_at(channels)
        blocks = (TransformerBlock(channels, config.context, heads, text_only) for _ in range(depth))
        self.proj_in = self._projection(channels)
        self.transformer_blocks = nn.ModuleList(blocks)
        self.proj_out = self._projection(channels)

    def _projection(self, channels: int) -> nn.Module:
        return nn.Linear(channels, channels) if self.linear else nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, context: Tensor, steer: Steer | None = None) -> Tensor:
        size, h = x.shape[2:], self.norm(x)
        if self.linear:
            h = self.proj_in(h.flatten(2).transpose(1, 2))
        else:
            h = self.proj_in(h).flatten(2).transpose(1, 2)
        for index, block in enumerate(self.transformer_blocks):
            if steer is not None:
                steer.block(index)
            h = block(h, context, steer)
        if steer is not None:
            steer.transformed()
        if self.linear:
            h = self.proj_out(h).transpose(1, 2).unflatten(2, size)
        else:
            h = self.proj_out(h.transpose(1, 2).unflatten(2, size))
        out: Tensor = h.add_(x)
        return out


class Downsample(nn.Module):
    """Halve the size by a strided convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = conv3(channels, channels, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.op(x)
        return out


class Upsample(nn.Module):
    """Grow to ``size`` by nearest neighbour, then convolve."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv3(channels, channels)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        out: Tensor = self.conv(F.interpolate(x, size=size, mode="nearest"))
        return out


class Stage(nn.ModuleList):
    """What stands at one place of the U-Net: some of residual block, transformer, up- or downsampling."""

    def forward(
        self,
        x: Tensor,
        emb: Tensor,
        context: Tensor,
        size: tuple[int, int] | None = None,
        steer: Steer | None = None,
    ) -> Tensor:
        """``size`` is what an upsampling grows to: the size of the skip that comes next."""
        for layer in self:
            if isinstance(layer, ResBlock):
                x = layer(x, emb)
            elif isinstance(layer, SpatialTransformer):
                x = layer(x, context, steer)
            elif isinstance(layer, Upsample):
                x = layer(x, size or (x.shape[2] * 2, x.shape[3] * 2))
            else:
                x = layer(x)
        return x


class UNet(nn.Module):
    """x ``[B, in, h, w]``, t ``[B]``, context ``[B, n, context]``, y ``[B, adm]`` or ``[B]`` (a class) ->
    ``[B, out, h, w]``.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        emb = config.width * 4
        self.time_embed = nn.Sequential(nn.Linear(config.width, emb), nn.SiLU(), nn.Linear(emb, emb))
        if config.adm:
            mlp = nn.Sequential(nn.Linear(config.adm, emb), nn.SiLU(), nn.Linear(emb, emb))
            self.label_emb: nn.Module = nn.Sequential(mlp)
        elif config.classes:
            self.label_emb = nn.Embedding(config.classes, emb)
        skips: list[int] = []
        self.input_blocks = nn.ModuleList(input_stages(config, skips))
        deepest = skips[-1]
        self.middle_block = Stage(middle_layers(config, deepest))
        self.output_blocks = nn.ModuleList(_output_stages(config, skips))
        last = config.width * config.levels[0].mult
        self.out = nn.Sequential(
            group_norm(last, config.groups, RES_EPS), nn.SiLU(), conv3(last, config.out_channels)
        )

    @property
    def dtype(self) -> torch.dtype:
        """The dtype it computes in, that of its parameters."""
        return next(p for p in self.parameters() if p.dim() == 1).dtype  # matrices may be kept narrower

    def embed(self, t: Tensor, y: Tensor | None, steer: Steer | None = None) -> Tensor:
        """The embedding of times (and of the label vector, where there is one), ``[B, 4 width]``."""
        dtype = self.dtype
        emb: Tensor = self.time_embed(timestep_embedding(t, self.config.width).to(dtype))
        if steer is not None:
            emb = steer.embedding(emb, self.config.width)
        if self.config.adm or self.config.classes:
            if y is None:
                wanted = f"vector y of {self.config.adm} numbers" if self.config.adm else "number y"
                raise ValueError(f"this U-Net wants a label {wanted} per image")
            emb = emb + self.label_emb(y.to(dtype) if self.config.adm else y.flatten().long()).to(dtype)
        return emb

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        context: Tensor,
        y: Tensor | None = None,
        control: Mapping[str, list[Tensor | None]] | None = None,
        skip_hook: SkipHook | None = None,
        steer: Steer | None = None,
    ) -> Tensor:
        """``control`` holds residuals to add: lists "input", "middle", "output", each used from its end.

        ``skip_hook`` may change what the second half has and the skip that it is joined with; ``steer`` all
        that its methods are told of.
        """
        emb = self.embed(t, y, steer)
        residuals = {k: list(v) for k, v in (control or {}).items()}
        steered = steer or Steer()
        h, skips = x.contiguous(memory_format=torch.channels_last), []
        for i, stage in enumerate(self.input_blocks):
            steered.at("input", i)
            h = steered.entered(_add(stage(h, emb, context, None, steer), residuals.get("input")))
            skips.append(h)
            h = steered.after_skip(h)
        steered.at("middle", 0)
        h = _add(self.middle_block(h, emb, context, None, steer), residuals.get("middle"))
        h = steered.middle(h, x=x, emb=emb, context=context, y=y, timesteps=t)
        for i, stage in enumerate(self.output_blocks):
            steered.at("output", i)
            skip = _add(skips.pop(), residuals.get("output"))
            if skip_hook is not None:
                h, skip = skip_hook(h, skip)
            h, skip = steered.joining(h, skip)
            size = (skips[-1].shape[2], skips[-1].shape[3]) if skips else None
            h = stage(torch.cat([h, skip], dim=1), emb, context, size, steer)
        out: Tensor = self.out(h)
        return out


def _add(x: Tensor, residuals: list[Tensor | None] | None) -> Tensor:
    extra = residuals.pop() if residuals else None
    return x if extra is None else x + extra.to(x.dtype)


def _layers(
    config: UNetConfig, inner: int, outer: int, depth: int, text_only: bool = False
) -> list[nn.Module]:
    layers: list[nn.Module] = [ResBlock(inner, outer, config.width * 4, config.groups)]
    if depth:
        layers.append(SpatialTransformer(outer, depth, config, text_only))
    return layers


def input_stages(config: UNetConfig, skips: list[int]) -> Iterator[Stage]:
    """The stages of the first half; appends the channels of each one's output to ``skips``."""
    channels = config.width
    yield Stage([conv3(config.in_channels, channels)])
    skips.append(channels)
    for i, level in enumerate(config.levels):
        if i:
            yield Stage([Downsample(channels)])
            skips.append(channels)
        for depth in level.down:
            yield Stage(_layers(config, channels, config.width * level.mult, depth, level.text_only))
            channels = config.width * level.mult
            skips.append(channels)


def middle_layers(config: UNetConfig, channels: int) -> list[nn.Module]:
    """The layers between the halves."""
    if config.middle == NO_MIDDLE:
        return []
    layers = _layers(config, channels, channels, max(config.middle, 0))
    if config.middle != NO_ATTENTION:
        layers.append(ResBlock(channels, channels, config.width * 4, config.groups))
    return layers


def _output_stages(config: UNetConfig, skips: list[int]) -> Iterator[Stage]:
    channels, left = skips[-1], list(skips)
    for i, level in reversed(list(enumerate(config.levels))):
        for j, depth in enumerate(level.up):
            outer = config.width * level.mult
            layers = _layers(config, channels + left.pop(), outer, depth, level.text_only)
            if i and j == len(level.up) - 1:
                layers.append(Upsample(outer))
            yield Stage(layers)
            channels = outer
