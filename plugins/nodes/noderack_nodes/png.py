"""Pictures as tensors and tensors as PNG files that hold their workflow."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, ImageOps, ImageSequence
from PIL.PngImagePlugin import PngInfo

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor


_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}


def text_chunks(prompt: Any, extra: Mapping[str, Any] | None) -> PngInfo:
    """The PNG text chunks `prompt` and whatever the client sent along, `workflow` first of all, as JSON."""
    chunks = PngInfo()
    if prompt is not None:
        chunks.add_text("prompt", json.dumps(prompt))
    for key, value in (extra or {}).items():
        chunks.add_text(key, json.dumps(value))
    return chunks


def to_picture(image: Tensor) -> Image.Image:
    """One image [H, W, C] in 0..1 as 8-bit pixels; values are clipped and truncated, as other tools do."""
    scaled = (image.detach().to(torch.float32).cpu().numpy() * 255.0).clip(0, 255).astype(np.uint8)
    return Image.fromarray(scaled[:, :, 0] if scaled.shape[2] == 1 else scaled)


def write_png(path: Path, image: Tensor, chunks: PngInfo, compress_level: int) -> None:
    """Write one image [H, W, C] as PNG."""
    to_picture(image).save(path, format="PNG", pnginfo=chunks, compress_level=compress_level)


def write_deep_png(path: Path, image: Tensor, chunks: PngInfo) -> None:
    """Write one image [H, W, C] as PNG with 16 bits a colour, which Pillow writes for grey ones alone."""
    levels = (image.detach().float().cpu().numpy() * 65535.0).clip(0, 65535).astype(">u2")
    height, width, channels = levels.shape
    lines = b"".join(b"\0" + line.tobytes() for line in levels)
    header = struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPES[channels], 0, 0, 0)
    parts = [(b"IHDR", header), *((kind, data) for kind, data, *_ in chunks.chunks)]
    parts += [(b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, parts)))


def _chunk(part: tuple[bytes, bytes]) -> bytes:
    kind, data = part
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def read_picture(path: Path) -> tuple[Tensor, Tensor]:
    """(image [frames, H, W, 3], mask [frames, H, W]); the mask is 1 - alpha, or 64x64 zeros without alpha.

    Frames of another size than the first are left out, for a batch has one size.
    """
    images: list[Tensor] = []
    masks: list[Tensor] = []
    with Image.open(path) as file:
        for frame in ImageSequence.Iterator(file):
            upright = _upright(frame)
            image = _pixels(upright.convert("RGB"))
            if images and images[0].shape != image.shape:
                continue
            images.append(image)
            masks.append(_mask_of(upright))
            if file.format == "MPO":  # a camera's picture with previews behind it: the first is the picture
                break
    return torch.stack(images), torch.stack(masks)


def read_channel(path: Path, channel: str) -> Tensor:
    """One of red, green, blue, alpha as a mask [1, H, W]; alpha is inverted, absent alpha is 64x64 zeros."""
    with Image.open(path) as file:
        picture = _upright(file)
        bands = picture.convert("RGBA") if picture.getbands() != ("R", "G", "B", "A") else picture
        letter = channel[0].upper()
        mask = torch.from_numpy(np.array(bands.getchannel(letter)).astype(np.float32) / 255.0)
    return (1.0 - mask if letter == "A" else mask).unsqueeze(0)


def _upright(frame: Image.Image) -> Image.Image:
    turned = ImageOps.exif_transpose(frame) or frame
    # 32-bit integer pictures hold 0..65535; PIL's own conversion would clip them to white
    return turned.point(lambda value: value * (1 / 255)) if turned.mode == "I" else turned


def _pixels(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture).astype(np.float32) / 255.0)


def _mask_of(picture: Image.Image) -> Tensor:
    if "A" in picture.getbands():
        return 1.0 - _pixels(picture.getchannel("A"))
    if picture.mode == "P" and "transparency" in picture.info:
        return 1.0 - _pixels(picture.convert("RGBA").getchannel("A"))
    return torch.zeros((64, 64), dtype=torch.float32)
