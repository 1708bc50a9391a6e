"""Making batches and shapes of tensors fit each other."""

from __future__ import annotations

import torch

from noderack_nodes.resize import resize


def to_batch(tensor: torch.Tensor, size: int) -> torch.Tensor:
    """Repeat the batch axis as often as needed and cut it to `size`."""
    have = tensor.shape[0]
    if have >= size:
        return tensor[:size]
    times = -(-size // have)
    return tensor.repeat(times, *([1] * (tensor.dim() - 1)))[:size]


def like(samples: torch.Tensor, target: torch.Tensor, *, batch: bool = True) -> torch.Tensor:
    """`samples` [B, C, h, w] resized (bilinear, centre crop) and repeated to the shape of `target`."""
    if samples.shape[1:] != target.shape[1:]:
        samples = resize(samples, target.shape[-1], target.shape[-2], "bilinear", "center")
    return to_batch(samples, target.shape[0]) if batch else samples


def mask_like(mask: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """A MASK [B, H, W] as [B, 1, height, width], bilinear."""
    flat = mask.reshape(-1, 1, mask.shape[-2], mask.shape[-1])
    return torch.nn.functional.interpolate(flat, size=(height, width), mode="bilinear")


def paste(
    destination: torch.Tensor, source: torch.Tensor, x: int, y: int, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """A copy of `destination` [B, C, H, W] with `source` over it at (x, y), through a MASK if any."""
    result = destination.clone()
    source = to_batch(source, destination.shape[0]).to(destination)
    height = min(source.shape[-2], destination.shape[-2] - y)
    width = min(source.shape[-1], destination.shape[-1] - x)
    if height <= 0 or width <= 0:
        return result
    through: torch.Tensor | float = 1.0
    if mask is not None:
        fitted = to_batch(mask_like(mask, source.shape[-2], source.shape[-1]), destination.shape[0])
        through = fitted[..., :height, :width].to(destination)
    under = result[..., y : y + height, x : x + width]
    result[..., y : y + height, x : x + width] = source[..., :height, :width] * through + under * (
        1.0 - through
    )
    return result
