"""`latent_preview`: progress of sampling, with or without a picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from comfy.cli_args import LatentPreviewMethod, args
from noderack_compat.missing import gap

__getattr__ = gap(__name__)
__all__ = ["LatentPreviewMethod", "args"]

MAX_PREVIEW_RESOLUTION = 512


class LatentPreviewer:
    """Turns a latent into a picture to show; the plain one shows none."""

    def decode_latent_to_preview(self, x0: Any) -> Any:
        return None

    def decode_latent_to_preview_image(self, preview_format: str, x0: Any) -> Any:
        image = self.decode_latent_to_preview(x0)
        return None if image is None else (preview_format, image, MAX_PREVIEW_RESOLUTION)


class Latent2RGBPreviewer(LatentPreviewer):
    """A rough picture from a table of latent channels to colours."""

    def __init__(self, latent_rgb_factors: Any, latent_rgb_factors_bias: Any = None, *_: Any) -> None:
        import torch

        self.factors = torch.tensor(latent_rgb_factors).T
        self.bias = None if latent_rgb_factors_bias is None else torch.tensor(latent_rgb_factors_bias)

    def decode_latent_to_preview(self, x0: Any) -> Any:
        import torch
        from PIL import Image

        latent = x0[0] if x0.ndim == 4 else x0[0, :, 0]
        bias = None if self.bias is None else self.bias.to(latent)
        picture = torch.nn.functional.linear(latent.movedim(0, -1), self.factors.to(latent), bias)
        pixels = ((picture + 1.0) * 127.5).clamp(0, 255).to(torch.uint8).cpu().numpy()
        return Image.fromarray(pixels)


def get_previewer(device: Any, latent_format: Any) -> LatentPreviewer | None:
    factors = getattr(latent_format, "latent_rgb_factors", None)
    return (
        Latent2RGBPreviewer(factors, getattr(latent_format, "latent_rgb_factors_bias", None))
        if factors
        else None
    )


def prepare_callback(
    model: Any, steps: int, x0_output_dict: dict[str, Any] | None = None
) -> Callable[..., None]:
    """A sampler's callback that reports each step to the host."""
    from comfy.utils import ProgressBar

    bar = ProgressBar(steps)

    def callback(step: int, x0: Any, x: Any, total_steps: int) -> None:
        if x0_output_dict is not None:
            x0_output_dict["x0"] = x0
        bar.update_absolute(step + 1, total_steps, None)

    return callback
