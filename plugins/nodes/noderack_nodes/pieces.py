"""Latents and images cut, put side by side, and dealt out into batches of another size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from noderack_nodes.latent_batch import indices
from noderack_nodes.sockets import (
    IMAGE,
    LATENT,
    MAX_RESOLUTION,
    Inputs,
    Latent,
    Mappings,
    Node,
    combo,
    integer,
)

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor

_AXES = {"x": -1, "y": -2, "t": -3}
_SIZE = {"batch_size": integer(1, 1, 4096)}


class LatentConcat(Node):
    """Two latents side by side."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "samples1": LATENT,
            "samples2": LATENT,
            "dim": combo("x", "-x", "y", "-y", "t", "-t"),
        }
    }
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "latent/advanced"

    def run(self, samples1: Latent, samples2: Latent, dim: str) -> tuple[Latent]:
        """The second after the first along `dim`, or with a minus before it."""
        import torch

        from noderack_nodes.batches import to_batch

        one = samples1["samples"]
        both = [one, to_batch(samples2["samples"], len(one))]
        if dim.startswith("-"):
            both.reverse()
        return ({**samples1, "samples": torch.cat(both, dim=_AXES[dim[-1]])},)


class LatentCut(Node):
    """A part of a latent along one axis."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "samples": LATENT,
            "dim": combo("x", "y", "t"),
            "index": integer(0, -MAX_RESOLUTION, MAX_RESOLUTION, 1),
            "amount": integer(1, 1, MAX_RESOLUTION, 1),
        }
    }
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "latent/advanced"

    def run(self, samples: Latent, dim: str, index: int, amount: int) -> tuple[Latent]:
        """`amount` cells from `index` on, which counts from the end if it is below 0."""
        cells: Tensor = samples["samples"]
        axis = cells.dim() + _AXES[dim]
        length = cells.shape[axis]
        start = min(index, length - 1) if index >= 0 else max(index, -length)
        left = length - start if start >= 0 else -start
        return ({**samples, "samples": cells.narrow(axis, start, min(left, amount))},)


class LatentCutToBatch(Node):
    """A latent cut along one axis into a batch of pieces."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "samples": LATENT,
            "dim": combo("t", "x", "y"),
            "slice_size": integer(1, 1, MAX_RESOLUTION, 1),
        }
    }
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "model/latent/advanced"

    def run(self, samples: Latent, dim: str, slice_size: int) -> tuple[Latent]:
        """What is left over at the end falls away; a latent that is no video has no "t"."""
        cells: Tensor = samples["samples"]
        axis = cells.dim() + _AXES[dim]
        if axis < 2:
            return (samples,)
        row = cells.movedim(axis, 1)
        size = min(slice_size, row.shape[1])
        row = row[:, : row.shape[1] // size * size]
        return ({**samples, "samples": row.reshape(-1, size, *row.shape[2:]).movedim(1, axis)},)


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along one side; the last ends with the side."""
    step = round(max(tile * 0.25, tile - overlap))
    last = max(0, length - tile)
    found = list(range(0, last, step))
    return [*found, last]


class SplitImageToTileList(Node):
    """An image as a list of tiles that overlap."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image": IMAGE,
            "tile_width": integer(1024, 64, MAX_RESOLUTION),
            "tile_height": integer(1024, 64, MAX_RESOLUTION),
            "overlap": integer(128, 0, 4096),
        }
    }
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image/batch"
    OUTPUT_IS_LIST = (True,)

    def run(self, image: Tensor, tile_width: int, tile_height: int, overlap: int) -> tuple[list[Tensor]]:
        """Row by row; a tile is never smaller than asked unless the image is."""
        _, height, width, _ = image.shape
        rows, columns = _starts(height, tile_height, overlap), _starts(width, tile_width, overlap)
        return ([image[:, y : y + tile_height, x : x + tile_width] for y in rows for x in columns],)


