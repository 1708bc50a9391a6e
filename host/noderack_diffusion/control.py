"""ControlNets for the U-Nets here: a picture that steers the network.

A ControlNet is a copy of the U-Net's first half with a head that reads the picture; its outputs are added
where the U-Net joins its halves. The handle that a conditioning entry carries under "control" is a
``Control``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional as F

from noderack_diffusion.ops import timestep_embedding
from noderack_diffusion.patch import PatchSet
from noderack_diffusion.sigma import Parametrisation
from noderack_diffusion.unet import Stage, UNetConfig, input_stages, middle_layers
from noderack_diffusion.weights import Live

Residuals = dict[str, list["Tensor | None"]]
HINT_WIDTHS = (16, 16, 32, 32, 96, 96, 256)


class ControlNet(nn.Module):
    """x ``[B, in, h, w]``, hint ``[B, 3, 8h, 8w]`` in 0..1, t, context, y -> residuals, deepest last."""

    def __init__(self, config: UNetConfig, hint_channels: int = 3) -> None:
        super().__init__()
        self.config = config
        emb = config.width * 4
        self.time_embed = nn.Sequential(nn.Linear(config.width, emb), nn.SiLU(), nn.Linear(emb, emb))
        if config.adm:
            mlp = nn.Sequential(nn.Linear(config.adm, emb), nn.SiLU(), nn.Linear(emb, emb))
            self.label_emb = nn.Sequential(mlp)
        skips: list[int] = []
        self.input_blocks = nn.ModuleList(input_stages(config, skips))
        self.zero_convs = nn.ModuleList(nn.Sequential(nn.Conv2d(c, c, 1)) for c in skips)
        self.input_hint_block = _hint_block(hint_channels, config.width)
        self.middle_block = Stage(middle_layers(config, skips[-1]))
        self.middle_block_out = nn.Sequential(nn.Conv2d(skips[-1], skips[-1], 1))

    def forward(
        self, x: Tensor, hint: Tensor, t: Tensor, context: Tensor, y: Tensor | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """The residuals of each input stage, and the middle's."""
        dtype = next(self.parameters()).dtype
        emb = self.time_embed(timestep_embedding(t, self.config.width).to(dtype))
        if self.config.adm and y is not None:
            emb = emb + self.label_emb(y.to(dtype))
        guide: Tensor | None = self.input_hint_block(hint.to(dtype))
        h, outs = x, []
        for stage, zero in zip(self.input_blocks, self.zero_convs, strict=True):
            h = stage(h, emb, context)
            if guide is not None:
                h, guide = h + guide, None
            outs.append(zero(h))
        return outs, self.middle_block_out(self.middle_block(h, emb, context))


def _hint_block(channels: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, outer in enumerate(HINT_WIDTHS):
        stride = 2 if i in (2, 4, 6) else 1
        layers += [nn.Conv2d(channels, outer, 3, stride=stride, padding=1), nn.SiLU()]
        channels = outer
    return nn.Sequential(*layers, nn.Conv2d(channels, width, 3, padding=1))


@dataclass(frozen=True, eq=False)
class Control:
    """A control network with its picture, strength and range; a value that conditioning entries carry.

    ``rising`` weakens the residuals of the outer stages: of n, number i counts ``strength ** (n - i)``.
    """

    live: Live
    hint: Tensor | None = None
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0
    rising: bool = False
    before: "Control | None" = None
    _fitted: dict[tuple[int, ...], Tensor] = field(default_factory=dict, repr=False)

    def given(self, hint: Tensor, strength: float, start: float = 0.0, end: float = 1.0) -> "Control":
        """This network over the picture ``hint [B, H, W, 3]`` in 0..1, between two parts of the way."""
        picture = hint.movedim(-1, 1)[:, :3]
        return replace(self, hint=picture, strength=strength, start=start, end=end, _fitted={})

    def after(self, other: "Control | None") -> "Control":
        """This control and another one, both."""
        return replace(self, before=other)

    def active(self, param: Parametrisation, sigma: float) -> bool:
        """Whether it steers at ``sigma``."""
        return param.times.percent(self.end) <= sigma <= param.times.percent(self.start)

    def residuals(self, param: Parametrisation, x: Tensor, sigma: Tensor, **given: Any) -> Residuals | None:
        """What to add in the U-Net for the scaled input ``x [B, C, h, w]``; None if it does not steer now."""
        found = None if self.before is None else self.before.residuals(param, x, sigma, **given)
        if self.hint is None or not self.strength or not self.active(param, float(sigma[0])):
            return found
        network = cast(ControlNet, self.live.use(PatchSet()))
        hint, dtype = self._hint(x), self.live.dtype
        context, y = given["context"].to(x.device, dtype), given.get("y")
        time = param.times.time(sigma).float()
        outs, middle = network(x[:, : network.config.in_channels].to(dtype), hint, time, context, y)
        powers = range(len(outs), 0, -1) if self.rising else [1] * len(outs)
        scaled = [out * self.strength**power for out, power in zip(outs, powers, strict=True)]
        return merged(found, {"output": list(scaled), "middle": [middle * self.strength]})

    def _hint(self, x: Tensor) -> Tensor:
        """The picture at eight times the latent's size, cut around its middle, once per size."""
        size = (x.shape[-2] * 8, x.shape[-1] * 8)
        if size not in self._fitted:
            assert self.hint is not None
            self._fitted[size] = _fit(self.hint, size).to(x.device)
        fitted = self._fitted[size]
        return fitted.repeat(-(-x.shape[0] // fitted.shape[0]), 1, 1, 1)[: x.shape[0]]


def _fit(picture: Tensor, size: tuple[int, int]) -> Tensor:
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
