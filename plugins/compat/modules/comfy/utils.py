"""`comfy.utils`: progress, pictures, tiles, files of tensors, names in state dicts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from noderack_compat.missing import gap
from noderack_host.running import current_or_none
from noderack_nodes.resize import bislerp
from PIL import Image
from torch import Tensor

__getattr__ = gap(__name__)

PROGRESS_BAR_ENABLED = True
PROGRESS_BAR_HOOK: Callable[..., Any] | None = None


def set_progress_bar_enabled(enabled: bool) -> None:
    globals()["PROGRESS_BAR_ENABLED"] = enabled


def set_progress_bar_global_hook(function: Callable[..., Any] | None) -> None:
    globals()["PROGRESS_BAR_HOOK"] = function


class ProgressBar:
    """Reports a node's progress to the host; `preview` is (format, picture, largest side)."""

    def __init__(self, total: float, node_id: str | None = None) -> None:
        self.total = total
        self.current: float = 0
        self.node_id = node_id
        self.hook = PROGRESS_BAR_HOOK

    def update_absolute(self, value: float, total: float | None = None, preview: Any = None) -> None:
        self.total = self.total if total is None else total
        self.current = min(value, self.total)
        running = current_or_none()
        if self.hook is not None:
            self.hook(self.current, self.total, preview)
        elif running is not None:
            running.progress(self.current, self.total, preview)

    def update(self, value: float) -> None:
        self.update_absolute(self.current + value)


# Files


def load_torch_file(
    ckpt: str, safe_load: bool = False, device: Any = None, return_metadata: bool = False
) -> Any:
    """The tensors of a file. A pickle is read as plain data or not at all: its code never runs."""
    where = device or torch.device("cpu")
    metadata: dict[str, str] | None = None
    if str(ckpt).lower().endswith((".safetensors", ".sft")):
        from safetensors import safe_open

        with safe_open(str(ckpt), framework="pt", device=str(where)) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            metadata = file.metadata()
    else:
        tensors = torch.load(ckpt, map_location=where, weights_only=True)
        tensors = tensors.get("state_dict", tensors) if isinstance(tensors, dict) else tensors
    return (tensors, metadata) if return_metadata else tensors


def save_torch_file(sd: dict[str, Tensor], ckpt: str, metadata: dict[str, str] | None = None) -> None:
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in sd.items()}, ckpt, metadata=metadata)


def safetensors_header(safetensors_path: str, max_size: int = 100 << 20) -> bytes | None:
    """The header of a safetensors file as bytes, None when it is larger than `max_size`."""
    with Path(safetensors_path).open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        return file.read(size) if size <= max_size else None


# State dicts and attributes


def calculate_parameters(sd: dict[str, Tensor], prefix: str = "") -> int:
    return sum(tensor.nelement() for name, tensor in sd.items() if name.startswith(prefix))


def weight_dtype(sd: dict[str, Tensor], prefix: str = "") -> torch.dtype | None:
    """The dtype that most of the weights have."""
    sizes: dict[torch.dtype, int] = {}
    for name, tensor in sd.items():
        if name.startswith(prefix):
            sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.numel()
    return max(sizes, key=lambda dtype: sizes[dtype]) if sizes else None


def state_dict_key_replace(state_dict: dict[str, Any], keys_to_replace: dict[str, str]) -> dict[str, Any]:
    for old, new in keys_to_replace.items():
        if old in state_dict:
            state_dict[new] = state_dict.pop(old)
    return state_dict


def state_dict_prefix_replace(
    state_dict: dict[str, Any], replace_prefix: dict[str, str], filter_keys: bool = False
) -> dict[str, Any]:
    """Renames by beginnings, in place; with `filter_keys` into a new dict that holds nothing else."""
    out: dict[str, Any] = {} if filter_keys else state_dict
    for old, new in replace_prefix.items():
        for name in [name for name in state_dict if name.startswith(old)]:
            out[new + name[len(old) :]] = state_dict.pop(name)
    return out


def get_attr(obj: Any, attr: str) -> Any:
    for part in attr.split("."):
        obj = getattr(obj, part)
    return obj


def set_attr(obj: Any, attr: str, value: Any) -> Any:
    """Sets a dotted attribute and gives what was there."""
    *path, last = attr.split(".")
    owner = get_attr(obj, ".".join(path)) if path else obj
    before = getattr(owner, last)
    setattr(owner, last, value)
    return before


def set_attr_param(obj: Any, attr: str, value: Tensor) -> Any:
    return set_attr(obj, attr, torch.nn.Parameter(value, requires_grad=False))


def copy_to_param(obj: Any, attr: str, value: Tensor) -> None:
    get_attr(obj, attr).data.copy_(value)


def _both(*names: str) -> list[str]:
    return [f"{name}.{part}" for name in names for part in ("weight", "bias")]


