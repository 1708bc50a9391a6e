"""Weights packed in blocks of a few bits, as GGUF files keep them -> fp32.

Blocks are a tensor of bytes ``[n, bytes of a block]``; each function gives the ``[n, weights of a block]``
that they stand for. Source: the block layouts of the ggml project.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


def _half(raw: Tensor, at: int) -> Tensor:
    """The fp16 number at a byte, as ``[n, 1]``."""
    return raw[:, at : at + 2].contiguous().view(torch.float16).float()


def _halves(raw: Tensor) -> Tensor:
    """Each byte's low four bits, then each byte's high ones."""
    return torch.cat((raw & 15, raw >> 4), dim=-1)


def _bits(raw: Tensor) -> Tensor:
    """Each bit of each byte, the lowest first, as ``[n, 8 * bytes]``."""
    places = torch.arange(8, dtype=torch.uint8, device=raw.device)
    return ((raw[..., None] >> places) & 1).flatten(-2)


def _q4_0(raw: Tensor) -> Tensor:
    return _half(raw, 0) * (_halves(raw[:, 2:]).float() - 8)


def _q4_1(raw: Tensor) -> Tensor:
    return _half(raw, 0) * _halves(raw[:, 4:]).float() + _half(raw, 2)


def _q5_0(raw: Tensor) -> Tensor:
    return _half(raw, 0) * ((_halves(raw[:, 6:]) | _bits(raw[:, 2:6]) << 4).float() - 16)


def _q5_1(raw: Tensor) -> Tensor:
    return _half(raw, 0) * (_halves(raw[:, 8:]) | _bits(raw[:, 4:8]) << 4).float() + _half(raw, 2)


def _q8_0(raw: Tensor) -> Tensor:
    return _half(raw, 0) * raw[:, 2:].view(torch.int8).float()


def _fields(raw: Tensor, width: int, chunk: int) -> Tensor:
    """Bytes in chunks, each chunk read ``8 / width`` times: its lowest ``width`` bits, then the next ones."""
    shifts = torch.arange(0, 8, width, dtype=torch.uint8, device=raw.device)
    parts: Tensor = raw.reshape(len(raw), -1, 1, chunk) >> shifts[:, None]
    fields: Tensor = parts & (2**width - 1)
    return fields.flatten(1)


def _q2_k(raw: Tensor) -> Tensor:
    scales, codes = raw[:, :16], _fields(raw[:, 16:80], 2, 32)
    scale, least = _half(raw, 80) * (scales & 15).float(), _half(raw, 82) * (scales >> 4).float()
    return _spread(codes.float(), scale) - least.repeat_interleave(16, dim=1)


def _q3_k(raw: Tensor) -> Tensor:
    low, high = _halves(raw[:, 96:104]), _fields(raw[:, 104:108], 2, 4)
    scale = _half(raw, 108) * ((low | high << 4).float() - 32)
    top = _fields(raw[:, :32], 1, 32)
    return _spread(_fields(raw[:, 32:96], 2, 32).float() + 4 * top.float() - 4, scale)


def _spread(codes: Tensor, scale: Tensor) -> Tensor:
    """Each scale over its share of the codes."""
    return codes * scale.repeat_interleave(codes.shape[1] // scale.shape[1], dim=1)


def _scales_and_least(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Eight scales and eight least values of six bits each, out of twelve bytes."""
    first, second, third = raw[:, :4], raw[:, 4:8], raw[:, 8:]
    scale = torch.cat((first & 63, third & 15 | first >> 6 << 4), dim=1)
    least = torch.cat((second & 63, third >> 4 | second >> 6 << 4), dim=1)
    return scale.float(), least.float()


def _with_least(raw: Tensor, codes: Tensor) -> Tensor:
    scale, least = _scales_and_least(raw[:, 4:16])
    return _spread(codes.float(), _half(raw, 0) * scale) - (_half(raw, 2) * least).repeat_interleave(
        32, dim=1
    )


def _q4_k(raw: Tensor) -> Tensor:
    return _with_least(raw, _fields(raw[:, 16:], 4, 32))


def _q5_k(raw: Tensor) -> Tensor:
    return _with_least(raw, _fields(raw[:, 48:], 4, 32) | _fields(raw[:, 16:48], 1, 32) << 4)


def _q6_k(raw: Tensor) -> Tensor:
    codes = _fields(raw[:, :128], 4, 64) | _fields(raw[:, 128:192], 2, 32) << 4
    return _spread(codes.float() - 32, _half(raw, 208) * raw[:, 192:208].view(torch.int8).float())


@dataclass(frozen=True, slots=True)
class Packing:
    """One way to pack weights."""

    name: str
    weights: int
    """In a block."""
    size: int
    """Bytes of a block."""
    unpack: Callable[[Tensor], Tensor]


PACKINGS: Mapping[int, Packing] = {
    2: Packing("Q4_0", 32, 18, _q4_0),
    3: Packing("Q4_1", 32, 20, _q4_1),
    6: Packing("Q5_0", 32, 22, _q5_0),
    7: Packing("Q5_1", 32, 24, _q5_1),
    8: Packing("Q8_0", 32, 34, _q8_0),
    10: Packing("Q2_K", 256, 84, _q2_k),
    11: Packing("Q3_K", 256, 110, _q3_k),
    12: Packing("Q4_K", 256, 144, _q4_k),
    13: Packing("Q5_K", 256, 176, _q5_k),
    14: Packing("Q6_K", 256, 210, _q6_k),
}
"""By the number that files have for it."""

PLAIN: Mapping[int, torch.dtype] = {
    0: torch.float32,
    1: torch.float16,
    24: torch.int8,
    25: torch.int16,
    26: torch.int32,
    27: torch.int64,
    28: torch.float64,
    30: torch.bfloat16,
}
"""Dtypes that are not packed."""
