"""ControlNets for the U-Nets here: a picture that steers the network.

A ControlNet is a copy of the U-Net's first half with a head that reads the picture; its outputs are added
where the U-Net joins its halves. The handle that a conditioning entry carries under "control" is a
``Control``; networks of another make are other handles that give residuals too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noderack_diffusion import activations
from noderack_diffusion.errors import MismatchError
from noderack_diffusion.ops import timestep_embedding
from noderack_diffusion.patch import PatchSet
from noderack_diffusion.residual import ResidualAttention
from noderack_diffusion.sigma import Parametrisation
from noderack_diffusion.unet import Stage, UNetConfig, input_stages, middle_layers
from noderack_diffusion.weights import Live

Residuals = dict[str, list["Tensor | None"]]
HINT_WIDTHS = (16, 16, 32, 32, 96, 96, 256)
FACTOR = 8
"""Pixels of the picture to one cell of the latent."""
_UNION_HEADS, _UNION_EMBED = 8, 256


class ControlNet(nn.Module):
    """x ``[B, in, h, w]``, hint ``[B, 3, 8h, 8w]`` in 0..1, t, context, y -> residuals, deepest last.

    One that serves several kinds of pictures (``kinds``, "union") is told which ones it gets.
    """

    def __init__(self, config: UNetConfig, hint_channels: int = 3, kinds: int = 0) -> None:
        super().__init__()
        self.config, self.kinds = config, kinds
        emb = config.width * 4
        self.time_embed = _mlp(config.width, emb)
        if config.adm:
            self.label_emb = nn.Sequential(_mlp(config.adm, emb))
        skips: list[int] = []
        self.input_blocks = nn.ModuleList(input_stages(config, skips))
        self.zero_convs = nn.ModuleList(nn.Sequential(nn.Conv2d(c, c, 1)) for c in skips)
        self.input_hint_block = _hint_block(hint_channels, config.width)
        self.middle_block = Stage(middle_layers(config, skips[-1]))
        self.middle_block_out = nn.Sequential(nn.Conv2d(skips[-1], skips[-1], 1))
        if kinds:
            self.task_embedding = nn.Parameter(torch.zeros(kinds, config.width))
            self.transformer_layes = nn.Sequential(ResidualAttention(config.width, _UNION_HEADS))
            self.spatial_ch_projs = nn.Linear(config.width, config.width)
            self.control_add_embedding = _KindEmbedding(kinds, emb)

    def forward(
        self,
        x: Tensor,
        hint: Tensor,
        t: Tensor,
        context: Tensor,
        y: Tensor | None = None,
        kinds: Sequence[int] = (),
    ) -> tuple[list[Tensor], Tensor]:
        """The residuals of each input stage, and the middle's."""
        dtype = next(p for p in self.parameters() if p.dim() == 1).dtype  # matrices may be kept narrower
        emb = self.time_embed(timestep_embedding(t, self.config.width).to(dtype))
        if self.config.adm and y is not None:
            emb = emb + self.label_emb(y.to(dtype))
        if self.kinds:
            emb = emb + self.control_add_embedding(self._among(kinds))
        guide: Tensor | None = self._read(hint.to(dtype), kinds)
        h, outs = x, []
        for stage, zero in zip(self.input_blocks, self.zero_convs, strict=True):
            h = stage(h, emb, context)
            if guide is not None:
                h, guide = h + guide, None
            outs.append(zero(h))
        return outs, self.middle_block_out(self.middle_block(h, emb, context))

    def _read(self, hint: Tensor, kinds: Sequence[int]) -> Tensor:
        """The picture in the latent's size; what kind it is shifts each channel."""
        seen: Tensor = self.input_hint_block(hint)
        if not self.kinds or not kinds:
            return seen
        told = seen.mean(dim=(2, 3)) + self.task_embedding[kinds[0]]
        shift = self.spatial_ch_projs(self.transformer_layes(told[:, None])[:, 0])
        shifted: Tensor = seen + shift[:, :, None, None]
        return shifted

    def _among(self, kinds: Sequence[int]) -> Tensor:
        if any(kind >= self.kinds for kind in kinds):
            raise MismatchError(
                f"this ControlNet knows {self.kinds} kinds of pictures, and number {max(kinds)} is none of "
                "them; take one that knows more (ProMax) or another kind"
            )
        told: Tensor = self.task_embedding.new_zeros(self.kinds)
        told[list(kinds)] = 1.0
        return told


