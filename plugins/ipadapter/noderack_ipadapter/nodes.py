"""The nodes, under the names and with the sockets that workflows have for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from noderack_host.running import current, current_or_none

from noderack_ipadapter.presets import PRESETS
from noderack_ipadapter.weighing import TYPES

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

Inputs = dict[str, dict[str, Any]]
SCALING = ["V only", "K+V", "K+V w/ C penalty", "K+mean(V) w/ C penalty"]
COMBINE = ["concat", "add", "subtract", "average", "norm average"]
START = ("FLOAT", {"default": 0.0, "min": 0.0, "max": 1.0, "step": 0.001})
END = ("FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.001})
_SIMPLE = {
    "standard": "linear",
    "prompt is more important": "ease out",
    "style transfer": "style transfer",
}


def weight(most: int, step: float = 0.05, least: float = -1) -> tuple[str, dict[str, Any]]:
    """A weight's socket."""
    return ("FLOAT", {"default": 1.0, "min": least, "max": most, "step": step})


def files_of(category: str) -> list[str]:
    running = current_or_none()
    return [] if running is None or running.folders is None else list(running.folders.files(category))


def path_of(category: str, name: str) -> Path:
    """A file of a model folder; raises IPAdapterError."""
    from noderack_ipadapter.files import IPAdapterError

    folders = current().folders
    path = None if folders is None else folders.find(category, name)
    if path is None:
        raise IPAdapterError(f"there is no file named {name!r} in models/{category}/ of this host")
    return path


class IPAdapterModelLoader:
    """An IP-Adapter from a file in models/ipadapter."""

    CATEGORY = "ipadapter/loaders"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("IPADAPTER",)
    FUNCTION = "load_ipadapter_model"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The files that are there now."""
        return {"required": {"ipadapter_file": (files_of("ipadapter"),)}}

    def load_ipadapter_model(self, ipadapter_file: str) -> tuple[Any]:
        """Basic, plus, plus-face and full-face adapters, for Stable Diffusion 1.5 and SDXL."""
        from noderack_ipadapter.files import load_adapter

        return (load_adapter(path_of("ipadapter", ipadapter_file)),)


class IPAdapterUnifiedLoader:
    """An IP-Adapter and the CLIP vision model that it looks through, by what it should do."""

    CATEGORY = "ipadapter"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("MODEL", "IPADAPTER")
    RETURN_NAMES: ClassVar[tuple[str, ...]] = ("model", "ipadapter")
    FUNCTION = "load_models"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The presets."""
        return {
            "required": {"model": ("MODEL",), "preset": (list(PRESETS),)},
            "optional": {"ipadapter": ("IPADAPTER",)},
        }

    def load_models(self, model: Any, preset: str, ipadapter: Any = None) -> tuple[Any, Any]:
        """Files are found by the names under which they are published; `ipadapter` may bring the tower."""
        from dataclasses import replace

        from noderack_diffusion.vision import load_vision

        from noderack_ipadapter.files import load_adapter

        sdxl = model.spec.unet.context == 2048
        name, tower = _chosen(preset, sdxl)
        adapter = load_adapter(path_of("ipadapter", name))
        path = path_of("clip_vision", tower)
        before = getattr(ipadapter, "extra", {}).get("tower")
        vision = ipadapter.vision if before == str(path) else load_vision(path)
        return model, replace(adapter, vision=vision, extra={"tower": str(path)})


def _chosen(preset: str, sdxl: bool) -> tuple[str, str]:
    from noderack_ipadapter.files import IPAdapterError
    from noderack_ipadapter.presets import adapter_file, tower_file

    family = "SDXL" if sdxl else "Stable Diffusion 1.5"
    try:
        name = adapter_file(preset, files_of("ipadapter"), sdxl=sdxl)
    except KeyError as cause:
        raise IPAdapterError(f"there is no adapter for {family} of the preset {preset!r}") from cause
    tower = tower_file(preset, files_of("clip_vision"))
    if name is None or tower is None:
        lacking = "ipadapter" if name is None else "clip_vision"
        raise IPAdapterError(f"models/{lacking}/ holds no file for the preset {preset!r} and {family}")
    return name, tower


def applied(model: Any, adapter: Any, image: Any, wish: Any, **more: Any) -> tuple[Any]:
    """What the nodes that take pictures do."""
    from noderack_ipadapter.apply import COMBINE as WAYS
    from noderack_ipadapter.apply import put_on, see, see_nothing, tower_of

    vision = tower_of(adapter, more.get("clip_vision"))
    seen = see(adapter, vision, image)
    negative = more.get("image_negative")
    unseen = see_nothing(adapter, vision, seen[:1]) if negative is None else see(adapter, vision, negative)
    composed = more.get("composition")
    other = None if composed is None else see(adapter, vision, composed)
    combine = WAYS[more.get("combine_embeds", "concat")]
    if not wish.each:
        seen, unseen = combine(seen), combine(unseen)
        unseen = unseen.expand(len(seen), *unseen.shape[1:]) if len(unseen) == 1 else unseen
        other = None if other is None else combine(other)
    return (put_on(model, adapter, seen, unseen, wish, masked(more.get("attn_mask")), other),)


