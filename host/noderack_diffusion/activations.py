"""How much memory a pass of a network takes beside its weights, told from its numbers and the sizes given.

Each network is walked as its ``forward`` walks, and what tensors are alive at once is added up; that takes
microseconds, so it is asked at every pass. The counts are of numbers, not bytes. They hold for devices whose
attention never has all its scores in memory, which is so for torch's kernels on processors and on CUDA; what
a library takes for itself (cuDNN's workspaces) is not in them and comes out of a device's reserve.

``tests/diffusion/test_activations.py`` holds them against tensors that were counted while the networks ran.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from noderack_diffusion.clip import Tall
from noderack_diffusion.unet import NO_ATTENTION, NO_MIDDLE, UNetConfig
from noderack_diffusion.vae import VaeConfig

Size = tuple[int, int]
"""Height and width."""
_GATED = 16
"""A transformer at its peak (feed-forward), in tensors of its width: the input three times (as the residual
block gave it, as the transformer has it, as the block has it), a norm, eight of the gate, four of
its product.
"""
_VECTORS = 40
"""Small vectors of the time, in widths."""
_MORE = 16
"""One part in so many is added for what is small and not followed."""
_PIXELS, _SEEN = 64, 16
"""Pixels of a ControlNet's picture to one cell of the latent; channels of its first layers."""


@dataclass(slots=True)
class _Walk:
    """Numbers that are alive, and the most that were."""

    now: int = 0
    most: int = 0

    def peak(self, more: int) -> None:
        """For a moment there are ``more`` beside what is alive."""
        self.most = max(self.most, self.now + more)

    def keep(self, more: int) -> None:
        """There are ``more`` (or fewer) from here on."""
        self.now += more
        self.most = max(self.most, self.now)