class ImageMergeTileList(Node):
    """Tiles as one image again, blended where they overlap."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image_list": IMAGE,
            "final_width": integer(1024, 64, 32768),
            "final_height": integer(1024, 64, 32768),
            "overlap": integer(128, 0, 4096),
        }
    }
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image/batch"
    INPUT_IS_LIST = True

    def run(
        self, image_list: list[Tensor], final_width: list[int], final_height: list[int], overlap: list[int]
    ) -> tuple[Tensor]:
        """Of tiles in the order of `SplitImageToTileList`, at the size of the first."""
        first = image_list[0]
        batch, high, wide, channels = first.shape
        (width, *_), (height, *_), (shared, *_) = final_width, final_height, overlap
        made = first.new_zeros(batch, height, width, channels)
        weights = first.new_zeros(batch, height, width, 1)
        hill = _hill(first, shared > 0)
        places = [(y, x) for y in _starts(height, high, shared) for x in _starts(width, wide, shared)]
        for (y, x), tile in zip(places, image_list, strict=False):
            part = tile[:, : min(high, height), : min(wide, width)]
            weight = hill[:, : part.shape[1], : part.shape[2]]
            place = (slice(None), slice(y, y + part.shape[1]), slice(x, x + part.shape[2]))
            made[place] += part * weight
            weights[place] += weight
        return (made / weights.where(weights != 0, 1.0),)


def _hill(tile: Tensor, blended: bool) -> Tensor:
    """How much each pixel of a tile counts: [1, H, W, 1], half a sine wave along both sides."""
    import torch

    _, height, width, _ = tile.shape
    if not blended:
        return tile.new_ones(1, height, width, 1)
    y, x = (
        torch.sin(math.pi * torch.linspace(0, 1, side).to(tile)).clamp(min=1e-5) for side in (height, width)
    )
    return (y[:, None] * x)[None, :, :, None]


class RebatchLatents(Node):
    """Any number of latents as batches of one size; latents of different sizes are not put together."""

    INPUTS: ClassVar[Inputs] = {"required": {"latents": LATENT, **_SIZE}}
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "latent/batch"
    FUNCTION = "rebatch"
    INPUT_IS_LIST = True
    OUTPUT_IS_LIST = (True,)

    def rebatch(self, latents: list[Latent], batch_size: list[int]) -> tuple[list[Latent]]:
        """Each latent draws the noise of its place among all."""
        found: list[Latent] = []
        for same in _alike(_singles(latents)):
            for start in range(0, len(same), batch_size[0]):
                found.append(_joined(same[start : start + batch_size[0]]))
        return (found,)


class RebatchImages(Node):
    """Any number of images as batches of one size."""

    INPUTS: ClassVar[Inputs] = {"required": {"images": IMAGE, **_SIZE}}
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image/batch"
    FUNCTION = "rebatch"
    INPUT_IS_LIST = True
    OUTPUT_IS_LIST = (True,)

    def rebatch(self, images: list[Tensor], batch_size: list[int]) -> tuple[list[Tensor]]:
        """Images of different sizes are not put together."""
        import torch

        single = [image[i : i + 1] for image in images for i in range(len(image))]
        found = []
        for start in range(0, len(single), batch_size[0]):
            part = single[start : start + batch_size[0]]
            found += [torch.cat(same) for same in _runs(part)]
        return (found,)


def _runs(images: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    run: list[Tensor] = []
    for image in images:
        if run and image.shape != run[-1].shape:
            yield run
            run = []
        run.append(image)
    if run:
        yield run


def _singles(latents: list[Latent]) -> Iterator[dict[str, Any]]:
    """One latent of a batch after the other, with its mask and the number of its noise."""
    from noderack_nodes.batches import to_batch

    before = 0
    for latent in latents:
        cells: Tensor = latent["samples"]
        numbers = latent.get("batch_index") or [n + before for n in indices(latent)]
        mask = latent.get("noise_mask")
        masks = None if mask is None else to_batch(mask.reshape(-1, 1, *mask.shape[-2:]), len(cells))
        before += len(cells)
        for i, number in enumerate(numbers):
            part = None if masks is None else masks[i : i + 1]
            yield {"samples": cells[i : i + 1], "mask": part, "number": number}


def _alike(singles: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Those that follow each other and have one size."""
    run: list[dict[str, Any]] = []
    for one in singles:
        if run and one["samples"].shape != run[-1]["samples"].shape:
            yield run
            run = []
        run.append(one)
    if run:
        yield run


def _joined(rows: list[dict[str, Any]]) -> Latent:
    """A batch of latents; where some have a mask, the others are drawn whole."""
    import torch

    made: Latent = {"samples": torch.cat([row["samples"] for row in rows])}
    made["batch_index"] = [row["number"] for row in rows]
    size = next((row["mask"].shape[-2:] for row in rows if row["mask"] is not None), None)
    if size is not None:
        whole = torch.ones(1, 1, *size)
        fitted = [whole if row["mask"] is None else _sized(row["mask"], size) for row in rows]
        made["noise_mask"] = torch.cat(fitted)
    return made


def _sized(mask: Tensor, size: Any) -> Tensor:
    from noderack_nodes.batches import mask_like

    return mask if mask.shape[-2:] == size else mask_like(mask, *size)


_ALL = (
    *(LatentConcat, LatentCut, LatentCutToBatch, RebatchLatents, RebatchImages),
    *(SplitImageToTileList, ImageMergeTileList),
)
NODES: Mappings = {node.__name__: node for node in _ALL}
NAMES = {
    "SplitImageToTileList": "Split Image into List of Tiles",
    "ImageMergeTileList": "Merge List of Tiles to Image",
    "RebatchLatents": "Rebatch Latents",
    "RebatchImages": "Rebatch Images",
}
