"""Colour grading as small steps on tensors [..., 3] in 0..1; each returns its input itself when neutral."""

import colorsys
import math

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.2126, 0.7152, 0.0722)


def luma_of(image: Tensor) -> Tensor:
    """Brightness [..., 1] by the weights of Rec. 709."""
    return (image @ image.new_tensor(LUMA))[..., None]


def expose(image: Tensor, stops: float) -> Tensor:
    """Doubles the light once per stop, in linear light; values near 1 roll off instead of being cut."""
    if stops == 0:
        return image
    light = image.clamp_min(0.0) ** 2.2 * 2.0**stops
    if stops > 0:
        knee = 0.8
        over = (light - knee).clamp_min(0.0)
        rolled = knee + (1.0 - knee) * (1.0 - torch.exp(-over / (1.0 - knee)))
        light = torch.where(light > knee, rolled, light)
    return torch.pow(light, 1.0 / 2.2)


def balance(image: Tensor, temperature: float, tint: float) -> Tensor:
    """Warmer (red) or cooler (blue), tint to magenta or green; mid-grey keeps its brightness."""
    if temperature == 0 and tint == 0:
        return image
    gains = image.new_tensor([1 + 0.25 * temperature, 1 - 0.15 * tint, 1 - 0.25 * temperature])
    return image * (gains / (gains @ gains.new_tensor(LUMA)))


def contrast(image: Tensor, amount: float, pivot: float) -> Tensor:
    """Spreads values around `pivot`: 1 changes nothing, 0 leaves flat grey."""
    return image if amount == 1 else pivot + (image - pivot) * amount


def lift_gamma_gain(image: Tensor, lift: float, gamma: float, gain: float) -> Tensor:
    """Raises blacks, bends mid-tones, scales whites; (0, 1, 1) changes nothing."""
    if (lift, gamma, gain) == (0, 1, 1):
        return image
    lifted = image * (gain - lift) + lift
    return lifted if gamma == 1 else lifted.clamp_min(0.0) ** (1.0 / gamma)


def saturate(image: Tensor, saturation: float, vibrance: float) -> Tensor:
    """Scales colour around its brightness; vibrance acts most on the pixels that have the least colour."""
    if saturation == 1 and vibrance == 0:
        return image
    luma = luma_of(image)
    spread = image.amax(-1, keepdim=True) - image.amin(-1, keepdim=True)
    factor = saturation * (1.0 + vibrance * (1.0 - spread.clamp(0.0, 1.0)))
    return luma + (image - luma) * factor


def split_tone(
    image: Tensor,
    *,
    shadow_hue: float,
    shadow_strength: float,
    highlight_hue: float,
    highlight_strength: float,
    midpoint: float,
) -> Tensor:
    """Mixes one hue (degrees) into what is darker than `midpoint` and another into what is brighter."""
    if shadow_strength == 0 and highlight_strength == 0:
        return image
    luma = luma_of(image)
    bright = torch.sigmoid((luma - midpoint) * 8.0)
    shift = _hue_shift(image, shadow_hue) * shadow_strength * (1.0 - bright)
    shift = shift + _hue_shift(image, highlight_hue) * highlight_strength * bright
    # Black stays black and white stays white: there is no room for colour at either end.
    return (image + shift * 4.0 * luma * (1.0 - luma)).clamp(0.0, 1.0)


def _hue_shift(image: Tensor, hue: float) -> Tensor:
    """The direction of a hue, with no brightness of its own."""
    colour = image.new_tensor(colorsys.hsv_to_rgb((hue % 360.0) / 360.0, 1.0, 1.0))
    return 0.5 * (colour - luma_of(colour))


def blur(image: Tensor, radius: float) -> Tensor:
    """Gaussian blur of [B, H, W, C] with a deviation of `radius` pixels; edges are continued."""
    reach = max(1, math.ceil(3 * radius))
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=image.device) / radius) ** 2).to(
        image.dtype
    )
    taps = taps / taps.sum()
    channels = image.shape[-1]
    planes = image.permute(0, 3, 1, 2)
    for shape, padding in (((1, 1, 1, -1), (reach, reach, 0, 0)), ((1, 1, -1, 1), (0, 0, reach, reach))):
        kernel = taps.view(shape).repeat(channels, 1, 1, 1)
        planes = F.conv2d(F.pad(planes, padding, mode="replicate"), kernel, groups=channels)
    return planes.permute(0, 2, 3, 1)


def halation(image: Tensor, *, amount: float, threshold: float, radius: float, hue: float) -> Tensor:
    """Adds the glow of light above `threshold`, scattered by `radius` pixels, of `hue` in degrees."""
    if amount == 0:
        return image
    light = ((luma_of(image) - threshold) / max(1e-3, 1.0 - threshold)).clamp(0.0, 1.0)
    glow = blur(light, radius) * (1.0 - light)
    colour = image.new_tensor(colorsys.hsv_to_rgb((hue % 360.0) / 360.0, 0.85, 1.0))
    glow = amount * glow * colour
    return image + glow - image * glow  # "screen": approaches white, never passes it


def vignette(image: Tensor, *, amount: float, midpoint: float, roundness: float, feather: float) -> Tensor:
    """Scales brightness by distance from the centre: `amount` above 0 darkens, below 0 brightens corners."""
    if amount == 0:
        return image
    height, width = image.shape[-3:-1]
    y = torch.linspace(-1, 1, height, device=image.device, dtype=image.dtype)[:, None]
    x = torch.linspace(-1, 1, width, device=image.device, dtype=image.dtype)[None, :]
    aspect = width / height
    stretch = aspect**roundness
    distance = torch.sqrt((x * math.sqrt(stretch)) ** 2 + (y / math.sqrt(stretch)) ** 2) / math.sqrt(2)
    edge = ((distance - midpoint) / max(1e-3, feather)).clamp(0.0, 1.0)
    fall = edge * edge * (3.0 - 2.0 * edge)
    return (image * (1.0 - amount * fall)[..., None]).clamp(0.0, 1.0)