def unet(config: UNetConfig, batch: int, size: Size, tokens: int, steered: bool = False) -> int:
    """For latents ``[batch, in, *size]`` and a text of ``tokens``. ``steered``: packs look into layers."""
    walk, sizes = _Walk(_given(config, batch, size, tokens)), list(_sizes(config, size))
    skips = _first_half(walk, config, batch, sizes, tokens)
    widths = [config.width * level.mult for level in config.levels]
    channels = skips[-1] // (batch * _area(sizes[-1]))
    _middle(walk, config, batch, sizes[-1], channels, tokens)
    for i, level in reversed(list(enumerate(config.levels))):
        cells = batch * _area(sizes[i])
        for j, depth in enumerate(level.up):
            skip = skips.pop()
            joined = channels * cells + skip
            walk.keep(joined)  # what is joined, beside its parts
            grown = batch * _area(sizes[i - 1]) if i and j == len(level.up) - 1 else 0
            _stage(walk, config, joined // cells, widths[i], cells, depth, tokens * batch, grown)
            walk.keep((grown or cells) * widths[i] - 2 * joined)
            channels = widths[i]
    walk.peak(2 * channels * batch * _area(size))
    return _rounded(walk.most + (4 * channels * batch * _area(size) if steered else 0))


def control(config: UNetConfig, batch: int, size: Size, tokens: int, hint: int = 3) -> int:
    """For a ControlNet: the first half of a U-Net, and a picture of eight times the size."""
    walk, sizes = _Walk(_given(config, batch, size, tokens)), list(_sizes(config, size))
    pixels = batch * _area(size) * _PIXELS
    walk.now += hint * pixels
    walk.peak(max(2 * _SEEN, hint + _SEEN) * pixels)
    walk.keep(config.width * batch * _area(size))
    skips = _first_half(walk, config, batch, sizes, tokens)  # their copies are what it gives
    walk.keep(max(skips))
    _middle(walk, config, batch, sizes[-1], skips[-1] // (batch * _area(sizes[-1])), tokens)
    return _rounded(walk.most)


def decode(config: VaeConfig, cells: Size) -> int:
    """For one latent ``[1, latent, *cells]`` that becomes a picture."""
    area, channels = _area(cells), config.width * config.mults[-1]
    walk = _Walk(config.latent * area)
    walk.keep(2 * channels * area)
    _low(walk, channels, area)
    for i, mult in reversed(list(enumerate(config.mults))):
        wide = config.width * mult
        _blocks(walk, channels, wide, config.decoder_blocks, area)
        channels = wide
        if i:
            walk.peak(9 * channels * area)  # doubled, and convolved
            walk.keep(4 * channels * area)
            walk.now -= channels * area
            area *= 4
    walk.peak(2 * channels * area)
    return _rounded(walk.most)


def encode(config: VaeConfig, pixels: Size) -> int:
    """For one picture ``[1, colours, *pixels]`` that becomes a latent."""
    area, channels = _area(pixels), config.width
    walk = _Walk(config.colours * area)
    walk.keep(channels * area)
    for i, mult in enumerate(config.mults):
        wide = config.width * mult
        _blocks(walk, channels, wide, config.encoder_blocks, area)
        channels = wide
        if i < len(config.mults) - 1:
            walk.peak(2 * channels * area)
            walk.now -= channels * area - channels * (area // 4)
            area //= 4
    _low(walk, channels, area)
    return _rounded(walk.most)


def tower(config: Tall, batch: int, tokens: int) -> int:
    """For ``[batch, tokens]`` of text or of a picture's patches."""
    state = batch * tokens * config.width
    wide = batch * tokens * config.inner * (3 if config.quick_gelu else 2)
    return _rounded(2 * state + max(6 * state, 3 * state + wide))


def _given(config: UNetConfig, batch: int, size: Size, tokens: int) -> int:
    """What goes in, and the small vectors beside."""
    latents = 3 * config.in_channels * batch * _area(size)
    return latents + batch * (tokens * config.context + config.adm + _VECTORS * config.width)


def _sizes(config: UNetConfig, size: Size) -> Iterator[Size]:
    """The size of each level; an odd side is halved upwards."""
    high, wide = size
    for _ in config.levels:
        yield high, wide
        high, wide = -(-high // 2), -(-wide // 2)


def _first_half(walk: _Walk, config: UNetConfig, batch: int, sizes: list[Size], tokens: int) -> list[int]:
    """The numbers of each skip, all of which stay."""
    channels = config.width
    skips = [channels * batch * _area(sizes[0])]
    walk.keep(skips[0])
    for i, level in enumerate(config.levels):
        cells = batch * _area(sizes[i])
        if i:
            skips.append(channels * cells)
            walk.keep(skips[-1])
        for depth in level.down:
            wide = config.width * level.mult
            _stage(walk, config, channels, wide, cells, depth, tokens * batch)
            channels = wide
            skips.append(channels * cells)
            walk.keep(skips[-1])
    return skips


def _middle(walk: _Walk, config: UNetConfig, batch: int, size: Size, channels: int, tokens: int) -> None:
    """What stands between the halves; its output stays."""
    cells = batch * _area(size)
    if config.middle != NO_MIDDLE:
        _stage(walk, config, channels, channels, cells, max(config.middle, 0), tokens * batch)
        if config.middle != NO_ATTENTION:
            walk.peak(4 * channels * cells)
    walk.keep(channels * cells)


def _stage(
    walk: _Walk,
    config: UNetConfig,
    inner: int,
    outer: int,
    cells: int,
    depth: int,
    words: int,
    grown: int = 0,
) -> None:
    """A residual block, its transformers, and a change to ``grown`` cells; keys and values of words stay."""
    walk.peak(max(2 * inner, inner + outer, 3 * outer) * cells)
    if depth:
        walk.keep(2 * depth * outer * words)
        walk.peak(_GATED * outer * cells)
    if grown:
        walk.peak(outer * (cells + 2 * grown))


def _blocks(walk: _Walk, inner: int, outer: int, count: int, area: int) -> None:
    """The residual blocks of one resolution; ``inner`` channels of a cell are there before, ``outer`` after.
    The first one's input stays until the last is through.
    """
    walk.peak(max(inner + outer, 3 * outer) * area)
    if count > 1:
        walk.peak(4 * outer * area)
    walk.now += (outer - inner) * area


def _low(walk: _Walk, channels: int, area: int) -> None:
    """The lowest resolution with its attention."""
    walk.peak(7 * channels * area)


def _rounded(numbers: int) -> int:
    return numbers + numbers // _MORE


def _area(size: Size) -> int:
    return size[0] * size[1]
