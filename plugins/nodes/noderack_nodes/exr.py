"""OpenEXR files of one picture: 32-bit floats, 16 lines to a block, each zip-packed.

Source: the file layout that openexr.com publishes. Colours are linear light there, so what a picture's
numbers mean is undone first.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

_MAGIC, _VERSION = 20000630, 2
_FLOAT, _ZIP, _LINES = 2, 3, 16
_LONGEST_NAME = 31
_CHANNELS = {1: "Y", 3: "RGB", 4: "RGBA"}
_REC709 = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329)
_REC2020 = (0.708, 0.292, 0.17, 0.797, 0.131, 0.046, 0.3127, 0.329)
PRIMARIES = {"sRGB": _REC709, "linear": _REC709, "HDR": _REC2020}
"""Where the primaries and white lie in the CIE diagram, by what the picture's numbers are."""


def linear(image: torch.Tensor, space: str) -> torch.Tensor:
    """[H, W, C] as linear light: from sRGB (IEC 61966-2-1) or HLG (BT.2100); transparency stays."""
    colour, alpha = image[..., :3], image[..., 3:]
    if space == "sRGB":
        curve = ((colour.clamp(min=0.0) + 0.055) / 1.055) ** 2.4
        colour = torch.where(colour <= 0.04045, colour / 12.92, curve)
    elif space == "HDR":
        curve = (torch.exp((colour.clamp(min=0.5) - 0.55991072928) / 0.17883277) + 0.28466892) / 12.0
        colour = torch.where(colour <= 0.5, colour**2 / 3.0, curve)
    return torch.cat([colour, alpha], dim=-1)


def write_exr(path: Path, image: torch.Tensor, space: str, told: Mapping[str, str]) -> None:
    """Write one picture [H, W, C] whose numbers are in ``space``; ``told`` become text attributes."""
    pixels = linear(image.float().cpu(), space).numpy().astype("<f4")
    header = _header(pixels.shape, PRIMARIES[space], told)
    blocks = [_block(pixels, y) for y in range(0, pixels.shape[0], _LINES)]
    at = len(header) + 8 * len(blocks)
    offsets = []
    for block in blocks:
        offsets.append(at)
        at += len(block)
    path.write_bytes(b"".join([header, struct.pack(f"<{len(blocks)}Q", *offsets), *blocks]))


def _header(shape: tuple[int, ...], primaries: tuple[float, ...], told: Mapping[str, str]) -> bytes:
    height, width, count = shape
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    one = struct.pack("<iB3xii", _FLOAT, 0, 1, 1)
    channels = b"".join(name.encode() + b"\0" + one for name in sorted(_CHANNELS[count])) + b"\0"
    attributes = [
        ("channels", "chlist", channels),
        ("compression", "compression", bytes([_ZIP])),
        ("dataWindow", "box2i", window),
        ("displayWindow", "box2i", window),
        ("lineOrder", "lineOrder", b"\0"),
        ("pixelAspectRatio", "float", struct.pack("<f", 1.0)),
        ("screenWindowCenter", "v2f", struct.pack("<2f", 0.0, 0.0)),
        ("screenWindowWidth", "float", struct.pack("<f", 1.0)),
        ("chromaticities", "chromaticities", struct.pack("<8f", *primaries)),
        *((key, "string", text.encode()) for key, text in told.items() if len(key) <= _LONGEST_NAME),
    ]
    packed = (f"{key}\0{kind}\0".encode() + struct.pack("<i", len(v)) + v for key, kind, v in attributes)
    return struct.pack("<ii", _MAGIC, _VERSION) + b"".join(packed) + b"\0"


def _block(pixels: NDArray[np.float32], y: int) -> bytes:
    """Some lines: of each line all of one channel, then all of the next, by their names' order."""
    names = _CHANNELS[pixels.shape[2]]
    order = [names.index(name) for name in sorted(names)]
    raw = np.ascontiguousarray(pixels[y : y + _LINES, :, order].transpose(0, 2, 1)).tobytes()
    packed = zlib.compress(_smoothed(raw))
    data = packed if len(packed) < len(raw) else raw
    return struct.pack("<ii", y, len(data)) + data


def _smoothed(raw: bytes) -> bytes:
    """Every other byte first, then as differences, which pack better."""
    whole = np.frombuffer(raw, np.uint8)
    dealt = np.concatenate([whole[::2], whole[1::2]]).astype(np.int16)
    dealt[1:] = dealt[1:] - dealt[:-1] + 128
    return (dealt & 255).astype(np.uint8).tobytes()
