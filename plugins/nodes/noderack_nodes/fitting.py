"""Images and masks resized in any way that is asked for; images, masks and latents as one batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from noderack_host.v3 import io

from noderack_nodes.errors import NodeInputError
from noderack_nodes.sockets import MAX_RESOLUTION, Latent, Mappings

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor

_METHODS = ("nearest-exact", "bilinear", "area", "bicubic", "lanczos")
Sides = tuple[int, int]
"""Width and height in pixels."""


def _kept(sides: Sides, width: int, height: int) -> Sides:
    """Where one side is 0, what keeps the shape; where both are, the sides that there are."""
    if width == height == 0:
        return sides
    wide, high = sides
    return width or max(1, round(wide * height / high)), height or max(1, round(high * width / wide))


def _longer(sides: Sides, size: int) -> Sides:
    width, height = sides
    return (size, round(height / width * size)) if width > height else (round(width / height * size), size)


def _shorter(sides: Sides, size: int) -> Sides:
    width, height = sides
    return (size, round(height / width * size)) if width < height else (round(width / height * size), size)


def _by(sides: Sides, factor: float) -> Sides:
    return round(sides[0] * factor), round(sides[1] * factor)


def _of_pixels(sides: Sides, megapixels: float) -> Sides:
    return _by(sides, math.sqrt(int(megapixels * 1024 * 1024) / math.prod(sides)))


def _covering(sides: Sides, multiple: int) -> tuple[Sides, Sides]:
    """The multiples below both sides, and the size in this shape that just covers them."""
    wanted = (sides[0] // multiple * multiple, sides[1] // multiple * multiple)
    width, height = wanted[0] / sides[0], wanted[1] / sides[1]
    if width >= height:
        return wanted, (wanted[0], max(wanted[1], math.ceil(sides[1] * width)))
    return wanted, (max(wanted[0], math.ceil(sides[0] * height)), wanted[1])


SIZES: dict[str, Callable[[Sides, dict[str, Any]], Sides]] = {
    "scale dimensions": lambda sides, told: _kept(sides, told["width"], told["height"]),
    "scale by multiplier": lambda sides, told: _by(sides, told["multiplier"]),
    "scale longer dimension": lambda sides, told: _longer(sides, told["longer_size"]),
    "scale shorter dimension": lambda sides, told: _shorter(sides, told["shorter_size"]),
    "scale width": lambda sides, told: _kept(sides, told["width"], 0),
    "scale height": lambda sides, told: _kept(sides, 0, told["height"]),
    "scale total pixels": lambda sides, told: _of_pixels(sides, told["megapixels"]),
    "match size": lambda sides, told: (told["match"].shape[2], told["match"].shape[1]),
}


def _side(name: str, default: int = 512, low: int = 0) -> io.Input:
    made: io.Input = io.Int.Input(name, default=default, min=low, max=MAX_RESOLUTION, step=1)
    return made


def _ways() -> list[Any]:
    crop = io.Combo.Input("crop", options=["disabled", "center"], default="center")
    factor = io.Float.Input("multiplier", default=1.0, min=0.01, max=8.0, step=0.01)
    pixels = io.Float.Input("megapixels", default=1.0, min=0.01, max=16.0, step=0.01)
    brought: dict[str, list[io.Input]] = {
        "scale dimensions": [_side("width"), _side("height"), crop],
        "scale by multiplier": [factor],
        "scale longer dimension": [_side("longer_size")],
        "scale shorter dimension": [_side("shorter_size")],
        "scale width": [_side("width")],
        "scale height": [_side("height")],
        "scale total pixels": [pixels],
        "match size": [io.MultiType.Input("match", [io.Image, io.Mask]), crop],
        "scale to multiple": [_side("multiple", 8, 1)],
    }
    return [io.DynamicCombo.Option(name, inputs) for name, inputs in brought.items()]


class ResizeImageMaskNode(io.ComfyNode):
    """An image or a mask of another size."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Each way to say the size brings its own inputs."""
        kind = io.MatchType.Template("input_type", [io.Image, io.Mask])
        return io.Schema(
            node_id="ResizeImageMaskNode",
            display_name="Resize Image/Mask",
            category="image/transform",
            inputs=[
                io.MatchType.Input("input", template=kind),
                io.DynamicCombo.Input("resize_type", options=_ways()),
                io.Combo.Input("scale_method", options=list(_METHODS), default="area"),
            ],
            outputs=[io.MatchType.Output(template=kind, display_name="resized")],
        )

    @classmethod
    def execute(cls, input: Tensor, resize_type: dict[str, Any], scale_method: str) -> io.NodeOutput:
        """IMAGE [B, H, W, C] or MASK [B, H, W]."""
        sides: Sides = (input.shape[2], input.shape[1])
        way = resize_type["resize_type"]
        if way == "scale to multiple":
            return io.NodeOutput(_to_multiple(input, sides, resize_type["multiple"], scale_method))
        if way not in SIZES:
            raise NodeInputError(f"there is no way {way!r}; there are {', '.join(SIZES)}, scale to multiple")
        crop = resize_type.get("crop", "disabled")
        return io.NodeOutput(resized(input, SIZES[way](sides, resize_type), scale_method, crop))


