"""Decoding and encoding in strips that give what the whole picture gives.

Tiles differ from the whole because each normalises by its own statistics. Here the network is walked layer by
layer over strips of rows: a layer's whole output lies in the computer's memory, its statistics are taken
over all of it, and each convolution gets the rows beside its strip, so nothing is computed twice. The device
holds one strip at a time; the computer's memory two layers' outputs.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noderack_diffusion.allocation import pages
from noderack_diffusion.narrow import widened
from noderack_diffusion.packed import PackedConv2d
from noderack_diffusion.vae import AutoencoderKL, Downsample, Middle, ResnetBlock, Upsample

Change = Callable[[Tensor], Tensor]
LEAST = 8
"""Rows of a strip at least; fewer would see more beside them than they give."""
CACHED = 1 << 22
"""Numbers that a strip has at most on a CPU, so that it stays in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """What a group norm does, as a factor and a shift ``[B, C, 1, 1]`` of each channel."""

    factor: Tensor
    shift: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """The normed strip, through SiLU."""
        return F.silu(torch.addcmul(self.shift, x, self.factor), inplace=True)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows ``start`` to ``stop`` of a picture of ``height``; those around them are seen, too."""

    start: int
    stop: int
    height: int

    def seen(self, x: Tensor) -> Tensor:
        """These rows of ``x`` with the one above and the one below, where there are any."""
        return x[:, :, max(0, self.start - 1) : self.stop + 1]

    def lacking(self) -> tuple[int, int]:
        """How many rows there are not, above and below."""
        return int(self.start == 0), int(self.stop == self.height)


@dataclass(frozen=True, slots=True)
class Strips:
    """Strips of at most ``pixels`` pixels, at any resolution, computed on ``device`` in ``dtype``."""

    pixels: int
    device: torch.device
    dtype: torch.dtype

    def decode(self, network: AutoencoderKL, latent: Tensor) -> Tensor:
        """The picture of a latent ``[1, C, h, w]``, nominally in -1..1, fp32 on the CPU."""
        decoder, x = network.decoder, latent.to(self.dtype)
        if network.config.embed:
            x = self.point(network.post_quant_conv, x)
        x = self.middle(decoder.mid, self.each(decoder.conv_in, x))
        for level in reversed(decoder.up):
            x = self.level(level, x)
        return self.last(decoder.norm_out, decoder.conv_out, x).float()

    def encode(self, network: AutoencoderKL, picture: Tensor) -> Tensor:
        """The latent (the mean) of a picture ``[1, 3, H, W]`` in -1..1, fp32 on the CPU."""
        encoder = network.encoder
        x = self.each(encoder.conv_in, picture.to(self.dtype))
        for level in encoder.down:
            x = self.level(level, x)
        x = self.last(encoder.norm_out, encoder.conv_out, self.middle(encoder.mid, x))
        if network.config.embed:
            x = self.point(network.quant_conv, x)
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
        x = beside(middle.attn_1(x.to(self.device)).cpu())
        return self.block(middle.block_2, x)

    def block(self, block: ResnetBlock, x: Tensor) -> Tensor:
        """A residual block; it writes over ``x``."""
        h, x = self.first(block, x)
        norm = self.scaling(block.norm2, h)
        for rows in self.rows(h):
            x[:, :, rows.start : rows.stop] += self.conv(block.conv2, h, rows, norm).to(x.device)
        return x

    def first(self, block: ResnetBlock, x: Tensor) -> tuple[Tensor, Tensor]:
        """A block's first convolution, and what its second is added to (in the place of ``x`` if it fits)."""
        norm, short = self.scaling(block.norm1, x), getattr(block, "nin_shortcut", None)
        h = sheet(block.conv1.out_channels, x.shape[2:], x.dtype)
        if short is None:
            for rows in self.rows(x):
                h[:, :, rows.start : rows.stop] = self.conv(block.conv1, x, rows, norm)
            return h, x
        out = _over(x, h.shape[1])
        for rows in self.rows(x):
            h[:, :, rows.start : rows.stop] = self.conv(block.conv1, x, rows, norm)
            out[:, :, rows.start : rows.stop] = short(x[:, :, rows.start : rows.stop].to(self.device))
        return h, out

    def last(self, norm: nn.GroupNorm, conv: nn.Conv2d, x: Tensor) -> Tensor:
        """The norm and convolution at the end."""
        return self.each(conv, x, self.scaling(norm, x))

    def point(self, conv: nn.Conv2d, x: Tensor) -> Tensor:
        """A convolution that sees one cell, over a latent."""
        out: Tensor = conv(x.to(self.device)).cpu()
        return out

    def each(self, conv: nn.Conv2d, x: Tensor, change: Change | None = None) -> Tensor:
        """A convolution over all of ``x`` after ``change``."""
        out = sheet(conv.out_channels, x.shape[2:], x.dtype)
        for rows in self.rows(x):
            out[:, :, rows.start : rows.stop] = self.conv(conv, x, rows, change)
        return out

    def conv(self, conv: nn.Conv2d, x: Tensor, rows: Rows, change: Change | None = None) -> Tensor:
        """What a convolution that keeps the size gives in some rows."""
        given = rows.seen(x).to(self.device)
        return _known_beside(conv, given if change is None else change(given), rows.lacking())

    def grown(self, layer: Upsample, x: Tensor) -> Tensor:
        """Twice the size."""
        out = sheet(layer.conv.out_channels, (2 * x.shape[2], 2 * x.shape[3]), x.dtype)
        for rows in self.rows(x, 4):
            strip, (above, below) = layer(rows.seen(x).to(self.device)), rows.lacking()
            strip = strip[:, :, 2 - 2 * above : strip.shape[2] - 2 + 2 * below]
            out[:, :, 2 * rows.start : 2 * rows.stop] = strip
        return out

    def halved(self, layer: Downsample, x: Tensor) -> Tensor:
        """Half the size; each row of the result sees three, the last one's third is padding."""
        height, width = (x.shape[2] - 2) // 2 + 1, (x.shape[3] - 2) // 2 + 1
        out = sheet(layer.conv.out_channels, (height, width), x.dtype)
        step = max(LEAST, self.step(x) // 2)
        for top in range(0, height, step):
            stop = min(height, top + step)
            given = x[:, :, 2 * top : 2 * stop + 1].to(self.device)
            given = F.pad(given, (0, 1, 0, 2 * (stop - top) + 1 - given.shape[2]))
            out[:, :, top:stop] = layer.conv(given)
        return out

    def scaling(self, norm: nn.GroupNorm, x: Tensor) -> Scaling:
        """A group norm over all of ``x``, its statistics gathered in strips."""
        channels, total = x.shape[1], torch.zeros(2, norm.num_groups, dtype=torch.float64)
        for rows in self.rows(x):
            strip = x[:, :, rows.start : rows.stop].to(self.device)
            mean, spread = _moments(strip, norm.num_groups)
            share = (rows.stop - rows.start) / rows.height
            total += torch.stack([mean, spread + mean**2]) * share
        mean, square = total
        spread = (square - mean**2).clamp_min(0.0).add(norm.eps).rsqrt()
        each = channels // norm.num_groups
        spread, mean = spread.repeat_interleave(each), mean.repeat_interleave(each)
        factor = norm.weight.double().cpu() * spread
        shift = norm.bias.double().cpu() - mean * factor
        place = {"device": self.device, "dtype": self.dtype}
        return Scaling(factor[None, :, None, None].to(**place), shift[None, :, None, None].to(**place))

    def step(self, x: Tensor, growth: int = 1) -> int:
        """How many rows of ``x`` a strip has, if ``growth`` times as many pixels come of it."""
        most = self.pixels // (x.shape[3] * growth)
        if self.device.type == "cpu":
            most = min(most, CACHED // (x.shape[3] * x.shape[1] * growth))
        return max(LEAST, most)

    def rows(self, x: Tensor, growth: int = 1) -> Iterator[Rows]:
        """The strips of ``x``."""
        height, step = x.shape[2], self.step(x, growth)
        for top in range(0, height, step):
            yield Rows(top, min(height, top + step), height)


def sheet(channels: int, size: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Room for a layer's whole output ``[1, C, h, w]``, channels side by side, in pages of its own: they are
    given back as soon as it is not needed, whatever lies beside them.
    """
    height, width = size
    flat = pages(channels * height * width, dtype)
    return flat.view(1, height, width, channels).permute(0, 3, 1, 2)


def beside(x: Tensor) -> Tensor:
    """The same with channels side by side."""
    return x.contiguous(memory_format=torch.channels_last)


def _over(x: Tensor, channels: int) -> Tensor:
    """Room for fewer channels in the place of ``x``, whose rows are read before it is written over; other
    room where they are not so many fewer that a row ahead is still there.
    """
    if 2 * channels > x.shape[1]:
        return sheet(channels, x.shape[2:], x.dtype)
    flat = x.permute(0, 2, 3, 1).reshape(-1)
    room = flat[: channels * x.shape[2] * x.shape[3]].view(1, *x.shape[2:], channels)
    return room.permute(0, 3, 1, 2)


def _known_beside(conv: nn.Conv2d, x: Tensor, lacking: tuple[int, int]) -> Tensor:
    """A convolution over rows with those beside them; ``lacking`` are outside of the picture."""
    if all(lacking):
        whole: Tensor = conv(x)
        return whole
    x = F.pad(x, (0, 0, *lacking)) if any(lacking) else x
    edge = (0, int(conv.padding[1]))
    if isinstance(conv, PackedConv2d):
        return conv.with_edge(x, edge)
    return F.conv2d(x, widened(conv.weight, x.dtype), conv.bias, conv.stride, edge)


def _moments(strip: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Mean and variance of each group of channels of one picture, in fp64 on the CPU."""
    if strip.device.type == "cpu":
        pixels = strip.shape[2] * strip.shape[3]
        told = (None, None, 1, strip.shape[1], pixels, groups, 0.0)
        _, mean, scale = torch.native_group_norm(strip, *told)
        return mean[0].double(), scale[0].double() ** -2
    spread, mean = torch.var_mean(strip.reshape(groups, -1).float(), dim=-1, correction=0)
    return mean.double().cpu(), spread.double().cpu()
