"""CONDITIONING: pictures that a model draws after, which are no latents of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from noderack_nodes.conditioning import with_options
from noderack_nodes.sockets import CONDITIONING, IMAGE, Conditioning, Inputs, Latent, Mappings, Node, number

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor

_CELLS = 4


class SD_4XUpscale_Conditioning(Node):
    """A small picture that the upscaler of Stable Diffusion 2 draws four times as large."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "images": IMAGE,
            "positive": CONDITIONING,
            "negative": CONDITIONING,
            "scale_ratio": number(4.0, 0.0, 10.0),
            "noise_augmentation": number(0.0, 0.0, 1.0, 0.001),
        }
    }
    RETURN_TYPES = ("CONDITIONING", "CONDITIONING", "LATENT")
    RETURN_NAMES: ClassVar[tuple[str, ...]] = ("positive", "negative", "latent")
    CATEGORY = "conditioning/upscale_diffusion"
    FUNCTION = "encode"

    def encode(
        self,
        images: Tensor,
        positive: Conditioning,
        negative: Conditioning,
        scale_ratio: float,
        noise_augmentation: float,
    ) -> tuple[Conditioning, Conditioning, Latent]:
        """`scale_ratio` is how much larger the result is; noise lets the model invent more."""
        import torch

        from noderack_nodes.resize import resize

        wide, high = (max(1, round(side * scale_ratio)) // _CELLS for side in images.shape[2:0:-1])
        wide, high = max(1, wide), max(1, high)
        small = resize(images.movedim(-1, 1)[:, :3] * 2.0 - 1.0, wide, high, "bilinear", "center")
        told: dict[str, Any] = {"concat_image": small, "noise_augmentation": noise_augmentation}
        yes, no = (with_options(conditioning, **told) for conditioning in (positive, negative))
        return yes, no, {"samples": torch.zeros(images.shape[0], 4, high, wide)}


class NoderackDepthConditioning(Node):
    """A map of depths that the depth model of Stable Diffusion 2 draws after."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"positive": CONDITIONING, "negative": CONDITIONING, "depth": IMAGE}
    }
    RETURN_TYPES = ("CONDITIONING", "CONDITIONING")
    RETURN_NAMES: ClassVar[tuple[str, ...]] = ("positive", "negative")
    CATEGORY = "conditioning/depth"
    FUNCTION = "encode"

    def encode(
        self, positive: Conditioning, negative: Conditioning, depth: Tensor
    ) -> tuple[Conditioning, Conditioning]:
        """Bright is near, of any range and size, as nodes that estimate depth draw it."""
        grey = depth[..., :3].mean(dim=-1)[:, None]
        return with_options(positive, concat_depth=grey), with_options(negative, concat_depth=grey)


NODES: Mappings = {
    "SD_4XUpscale_Conditioning": SD_4XUpscale_Conditioning,
    "NoderackDepthConditioning": NoderackDepthConditioning,
}
NAMES = {"NoderackDepthConditioning": "Depth Conditioning"}