def resized(image: Tensor, sides: Sides, method: str, crop: str = "disabled") -> Tensor:
    """An IMAGE [B, H, W, C] or a MASK [B, H, W] at a width and a height."""
    from noderack_nodes.resize import resize

    if image.dim() == 4:
        return resize(image.movedim(-1, 1), *sides, method, crop).movedim(1, -1)
    return resize(image.unsqueeze(1), *sides, method, crop).squeeze(1)


def _to_multiple(image: Tensor, sides: Sides, multiple: int, method: str) -> Tensor:
    """Resized so that little is cut off."""
    wanted, covering = _covering(sides, multiple)
    if multiple <= 1 or 0 in wanted or wanted == sides:
        return image
    x, y = (covering[0] - wanted[0]) // 2, (covering[1] - wanted[1]) // 2
    return resized(image, covering, method)[:, y : y + wanted[1], x : x + wanted[0]]


def _batch(node_id: str, shown: str, category: str, kind: Any, name: str) -> io.Schema:
    growing = io.Autogrow.TemplatePrefix(kind.Input(name), prefix=name, min=1, max=50)
    return io.Schema(
        node_id=node_id,
        display_name=shown,
        category=category,
        inputs=[io.Autogrow.Input(f"{name}s", template=growing)],
        outputs=[kind.Output()],
    )


class BatchImagesNode(io.ComfyNode):
    """Up to 50 images, or batches of them, as one batch."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """As many inputs as are linked."""
        return _batch("BatchImagesNode", "Batch Images", "image/batch", io.Image, "image")

    @classmethod
    def execute(cls, images: dict[str, Tensor]) -> io.NodeOutput:
        """All at the size of the first; with transparency if any of them has it."""
        from torch import cat
        from torch.nn.functional import pad

        channels = max(image.shape[-1] for image in images.values())
        opaque = [
            image if image.shape[-1] == channels else pad(image, (0, 1), value=1.0)
            for image in images.values()
        ]
        return io.NodeOutput(cat(_alike(opaque)))


class BatchMasksNode(io.ComfyNode):
    """Up to 50 masks, or batches of them, as one batch."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """As many inputs as are linked."""
        return _batch("BatchMasksNode", "Batch Masks", "image/mask", io.Mask, "mask")

    @classmethod
    def execute(cls, masks: dict[str, Tensor]) -> io.NodeOutput:
        """All at the size of the first."""
        from torch import cat

        return io.NodeOutput(cat(_alike(list(masks.values()))))


class BatchLatentsNode(io.ComfyNode):
    """Up to 50 latents, or batches of them, as one batch."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """As many inputs as are linked."""
        return _batch("BatchLatentsNode", "Batch Latents", "model/latent/batch", io.Latent, "latent")

    @classmethod
    def execute(cls, latents: dict[str, Latent]) -> io.NodeOutput:
        """All at the size of the first; each draws the noise that it had."""
        from torch import cat

        from noderack_nodes.batches import like
        from noderack_nodes.latent_batch import indices

        first, *_ = rows = list(latents.values())
        cells = [like(row["samples"], first["samples"], batch=False) for row in rows]
        numbers = [number for row in rows for number in indices(row)]
        return io.NodeOutput({**first, "samples": cat(cells), "batch_index": numbers})


def _alike(images: list[Tensor]) -> list[Tensor]:
    sides = (images[0].shape[2], images[0].shape[1])
    return [
        image if (image.shape[2], image.shape[1]) == sides else resized(image, sides, "bilinear", "center")
        for image in images
    ]


_ALL: tuple[type[io.ComfyNode], ...] = (
    ResizeImageMaskNode,
    BatchImagesNode,
    BatchMasksNode,
    BatchLatentsNode,
)
NODES: Mappings = {node.__name__: node for node in _ALL}
NAMES: dict[str, str] = {name: node.GET_SCHEMA().display_name or name for name, node in NODES.items()}
