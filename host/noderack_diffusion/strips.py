"""Decoding and encoding in strips that give what the whole picture gives.

Tiles differ from the whole because each normalises by its own statistics. Here the network is walked layer by
layer over strips of rows: a layer's whole output lies in the computer's memory, its statistics are taken
over all of it, and each convolution gets the rows beside its strip. The device holds one strip at a time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noderack_diffusion.vae import AutoencoderKL, Downsample, Middle, ResnetBlock, Upsample

Run = Callable[[Tensor], Tensor]
LEAST = 8
"""Rows of a strip at least; fewer would see more beside them than they give."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """What a group norm does, as a factor and a shift ``[B, C, 1, 1]`` of each channel."""

    factor: Tensor
    shift: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """The normed strip, through SiLU."""
        return F.silu(torch.addcmul(self.shift, x, self.factor), inplace=True)


@dataclass(frozen=True, slots=True)
class Strips:
    """Strips of at most ``pixels`` pixels, at any resolution, computed on ``device`` in ``dtype``."""

    pixels: int
    device: torch.device
    dtype: torch.dtype

    def decode(self, network: AutoencoderKL, latent: Tensor) -> Tensor:
        """Pictures of latents ``[B, C, h, w]``, nominally in -1..1, fp32 on the CPU."""
        decoder = network.decoder
        x = latent.to(self.dtype)
        if network.config.embed:
            x = self.each(x, network.post_quant_conv, 0)
        x = self.middle(decoder.mid, self.each(x, decoder.conv_in))
        for level in reversed(decoder.up):
            x = self.level(level, x)
        return self.last(decoder.norm_out, decoder.conv_out, x).float()

    def encode(self, network: AutoencoderKL, pictures: Tensor) -> Tensor:
        """Latents (the mean) of pictures ``[B, 3, H, W]`` in -1..1, fp32 on the CPU."""
        encoder = network.encoder
        x = self.each(pictures.to(self.dtype), encoder.conv_in)
        for level in encoder.down:
            x = self.level(level, x)
        x = self.last(encoder.norm_out, encoder.conv_out, self.middle(encoder.mid, x))
        if network.config.embed:
            x = self.each(x, network.quant_conv, 0)
        return x.chunk(2, dim=1)[0].float()

    def level(self, level: nn.Module, x: Tensor) -> Tensor:
        """The blocks of one resolution and the change of size after them."""
        for block in level.block:  # type: ignore[union-attr]
            x = self.block(block, x)
        if hasattr(level, "upsample"):
            return self.grown(level.upsample, x)  # type: ignore[arg-type]
        return self.halved(level.downsample, x) if hasattr(level, "downsample") else x  # type: ignore[arg-type]

    def middle(self, middle: Middle, x: Tensor) -> Tensor:
        """The lowest resolution; its attention sees everything at once."""
        x = self.block(middle.block_1, x)
        x = middle.attn_1(x.to(self.device)).cpu()
        return self.block(middle.block_2, x)

    def block(self, block: ResnetBlock, x: Tensor) -> Tensor:
        """A residual block; where the channels stay it writes over ``x``."""
        first = self.scaling(block.norm1, x)
        h = self.each(x, lambda strip: block.conv1(first(strip)))
        second = self.scaling(block.norm2, h)
        short = getattr(block, "nin_shortcut", None)
        out = x if short is None else torch.empty_like(h)
        for rows in self.rows(h):
            given = h[:, :, rows.start - rows.above : rows.stop + rows.below].to(self.device)
            beside = x[:, :, rows.start : rows.stop].to(self.device)
            strip = rows.inner(block.conv2(second(given)))
            strip += beside if short is None else short(beside)
            out[:, :, rows.start : rows.stop] = strip
        return out

    def last(self, norm: nn.GroupNorm, conv: nn.Module, x: Tensor) -> Tensor:
        """The norm and convolution at the end."""
        scaled = self.scaling(norm, x)
        return self.each(x, lambda strip: conv(scaled(strip)))

    def each(self, x: Tensor, run: Run, halo: int = 1) -> Tensor:
        """``run``, which keeps the size and sees ``halo`` rows around, over all of ``x``."""
        out: Tensor | None = None
        for rows in self.rows(x, halo):
            given = x[:, :, rows.start - rows.above : rows.stop + rows.below].to(self.device)
            strip = rows.inner(run(given))
            out = _like(strip, x.shape[2], x.shape[3]) if out is None else out
            out[:, :, rows.start : rows.stop] = strip
        assert out is not None
        return out

    def grown(self, layer: Upsample, x: Tensor) -> Tensor:
        """Twice the size."""
        out: Tensor | None = None
        for rows in self.rows(x):
            given = x[:, :, rows.start - rows.above : rows.stop + rows.below].to(self.device)
            strip = layer(given)
            strip = strip[:, :, 2 * rows.above : strip.shape[2] - 2 * rows.below]
            out = _like(strip, 2 * x.shape[2], 2 * x.shape[3]) if out is None else out
            out[:, :, 2 * rows.start : 2 * rows.stop] = strip
        assert out is not None
        return out

    def halved(self, layer: Downsample, x: Tensor) -> Tensor:
        """Half the size; each row of the result sees three, the last one's third is padding."""
        height, width = (x.shape[2] - 2) // 2 + 1, (x.shape[3] - 2) // 2 + 1
        out: Tensor | None = None
        step = max(LEAST, self.step(x) // 2)
        for top in range(0, height, step):
            stop = min(height, top + step)
            given = x[:, :, 2 * top : 2 * stop + 1].to(self.device)
            given = F.pad(given, (0, 1, 0, 2 * (stop - top) + 1 - given.shape[2]))
            strip = layer.conv(given)
            out = _like(strip, height, width) if out is None else out
            out[:, :, top:stop] = strip
        assert out is not None
        return out

    def scaling(self, norm: nn.GroupNorm, x: Tensor) -> Scaling:
        """A group norm over all of ``x``, its statistics gathered in strips."""
        batch, channels = x.shape[:2]
        total = torch.zeros(2, batch, norm.num_groups, dtype=torch.float64)
        for rows in self.rows(x, 0):
            strip = x[:, :, rows.start : rows.stop].to(self.device)
            parts = strip.reshape(batch, norm.num_groups, -1).float()
            spread, mean = torch.var_mean(parts, dim=-1, correction=0)
            mean, spread, size = mean.double().cpu(), spread.double().cpu(), parts.shape[-1]
            total[0] += mean * size
            total[1] += (spread + mean**2) * size
        mean, square = total * norm.num_groups / x[0].numel()
        spread = (square - mean**2).clamp_min(0.0).add(norm.eps).rsqrt()
        each = channels // norm.num_groups
        spread, mean = spread.repeat_interleave(each, 1), mean.repeat_interleave(each, 1)
        factor = norm.weight.double().cpu() * spread
        shift = norm.bias.double().cpu() - mean * factor
        place = {"device": self.device, "dtype": self.dtype}
        return Scaling(factor[..., None, None].to(**place), shift[..., None, None].to(**place))

    def step(self, x: Tensor) -> int:
        """How many rows of ``x`` a strip has."""
        return max(LEAST, self.pixels // x.shape[3])

    def rows(self, x: Tensor, halo: int = 1) -> "Iterator[Rows]":
        """The strips of ``x``."""
        height, step = x.shape[2], self.step(x)
        for top in range(0, height, step):
            stop = min(height, top + step)
            yield Rows(top, stop, min(halo, top), min(halo, height - stop))


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows ``start`` to ``stop``, and how many are there to be seen above and below."""

    start: int
    stop: int
    above: int
    below: int

    def inner(self, strip: Tensor) -> Tensor:
        """Without what was seen beside."""
        return strip[:, :, self.above : strip.shape[2] - self.below]


def _like(strip: Tensor, height: int, width: int) -> Tensor:
    return torch.empty(*strip.shape[:2], height, width, dtype=strip.dtype)
