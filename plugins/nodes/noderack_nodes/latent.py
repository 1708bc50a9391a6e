"""Latents: empty ones, sizes, turns, masks, and their way from and to pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from noderack_nodes.sockets import (
    IMAGE,
    LATENT,
    MASK,
    VAE,
    Inputs,
    Latent,
    Mappings,
    Node,
    choice,
    integer,
    number,
    pixels,
)

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor

METHODS = ("nearest-exact", "bilinear", "area", "bicubic", "bislerp")
PIXELS_PER_LATENT = 8
_TURNS = ("none", "90 degrees", "180 degrees", "270 degrees")
_FLIPS = ("x-axis: vertically", "y-axis: horizontally")


class EmptyLatentImage(Node):
    """Zeros to start from."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "width": pixels(512, 16, 8),
            "height": pixels(512, 16, 8),
            "batch_size": integer(1, 1, 4096),
        }
    }
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "latent"
    FUNCTION = "generate"

    def generate(self, width: int, height: int, batch_size: int = 1) -> tuple[Latent]:
        """[batch, 4, height / 8, width / 8]."""
        import torch

        return ({"samples": torch.zeros([batch_size, 4, height // 8, width // 8])},)


class VAEDecode(Node):
    """Latents to pixels."""

    INPUTS: ClassVar[Inputs] = {"required": {"samples": LATENT, "vae": VAE}}
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "latent"
    FUNCTION = "decode"

    def decode(self, vae: Any, samples: Latent) -> tuple[Tensor]:
        """IMAGE [B, H, W, 3]."""
        return (vae.decode(samples["samples"]),)


class VAEEncode(Node):
    """Pixels to latents."""

    INPUTS: ClassVar[Inputs] = {"required": {"pixels": IMAGE, "vae": VAE}}
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "latent"
    FUNCTION = "encode"

    def encode(self, vae: Any, pixels: Tensor) -> tuple[Latent]:
        """A size that is no multiple of 8 is cut at its edges."""
        return ({"samples": vae.encode(crop_to_grid(pixels)[:, :, :, :3])},)


def crop_to_grid(image: Tensor) -> Tensor:
    """An IMAGE, or a mask as [B, H, W, 1], cut evenly to multiples of 8 pixels."""
    for axis in (1, 2):
        size = image.shape[axis] // PIXELS_PER_LATENT * PIXELS_PER_LATENT
        image = image.narrow(axis, (image.shape[axis] - size) // 2, size)
    return image


class VAEEncodeForInpaint(Node):
    """Pixels to latents with the masked part greyed out, and a noise mask that reaches a little further."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"pixels": IMAGE, "vae": VAE, "mask": MASK, "grow_mask_by": integer(6, 0, 64, 1)}
    }
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "latent/inpaint"
    FUNCTION = "encode"

    def encode(self, vae: Any, pixels: Tensor, mask: Tensor, grow_mask_by: int = 6) -> tuple[Latent]:
        """`grow_mask_by` pixels: the seam is painted as well."""
        image, fitted = fit_mask(pixels, mask)
        grown = _grow(fitted.round(), grow_mask_by) if grow_mask_by else fitted
        grown = grown[:, :, : image.shape[1], : image.shape[2]].round()
        return ({"samples": vae.encode(hide(image, fitted)), "noise_mask": grown},)


def fit_mask(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Image [B, H, W, 3] and mask [B, 1, H, W], both of the same size, a multiple of 8."""
    from noderack_nodes.batches import mask_like

    fitted = mask_like(mask, image.shape[1], image.shape[2])
    return crop_to_grid(image)[:, :, :, :3], crop_to_grid(fitted.movedim(1, -1)).movedim(-1, 1)


def hide(image: Tensor, mask: Tensor) -> Tensor:
    """The image with mid-grey where the mask is set."""
    keep = 1.0 - mask.round().movedim(1, -1)
    return (image - 0.5) * keep + 0.5


def _grow(mask: Tensor, by: int) -> Tensor:
    """Every set pixel becomes a `by` x `by` square."""
    import torch

    kernel = torch.ones((1, 1, by, by))
    return torch.nn.functional.conv2d(mask, kernel, padding=by // 2).clamp(0, 1)


class SetLatentNoiseMask(Node):
    """Only the masked part will be painted."""

    INPUTS: ClassVar[Inputs] = {"required": {"samples": LATENT, "mask": MASK}}
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "latent/inpaint"
    FUNCTION = "set_mask"

    def set_mask(self, samples: Latent, mask: Tensor) -> tuple[Latent]:
        """The mask in pixels; the sampler brings it to the latent's size."""
        return ({**samples, "noise_mask": mask.reshape((-1, 1, mask.shape[-2], mask.shape[-1]))},)


class LatentUpscale(Node):
    """Resizes to a size in pixels; a 0 keeps the aspect ratio."""

    upscale_methods: ClassVar = list(METHODS)
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "samples": LATENT,
            "upscale_method": choice(*METHODS),
            "width": pixels(512, 0, 8),
            "height": pixels(512, 0, 8),
            "crop": choice("disabled", "center"),
        }
    }
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "latent"
    FUNCTION = "upscale"

    def upscale(
        self, samples: Latent, upscale_method: str, width: int, height: int, crop: str
    ) -> tuple[Latent]:
        """At least 64 pixels a side; 0 x 0 gives the latent back as it is."""
        from noderack_nodes.resize import resize

        if width == 0 and height == 0:
            return (samples,)
        old_height, old_width = samples["samples"].shape[-2:]
        wide = width or round(old_width * max(64, height) / old_height)
        high = height or round(old_height * max(64, width) / old_width)
        wide, high = max(64, wide) // 8, max(64, high) // 8
        return ({**samples, "samples": resize(samples["samples"], wide, high, upscale_method, crop)},)


class LatentUpscaleBy(Node):
    """Resizes by a factor."""

    upscale_methods: ClassVar = list(METHODS)
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "samples": LATENT,
            "upscale_method": choice(*METHODS),
            "scale_by": number(1.5, 0.01, 8.0),
        }
    }
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "latent"
    FUNCTION = "upscale"

    def upscale(self, samples: Latent, upscale_method: str, scale_by: float) -> tuple[Latent]:
        """Both sides times `scale_by`, rounded."""
        from noderack_nodes.resize import resize

        height, width = (round(side * scale_by) for side in samples["samples"].shape[-2:])
        return ({**samples, "samples": resize(samples["samples"], width, height, upscale_method)},)


class LatentRotate(Node):
    """Quarter turns, clockwise."""

    INPUTS: ClassVar[Inputs] = {"required": {"samples": LATENT, "rotation": choice(*_TURNS)}}
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "latent/transform"
    FUNCTION = "rotate"

    def rotate(self, samples: Latent, rotation: str) -> tuple[Latent]:
        """Turned by 0, 1, 2 or 3 quarters."""
        import torch

        return (
            {**samples, "samples": torch.rot90(samples["samples"], k=_TURNS.index(rotation), dims=[3, 2])},
        )


class LatentFlip(Node):
    """Mirrored, upside down or left to right."""

    INPUTS: ClassVar[Inputs] = {"required": {"samples": LATENT, "flip_method": choice(*_FLIPS)}}
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "latent/transform"
    FUNCTION = "flip"

    def flip(self, samples: Latent, flip_method: str) -> tuple[Latent]:
        """x turns rows around, y turns columns around."""
        return ({**samples, "samples": samples["samples"].flip(2 if flip_method.startswith("x") else 3)},)


class LatentCrop(Node):
    """A rectangle cut out, in pixels."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "samples": LATENT,
            "width": pixels(512, 64, 8),
            "height": pixels(512, 64, 8),
            "x": pixels(0, 0, 8),
            "y": pixels(0, 0, 8),
        }
    }
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "latent/transform"
    FUNCTION = "crop"

    def crop(self, samples: Latent, width: int, height: int, x: int, y: int) -> tuple[Latent]:
        """A corner too far out moves in, so that at least 8 latent cells remain where there are that many."""
        cells = samples["samples"]
        x, y = min(x // 8, max(0, cells.shape[3] - 8)), min(y // 8, max(0, cells.shape[2] - 8))
        return ({**samples, "samples": cells[:, :, y : y + height // 8, x : x + width // 8]},)


_ALL: tuple[type[Node], ...] = (
    EmptyLatentImage,
    VAEDecode,
    VAEEncode,
    VAEEncodeForInpaint,
    SetLatentNoiseMask,
    LatentUpscale,
    LatentUpscaleBy,
    LatentRotate,
    LatentFlip,
    LatentCrop,
)
NODES: Mappings = {node.__name__: node for node in _ALL}
NAMES = {
    "EmptyLatentImage": "Empty Latent Image",
    "VAEDecode": "VAE Decode",
    "VAEEncode": "VAE Encode",
    "VAEEncodeForInpaint": "VAE Encode (for Inpainting)",
    "SetLatentNoiseMask": "Set Latent Noise Mask",
    "LatentUpscale": "Upscale Latent",
    "LatentUpscaleBy": "Upscale Latent By",
    "LatentRotate": "Rotate Latent",
    "LatentFlip": "Flip Latent",
    "LatentCrop": "Crop Latent",
}