def masked(mask: Any) -> Any:
    """A mask as [m, H, W], or None."""
    return mask if mask is None or mask.dim() == 3 else mask[None]


class IPAdapter:
    """A picture as a prompt."""

    CATEGORY = "ipadapter"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("MODEL",)
    FUNCTION = "apply_ipadapter"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The least that is needed."""
        return {
            "required": {
                "model": ("MODEL",),
                "ipadapter": ("IPADAPTER",),
                "image": ("IMAGE",),
                "weight": weight(3),
                "start_at": START,
                "end_at": END,
                "weight_type": (list(_SIMPLE),),
            },
            "optional": {"attn_mask": ("MASK",)},
        }

    def apply_ipadapter(
        self,
        model: Any,
        ipadapter: Any,
        image: Tensor,
        weight: float,
        start_at: float,
        end_at: float,
        weight_type: str,
        attn_mask: Tensor | None = None,
    ) -> tuple[Any]:
        """Several pictures count side by side."""
        from noderack_ipadapter.apply import Wish

        wish = Wish(weight, _SIMPLE[weight_type], start_at, end_at)
        return applied(model, ipadapter, image, wish, attn_mask=attn_mask)


class IPAdapterAdvanced:
    """A picture as a prompt, with all there is to set."""

    CATEGORY = "ipadapter"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("MODEL",)
    FUNCTION = "apply_ipadapter"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """All there is to set."""
        return {
            "required": {
                "model": ("MODEL",),
                "ipadapter": ("IPADAPTER",),
                "image": ("IMAGE",),
                "weight": weight(5),
                "weight_type": (list(TYPES),),
                "combine_embeds": (COMBINE,),
                "start_at": START,
                "end_at": END,
                "embeds_scaling": (SCALING,),
            },
            "optional": {
                "image_negative": ("IMAGE",),
                "attn_mask": ("MASK",),
                "clip_vision": ("CLIP_VISION",),
            },
        }

    def apply_ipadapter(
        self,
        model: Any,
        ipadapter: Any,
        image: Tensor,
        weight: float,
        weight_type: str,
        start_at: float,
        end_at: float,
        embeds_scaling: str = "V only",
        combine_embeds: str = "concat",
        **more: Any,
    ) -> tuple[Any]:
        """`image_negative` is what not to draw; without it, nothing."""
        from noderack_ipadapter.apply import Wish

        wish = Wish(weight, weight_type, start_at, end_at, embeds_scaling)
        return applied(model, ipadapter, image, wish, combine_embeds=combine_embeds, **more)


class IPAdapterBatch:
    """For each picture of a batch one picture as its prompt."""

    CATEGORY = "ipadapter"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("MODEL",)
    FUNCTION = "apply_ipadapter"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """As the advanced node, without ways to combine."""
        inputs = IPAdapterAdvanced.INPUT_TYPES()
        required = {k: v for k, v in inputs["required"].items() if k != "combine_embeds"}
        size = ("INT", {"default": 0, "min": 0, "max": 4096})
        return {"required": {**required, "encode_batch_size": size}, "optional": inputs["optional"]}

    def apply_ipadapter(
        self,
        model: Any,
        ipadapter: Any,
        image: Tensor,
        weight: float,
        weight_type: str,
        start_at: float,
        end_at: float,
        embeds_scaling: str = "V only",
        encode_batch_size: int = 0,
        **more: Any,
    ) -> tuple[Any]:
        """`encode_batch_size` is not needed: pictures are looked at one after the other by the tower."""
        from noderack_ipadapter.apply import Wish

        wish = Wish(weight, weight_type, start_at, end_at, embeds_scaling, each=True)
        return applied(model, ipadapter, image, wish, **more)


class IPAdapterEncoder:
    """What an adapter sees in a picture, to be combined or used more than once."""

    CATEGORY = "ipadapter/embeds"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("EMBEDS", "EMBEDS")
    RETURN_NAMES: ClassVar[tuple[str, ...]] = ("pos_embed", "neg_embed")
    FUNCTION = "encode"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """A picture and how much it counts."""
        return {
            "required": {"ipadapter": ("IPADAPTER",), "image": ("IMAGE",), "weight": weight(3, 0.01, -1.0)},
            "optional": {"mask": ("MASK",), "clip_vision": ("CLIP_VISION",)},
        }

    def encode(
        self,
        ipadapter: Any,
        image: Tensor,
        weight: float,
        mask: Tensor | None = None,
        clip_vision: Any = None,
    ) -> tuple[Tensor, Tensor]:
        """Outside of `mask` the tower sees even grey."""
        from noderack_ipadapter.apply import see, see_nothing, tower_of

        vision = tower_of(ipadapter, clip_vision)
        seen = see(ipadapter, vision, image, masked(mask))
        return seen * weight, see_nothing(ipadapter, vision, seen)


class IPAdapterCombineEmbeds:
    """What was seen in several pictures, as one."""

    CATEGORY = "ipadapter/embeds"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("EMBEDS",)
    FUNCTION = "batch"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """Up to five."""
        return {
            "required": {"embed1": ("EMBEDS",), "method": ([*COMBINE, "max", "min"],)},
            "optional": {f"embed{i}": ("EMBEDS",) for i in range(2, 6)},
        }

    def batch(self, embed1: Tensor, method: str, **others: Tensor) -> tuple[Tensor]:
        """In the order of the inputs."""
        import torch

        from noderack_ipadapter.apply import COMBINE as WAYS

        given = [embed1, *(others[name] for name in sorted(others) if others[name] is not None)]
        return (WAYS[method](torch.cat(given)),)


class IPAdapterEmbeds:
    """An adapter put on a model with what was seen before."""

    CATEGORY = "ipadapter/embeds"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("MODEL",)
    FUNCTION = "apply_ipadapter"
    EACH: ClassVar[bool] = False

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """As the advanced node, with what was seen instead of pictures."""
        return {
            "required": {
                "model": ("MODEL",),
                "ipadapter": ("IPADAPTER",),
                "pos_embed": ("EMBEDS",),
                "weight": weight(3),
                "weight_type": (list(TYPES),),
                "start_at": START,
                "end_at": END,
                "embeds_scaling": (SCALING,),
            },
            "optional": {
                "neg_embed": ("EMBEDS",),
                "attn_mask": ("MASK",),
                "clip_vision": ("CLIP_VISION",),
            },
        }

    def apply_ipadapter(
        self,
        model: Any,
        ipadapter: Any,
        pos_embed: Tensor,
        weight: float,
        weight_type: str,
        start_at: float,
        end_at: float,
        embeds_scaling: str = "V only",
        neg_embed: Tensor | None = None,
        attn_mask: Tensor | None = None,
        clip_vision: Any = None,
    ) -> tuple[Any]:
        """Without `neg_embed` the other side sees nothing."""
        from noderack_ipadapter.apply import Wish, put_on, see_nothing

        if neg_embed is None:
            neg_embed = see_nothing(ipadapter, clip_vision or ipadapter.vision, pos_embed)
        wish = Wish(weight, weight_type, start_at, end_at, embeds_scaling, each=self.EACH)
        return (put_on(model, ipadapter, pos_embed, neg_embed, wish, masked(attn_mask)),)


class PrepImageForClipVision:
    """Pictures made square before an image tower sees them, so that what counts is not cut off."""

    CATEGORY = "ipadapter/utils"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("IMAGE",)
    FUNCTION = "prep_image"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """Where the square lies, and how it is made small."""
        ways = ["LANCZOS", "BICUBIC", "HAMMING", "BILINEAR", "BOX", "NEAREST"]
        return {
            "required": {
                "image": ("IMAGE",),
                "interpolation": (ways,),
                "crop_position": (["top", "bottom", "left", "right", "center", "pad"],),
                "sharpening": ("FLOAT", {"default": 0.0, "min": 0, "max": 1, "step": 0.05}),
            }
        }

    def prep_image(
        self,
        image: Tensor,
        interpolation: str = "LANCZOS",
        crop_position: str = "center",
        sharpening: float = 0.0,
    ) -> tuple[Tensor]:
        """224 pixels each way; `pad` keeps all of the picture on black."""
        from noderack_ipadapter.prepare import prepared

        return (prepared(image, interpolation, crop_position, sharpening),)


NODES: tuple[type, ...] = (
    *(IPAdapterUnifiedLoader, IPAdapterModelLoader, IPAdapter, IPAdapterAdvanced, IPAdapterBatch),
    *(IPAdapterEncoder, IPAdapterCombineEmbeds, IPAdapterEmbeds, PrepImageForClipVision),
)
NAMES = {
    "IPAdapterUnifiedLoader": "IPAdapter Unified Loader",
    "IPAdapterModelLoader": "IPAdapter Model Loader",
    "IPAdapter": "IPAdapter",
    "IPAdapterAdvanced": "IPAdapter Advanced",
    "IPAdapterBatch": "IPAdapter Batch (Adv.)",
    "IPAdapterEncoder": "IPAdapter Encoder",
    "IPAdapterCombineEmbeds": "IPAdapter Combine Embeds",
    "IPAdapterEmbeds": "IPAdapter Embeds",
    "PrepImageForClipVision": "Prep Image For ClipVision",
}
