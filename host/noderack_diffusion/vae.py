"""The KL autoencoder of Stable Diffusion (f8), under its original parameter names.

Pictures here are ``[B, 3, H, W]`` in -1..1; latents are unscaled (no 0.18215).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noderack_diffusion.ops import attention, conv3, group_norm
from noderack_diffusion.shapes import Shapes, Told, count, groups_for, need


@dataclass(frozen=True, slots=True)
class VaeConfig:
    """The numbers that make a KL autoencoder; ``embed`` is 0 without quant convolutions (SD3, Flux)."""

    width: int = 128
    mults: tuple[int, ...] = (1, 2, 4, 4)
    encoder_blocks: int = 2
    decoder_blocks: int = 3
    latent: int = 4
    embed: int = 4
    colours: int = 3
    groups: int = 32

    @property
    def factor(self) -> int:
        """How many pixels one latent cell covers along each side."""
        return int(2 ** (len(self.mults) - 1))


def vae_config(shapes: Shapes, told: Told | None = None) -> VaeConfig:
    """Read the config of a KL autoencoder from its tensors' shapes (keys without prefix).

    Norm groups come from ``told``; else 32 wherever the width allows.
    """
    told = told or {}
    colours_conv = need(shapes, "decoder.conv_out.weight", "KL autoencoder")
    width = colours_conv[1]
    levels = count(shapes, "decoder.up.{}.block.0.norm1.weight")
    tops = [need(shapes, f"decoder.up.{i}.block.0.conv1.weight", "KL autoencoder")[0] for i in range(levels)]
    return VaeConfig(
        width=width,
        mults=tuple(top // width for top in tops),
        encoder_blocks=count(shapes, "encoder.down.0.block.{}.norm1.weight"),
        decoder_blocks=count(shapes, "decoder.up.0.block.{}.norm1.weight"),
        latent=need(shapes, "decoder.conv_in.weight", "KL autoencoder")[1],
        embed=shapes.get("post_quant_conv.weight", (0, 0))[1],
        colours=colours_conv[0],
        groups=told.get("groups", groups_for(width)),
    )


class ResnetBlock(nn.Module):
    """Two convolutions added to the input."""

    def __init__(self, inner: int, outer: int, groups: int) -> None:
        super().__init__()
        self.norm1 = group_norm(inner, groups)
        self.conv1 = conv3(inner, outer)
        self.norm2 = group_norm(outer, groups)
        self.conv2 = conv3(outer, outer)
        if inner != outer:
            self.nin_shortcut = nn.Conv2d(inner, outer, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x), inplace=True))
        out: Tensor = self.conv2(F.silu(self.norm2(h), inplace=True))
        out += self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x
        return out


class AttnBlock(nn.Module):
    """One head of attention over all pixels, added to the input."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = group_norm(channels, groups)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (layer(h).flatten(2).transpose(1, 2) for layer in (self.q, self.k, self.v))
        h = attention(q, k, v, heads=1).transpose(1, 2).reshape(x.shape)
        out: Tensor = x + self.proj_out(h)
        return out


class Middle(nn.Module):
    """Residual block, attention, residual block at the lowest resolution."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.block_1 = ResnetBlock(channels, channels, groups)
        self.attn_1 = AttnBlock(channels, groups)
        self.block_2 = ResnetBlock(channels, channels, groups)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block_2(self.attn_1(self.block_1(x)))
        return out


class Downsample(nn.Module):
    """Halve the size; the padding is on the right and the bottom only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)))
        return out


class Upsample(nn.Module):
    """Double the size by nearest neighbour, then convolve."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


class Resolution(nn.Module):
    """The blocks at one resolution, with the change of size that follows, if any."""

    def __init__(self, inner: int, outer: int, blocks: int, groups: int) -> None:
        super().__init__()
        widths = [inner] + [outer] * (blocks - 1)
        self.block = nn.ModuleList(ResnetBlock(width, outer, groups) for width in widths)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
        for name in ("downsample", "upsample"):
            if hasattr(self, name):
                x = getattr(self, name)(x)
        return x


class Encoder(nn.Module):
    """Pictures ``[B, 3, H, W]`` -> moments ``[B, 2 latent, H/f, W/f]``."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        channels, last = config.width, len(config.mults) - 1
        self.conv_in = conv3(config.colours, channels)
        self.down = nn.ModuleList()
        for i, mult in enumerate(config.mults):
            level = Resolution(channels, config.width * mult, config.encoder_blocks, config.groups)
            channels = config.width * mult
            if i != last:
                level.downsample = Downsample(channels)
            self.down.append(level)
        self.mid = Middle(channels, config.groups)
        self.norm_out = group_norm(channels, config.groups)
        self.conv_out = conv3(channels, 2 * config.latent)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_in(x)
        for level in self.down:
            h = level(h)
        out: Tensor = self.conv_out(F.silu(self.norm_out(self.mid(h))))
        return out


class Decoder(nn.Module):
    """Latents ``[B, latent, h, w]`` -> pictures ``[B, 3, h f, w f]``."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        channels = config.width * config.mults[-1]
        self.conv_in = conv3(config.latent, channels)
        self.mid = Middle(channels, config.groups)
        levels: list[nn.Module] = []
        for i, mult in reversed(list(enumerate(config.mults))):
            level = Resolution(channels, config.width * mult, config.decoder_blocks, config.groups)
            channels = config.width * mult
            if i:
                level.upsample = Upsample(channels)
            levels.insert(0, level)
        self.up = nn.ModuleList(levels)
        self.norm_out = group_norm(channels, config.groups)
        self.conv_out = conv3(channels, config.colours)

    def forward(self, z: Tensor) -> Tensor:
        h = self.mid(self.conv_in(z))
        for level in reversed(self.up):
            h = level(h)
        out: Tensor = self.conv_out(F.silu(self.norm_out(h)))
        return out


class AutoencoderKL(nn.Module):
    """``encode`` gives the mean of the latent distribution, ``decode`` the picture."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        if config.embed:
            self.quant_conv = nn.Conv2d(2 * config.latent, 2 * config.embed, 1)
            self.post_quant_conv = nn.Conv2d(config.embed, config.latent, 1)

    def moments(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (clamped to -30..20) of the latents of pictures in -1..1."""
        h = self.encoder(pictures.contiguous(memory_format=torch.channels_last))
        if self.config.embed:
            h = self.quant_conv(h)
        mean, logvar = torch.chunk(h, 2, dim=1)
        return mean, logvar.clamp(-30.0, 20.0)

    def encode(self, pictures: Tensor) -> Tensor:
        """Latents (the mean, no randomness) of pictures in -1..1."""
        return self.moments(pictures)[0]

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures of latents; nominally in -1..1, not clamped."""
        latents = latents.contiguous(memory_format=torch.channels_last)
        h = self.post_quant_conv(latents) if self.config.embed else latents
        out: Tensor = self.decoder(h)
        return out

    def forward(self, pictures: Tensor) -> Tensor:
        """Encode and decode."""
        return self.decode(self.encode(pictures))