class _KindEmbedding(nn.Module):
    """Which kinds there are, each 0 or 1, as an embedding beside the time's."""

    def __init__(self, kinds: int, emb: int) -> None:
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(kinds * _UNION_EMBED, emb), nn.Linear(emb, emb)

    def forward(self, told: Tensor) -> Tensor:
        waves = timestep_embedding(told, _UNION_EMBED).to(told.dtype).flatten()[None]
        out: Tensor = self.linear_2(F.silu(self.linear_1(waves)))
        return out


def _mlp(inner: int, outer: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inner, outer), nn.SiLU(), nn.Linear(outer, outer))


def _hint_block(channels: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, outer in enumerate(HINT_WIDTHS):
        stride = 2 if i in (2, 4, 6) else 1
        layers += [nn.Conv2d(channels, outer, 3, stride=stride, padding=1), nn.SiLU()]
        channels = outer
    return nn.Sequential(*layers, nn.Conv2d(channels, width, 3, padding=1))


class Given(Residuals):
    """Residuals, and the networks that gave them."""

    def __init__(self, residuals: Residuals, lives: Sequence[Live]) -> None:
        super().__init__(residuals)
        self.lives = lives


Handle = TypeVar("Handle", bound="Steering")


@dataclass(frozen=True, eq=False)
class Steering:
    """A picture with its strength and range, and a network that reads it; a value that conditioning
    entries carry.
    """

    hint: Tensor | None = None
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0
    before: "Steering | None" = None
    _fitted: dict[tuple[int, ...], Tensor] = field(default_factory=dict, repr=False)

    def given(self: Handle, hint: Tensor, strength: float, start: float = 0.0, end: float = 1.0) -> Handle:
        """This network over the picture ``hint [B, H, W, 3]`` in 0..1, between two parts of the way."""
        picture = hint.movedim(-1, 1)[:, :3]
        return replace(self, hint=picture, strength=strength, start=start, end=end, _fitted={})

    def copy(self) -> Any:
        """What packs set up in the field's way: see ``patching.controls``."""
        from noderack_diffusion.patching.controls import as_packs_know

        return as_packs_know(self)

    def after(self: Handle, other: "Steering | None") -> Handle:
        """This control and another one, both."""
        return replace(self, before=other)

    def active(self, param: Parametrisation, sigma: float) -> bool:
        """Whether it steers at ``sigma``."""
        return param.times.percent(self.end) <= sigma <= param.times.percent(self.start)

    def residuals(self, param: Parametrisation, x: Tensor, sigma: Tensor, **given: Any) -> Residuals | None:
        """What to add in the U-Net for the scaled input ``x [B, C, h, w]``; None if it does not steer now.

        ``given``: "context" and "y" as the network gets them, "base" (the Model that is steered), perhaps
        "text" (a context for the control alone).
        """
        found = None if self.before is None else self.before.residuals(param, x, sigma, **given)
        if self.hint is None or not self.strength or not self.active(param, float(sigma[0])):
            return found
        return merged(found, self.own(param, x, sigma, **given))

    def own(self, param: Parametrisation, x: Tensor, sigma: Tensor, **given: Any) -> Residuals:
        """The residuals of this network alone."""
        raise NotImplementedError

    def lives(self, base: Any) -> tuple[Live, ...]:
        """The networks that steer ``base``: this one, and those before it."""
        before = () if self.before is None else self.before.lives(base)
        return (*before, *self.own_lives(base))

    def own_lives(self, base: Any) -> tuple[Live, ...]:
        """This one's network."""
        return ()

    def picture(self, x: Tensor, multiple: int = 1) -> Tensor:
        """The picture at eight times the latent's size (up to a multiple), cut around its middle, once per
        size.
        """
        high, wide = (-(-side * FACTOR // multiple) * multiple for side in x.shape[-2:])
        if (high, wide) not in self._fitted:
            assert self.hint is not None
            self._fitted[high, wide] = fit_picture(self.hint, (high, wide)).to(x.device)
        fitted = self._fitted[high, wide]
        return fitted.repeat(-(-x.shape[0] // fitted.shape[0]), 1, 1, 1)[: x.shape[0]]


@dataclass(frozen=True, eq=False)
class Control(Steering):
    """A ControlNet.

    ``rising`` weakens the residuals of the outer stages: of n, number i counts ``strength ** (n - i)``.
    ``pooled`` spreads each residual's mean over the picture; ``kinds`` are told to a network that wants it.
    """

    live: Live = field(kw_only=True)
    rising: bool = False
    pooled: bool = False
    kinds: tuple[int, ...] = ()
    patches: PatchSet = field(default_factory=PatchSet)

    def network(self, base: Any) -> ControlNet:
        """The network; ``base`` is the model that it steers."""
        live, patches = self.weights(base)
        return cast(ControlNet, live.use(patches))

    def weights(self, base: Any) -> tuple[Live, PatchSet]:
        """Its weights, and what is put on them."""
        return self.live, self.patches

    def own_lives(self, base: Any) -> tuple[Live, ...]:
        """This one's network."""
        return (self.weights(base)[0],)

    def own(self, param: Parametrisation, x: Tensor, sigma: Tensor, **given: Any) -> Residuals:
        """What to add where the U-Net joins its halves."""
        base, text, dtype = given.get("base"), given.get("text"), self.live.dtype
        context = (given["context"] if text is None else text).to(x.device, dtype)
        time, picture = param.times.time(sigma).float(), self.picture(x)

        def run(network: nn.Module) -> tuple[list[Tensor], Tensor]:
            inner = x[:, : cast(ControlNet, network).config.in_channels].to(dtype)
            found: tuple[list[Tensor], Tensor] = network(
                inner, picture, time, context, given.get("y"), self.kinds
            )
            return found

        live, patches = self.weights(base)
        if "config" not in live.shared:
            live.shared["config"] = self.network(base).config
        config, size = cast(UNetConfig, live.shared["config"]), (x.shape[-2], x.shape[-1])
        need = activations.control(config, x.shape[0], size, context.shape[1]) * dtype.itemsize
        beside = () if base is None else (base.live, *self.lives(base))
        outs, middle = live.run(patches, need, run, beside)
        powers = range(len(outs), 0, -1) if self.rising else [1] * len(outs)
        scaled = [self._even(out) * self.strength**n for out, n in zip(outs, powers, strict=True)]
        return {"output": list(scaled), "middle": [self._even(middle) * self.strength]}

    def _even(self, out: Tensor) -> Tensor:
        return out.mean(dim=(2, 3), keepdim=True).expand_as(out) if self.pooled else out


def fit_picture(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Nearest-exact at ``size``, what is too much on one axis cut off on both sides."""
    height, width = picture.shape[-2:]
    if (height, width) == size:
        return picture
    if width * size[0] > height * size[1]:
        cut = round((width - height * size[1] / size[0]) / 2)
        picture = picture[..., cut : width - cut]
    else:
        cut = round((height - width * size[0] / size[1]) / 2)
        picture = picture[..., cut : height - cut, :]
    return F.interpolate(picture, size=size, mode="nearest-exact")


def merged(one: Residuals | None, other: Residuals) -> Residuals:
    """The sum of two controls' residuals."""
    if one is None:
        return other
    return {place: _added(one.get(place, []), other.get(place, [])) for place in {*one, *other}}


def _added(a: Sequence[Tensor | None], b: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Lists are used from their end, so that is where they are matched."""
    length = max(len(a), len(b))
    rows = zip([None] * (length - len(a)) + [*a], [None] * (length - len(b)) + [*b], strict=True)
    return [x if y is None else y if x is None else x + y for x, y in rows]