# How the parts of a UNet are called in its own layout and in that of diffusers.
UNET_MAP_ATTENTIONS = set(_both("proj_in", "proj_out", "norm"))
TRANSFORMER_BLOCKS = {
    *_both("norm1", "norm2", "norm3", "attn1.to_out.0", "attn2.to_out.0", "ff.net.0.proj", "ff.net.2"),
    *(f"attn{number}.to_{part}.weight" for number in (1, 2) for part in "qkv"),
}
UNET_MAP_RESNET = {
    f"{own}.{part}": f"{theirs}.{part}"
    for own, theirs in {
        "in_layers.2": "conv1",
        "emb_layers.1": "time_emb_proj",
        "out_layers.3": "conv2",
        "skip_connection": "conv_shortcut",
        "in_layers.0": "norm1",
        "out_layers.0": "norm2",
    }.items()
    for part in ("weight", "bias")
}
UNET_MAP_BASIC = {
    (f"{own}.{part}", f"{theirs}.{part}")
    for own, theirs in {
        "label_emb.0.0": "class_embedding.linear_1",
        "label_emb.0.2": "class_embedding.linear_2",
        "input_blocks.0.0": "conv_in",
        "out.0": "conv_norm_out",
        "out.2": "conv_out",
        "time_embed.0": "time_embedding.linear_1",
        "time_embed.2": "time_embedding.linear_2",
    }.items()
    for part in ("weight", "bias")
}


# Pictures


def repeat_to_batch_size(tensor: Tensor, batch_size: int, dim: int = 0) -> Tensor:
    if tensor.shape[dim] > batch_size:
        return tensor.narrow(dim, 0, batch_size)
    if tensor.shape[dim] < batch_size:
        repeats = [1] * tensor.ndim
        repeats[dim] = math.ceil(batch_size / tensor.shape[dim])
        return tensor.repeat(repeats).narrow(dim, 0, batch_size)
    return tensor


def resize_to_batch_size(tensor: Tensor, batch_size: int) -> Tensor:
    """A batch of another size: rows taken evenly over it."""
    have = tensor.shape[0]
    if have == batch_size or batch_size <= 1:
        return tensor[:batch_size]
    shorter = (have - 1) / (batch_size - 1)
    rows = [
        round(place * shorter) if batch_size < have else int((place + 0.5) * have / batch_size)
        for place in range(batch_size)
    ]
    return tensor[[min(row, have - 1) for row in rows]]


def pack_latents(latents: Any) -> tuple[Tensor, list[Any]]:
    """Several latents as one `[B, 1, n]`, and their shapes."""
    return torch.cat([one.flatten(1).unsqueeze(1) for one in latents], dim=-1), [one.shape for one in latents]


def unpack_latents(combined_latent: Tensor, latent_shapes: Any) -> list[Tensor]:
    """And back; a single one is left as it is."""
    if len(latent_shapes) < 2:
        return [combined_latent]
    lengths = [math.prod(shape[1:]) for shape in latent_shapes]
    parts = combined_latent[..., : sum(lengths)].split(lengths, dim=-1)
    return [p.reshape(p.shape[0], *shape[1:]) for p, shape in zip(parts, latent_shapes, strict=True)]


def lanczos(samples: Tensor, width: int, height: int) -> Tensor:
    """Resizes [B, C, H, W] as Pillow does, over 8 bits."""
    pictures = [
        Image.fromarray(np.clip(255.0 * s.movedim(0, -1).cpu().numpy(), 0, 255).astype(np.uint8).squeeze())
        for s in samples
    ]
    resized = [
        np.asarray(p.resize((width, height), Image.Resampling.LANCZOS), dtype=np.float32) / 255.0
        for p in pictures
    ]
    tensors = [torch.from_numpy(a if a.ndim == 3 else a[..., None]).movedim(-1, 0) for a in resized]
    return torch.stack(tensors).to(samples.device, samples.dtype)


def common_upscale(samples: Tensor, width: int, height: int, upscale_method: str, crop: str) -> Tensor:
    """Resizes [B, C, H, W] (or [B, C, T, H, W]); `crop="center"` cuts to the new shape's aspect first."""
    shape = samples.shape
    if samples.ndim > 4:
        samples = samples.movedim(2, 1).reshape(-1, shape[1], *shape[-2:])
    if crop == "center":
        samples = _cut_to_aspect(samples, width / height)
    if upscale_method == "bislerp":
        done = bislerp(samples, width, height)
    elif upscale_method == "lanczos":
        done = lanczos(samples, width, height)
    else:
        done = torch.nn.functional.interpolate(samples, size=(height, width), mode=upscale_method)
    if len(shape) == 4:
        return done
    return done.reshape(shape[0], -1, shape[1], height, width).movedim(2, 1)


def _cut_to_aspect(samples: Tensor, aspect: float) -> Tensor:
    height, width = samples.shape[-2:]
    x = round((width - width * (aspect / (width / height))) / 2) if width / height > aspect else 0
    y = round((height - height * ((width / height) / aspect)) / 2) if width / height < aspect else 0
    return samples.narrow(-2, y, height - y * 2).narrow(-1, x, width - x * 2)


def reshape_mask(input_mask: Tensor, output_shape: Any) -> Tensor:
    """A mask of any shape as [B, C, *output_shape[2:]]."""
    dims = len(output_shape) - 2
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[dims]
    mask = (
        input_mask.reshape((-1, 1, *input_mask.shape[-dims:])) if input_mask.ndim < dims + 2 else input_mask
    )
    mask = torch.nn.functional.interpolate(mask, size=tuple(output_shape[2:]), mode=mode)
    if mask.shape[1] < output_shape[1]:
        mask = mask.repeat((1, output_shape[1], *[1] * dims))[:, : output_shape[1]]
    return repeat_to_batch_size(mask, output_shape[0])


# Tiles


def get_tiled_scale_steps(width: int, height: int, tile_x: int, tile_y: int, overlap: int) -> int:
    rows = 1 if height <= tile_y else math.ceil((height - overlap) / (tile_y - overlap))
    columns = 1 if width <= tile_x else math.ceil((width - overlap) / (tile_x - overlap))
    return rows * columns


def _starts(size: int, tile: int, overlap: int) -> list[int]:
    if size <= tile:
        return [0]
    return [max(0, min(size - tile, at)) for at in range(0, size - overlap, tile - overlap)]


@torch.inference_mode()
def tiled_scale_multidim(
    samples: Tensor,
    function: Callable[[Tensor], Tensor],
    tile: Any = (64, 64),
    overlap: Any = 8,
    upscale_amount: Any = 4,
    out_channels: int = 3,
    output_device: Any = "cpu",
    downscale: bool = False,
    index_formulas: Any = None,
    pbar: ProgressBar | None = None,
) -> Tensor:
    """Calls `function` on overlapping tiles and blends what comes back, with soft edges."""
    dims = len(tile)
    overlaps = list(overlap) if isinstance(overlap, (list, tuple)) else [overlap] * dims
    amounts = list(upscale_amount) if isinstance(upscale_amount, (list, tuple)) else [upscale_amount] * dims

    def scaled(axis: int, value: float) -> int:
        amount = amounts[axis]
        if callable(amount):
            return int(amount(value))
        return round(value / amount if downscale else value * amount)

    size = [scaled(axis, samples.shape[axis + 2]) for axis in range(dims)]
    results = []
    for sample in samples.split(1):
        out = torch.zeros((1, out_channels, *size), device=output_device)
        weight = torch.zeros_like(out)
        for corner in itertools.product(
            *(_starts(s, t, o) for s, t, o in zip(sample.shape[2:], tile, overlaps, strict=True))
        ):
            part = sample
            for axis, start in enumerate(corner):
                part = part.narrow(axis + 2, start, min(tile[axis], sample.shape[axis + 2] - start))
            done = function(part).to(output_device)
            mask = _feathered(done, [scaled(axis, overlaps[axis]) for axis in range(dims)])
            place = (
                ...,
                *(slice(at := scaled(axis, corner[axis]), at + done.shape[axis + 2]) for axis in range(dims)),
            )
            out[place] += done * mask
            weight[place] += mask
            if pbar is not None:
                pbar.update(1)
        results.append(out / weight)
    return torch.cat(results)


def _feathered(tile: Tensor, reach: list[int]) -> Tensor:
    """A weight for each pixel of a tile: rising over `reach` pixels from its edges."""
    mask = torch.ones_like(tile)
    for axis, feather in enumerate(reach):
        if feather >= tile.shape[axis + 2]:
            continue
        for step in range(feather):
            level = (step + 1) / feather
            mask.narrow(axis + 2, step, 1).mul_(level)
            mask.narrow(axis + 2, tile.shape[axis + 2] - 1 - step, 1).mul_(level)
    return mask


def tiled_scale(
    samples: Tensor,
    function: Callable[[Tensor], Tensor],
    tile_x: int = 64,
    tile_y: int = 64,
    overlap: int = 8,
    upscale_amount: float = 4,
    out_channels: int = 3,
    output_device: Any = "cpu",
    pbar: ProgressBar | None = None,
) -> Tensor:
    return tiled_scale_multidim(
        samples, function, (tile_y, tile_x), overlap, upscale_amount, out_channels, output_device, pbar=pbar
    )


def string_to_seed(data: str) -> int:
    """A number for a text, by CRC-32."""
    import binascii

    return binascii.crc32(data.encode())


def pil_images(batch: Tensor) -> Iterator[Image.Image]:
    """Pictures of a batch [B, H, W, C]."""
    for picture in batch:
        yield Image.fromarray(np.clip(255.0 * picture.cpu().numpy(), 0, 255).astype(np.uint8))
