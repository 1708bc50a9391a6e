"""Nodes for style and composition apart, for regions, and for pictures in tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from noderack_ipadapter.nodes import (
    COMBINE,
    END,
    SCALING,
    START,
    Inputs,
    IPAdapterAdvanced,
    applied,
    masked,
    weight,
)
from noderack_ipadapter.weighing import TYPES

if TYPE_CHECKING:
    from torch import Tensor

Params = dict[str, list[Any]]
_BATCHED = "combine_embeds"


def _with(required: dict[str, Any]) -> Inputs:
    return {"required": required, "optional": IPAdapterAdvanced.INPUT_TYPES()["optional"]}


def _without_combining(inputs: Inputs) -> Inputs:
    return {**inputs, "required": {k: v for k, v in inputs["required"].items() if k != _BATCHED}}


class IPAdapterStyleComposition:
    """The style of one picture, the composition of another."""

    CATEGORY = "ipadapter/style_composition"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("MODEL",)
    FUNCTION = "apply_ipadapter"
    EACH: ClassVar[bool] = False

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """Two pictures, each with its weight."""
        inputs = _with(
            {
                "model": ("MODEL",),
                "ipadapter": ("IPADAPTER",),
                "image_style": ("IMAGE",),
                "image_composition": ("IMAGE",),
                "weight_style": weight(5),
                "weight_composition": weight(5),
                "expand_style": ("BOOLEAN", {"default": False}),
                _BATCHED: (COMBINE, {"default": "average"}),
                "start_at": START,
                "end_at": END,
                "embeds_scaling": (SCALING,),
            }
        )
        return _without_combining(inputs) if cls.EACH else inputs

    def apply_ipadapter(
        self,
        model: Any,
        ipadapter: Any,
        image_style: Tensor,
        image_composition: Tensor,
        weight_style: float,
        weight_composition: float,
        expand_style: bool,
        start_at: float,
        end_at: float,
        embeds_scaling: str = "V only",
        **more: Any,
    ) -> tuple[Any]:
        """`expand_style` lets the style act in all layers that do not carry the composition."""
        from noderack_ipadapter.apply import Wish

        kind = "strong style and composition" if expand_style else "style and composition"
        how = (weight_style, kind, start_at, end_at, embeds_scaling, weight_composition)
        wish = Wish(*how, each=self.EACH)
        return applied(model, ipadapter, image_style, wish, composition=image_composition, **more)


class IPAdapterStyleCompositionBatch(IPAdapterStyleComposition):
    """For each picture of a batch one picture of each."""

    EACH = True


class Precise:
    """One of both, with the other held against what is drawn without the prompt."""

    CATEGORY = "ipadapter/style_composition"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("MODEL",)
    FUNCTION = "apply_ipadapter"
    EACH: ClassVar[bool] = False
    KIND: ClassVar[str] = "style transfer precise"
    BOOST: ClassVar[str] = "style_boost"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """As the advanced node, with a boost in place of the weight type."""
        default = 1.0 if cls.BOOST == "style_boost" else 0.0
        return _with(
            {
                "model": ("MODEL",),
                "ipadapter": ("IPADAPTER",),
                "image": ("IMAGE",),
                "weight": weight(5),
                cls.BOOST: ("FLOAT", {"default": default, "min": -5, "max": 5, "step": 0.05}),
                _BATCHED: (COMBINE,),
                "start_at": START,
                "end_at": END,
                "embeds_scaling": (SCALING,),
            }
        )

    def apply_ipadapter(
        self,
        model: Any,
        ipadapter: Any,
        image: Tensor,
        weight: float,
        start_at: float,
        end_at: float,
        embeds_scaling: str = "V only",
        **more: Any,
    ) -> tuple[Any]:
        """The boost is how strongly the other is held against it."""
        from noderack_ipadapter.apply import Wish

        boost = more.pop(self.BOOST)
        wish = Wish(weight, self.KIND, start_at, end_at, embeds_scaling, each=self.EACH, boost=boost)
        return applied(model, ipadapter, image, wish, **more)


class IPAdapterPreciseStyleTransfer(Precise):
    """The style of a picture, and nothing of its composition."""


class IPAdapterPreciseStyleTransferBatch(Precise):
    """The same, for each picture of a batch one picture."""

    EACH = True


class IPAdapterPreciseComposition(Precise):
    """The composition of a picture, and nothing of its style."""

    KIND, BOOST = "composition precise", "composition_boost"


class IPAdapterPreciseCompositionBatch(IPAdapterPreciseComposition):
    """The same, for each picture of a batch one picture."""

    EACH = True


class IPAdapterTiled:
    """A picture that is no square, in square tiles, each for its part of what is drawn."""

    CATEGORY = "ipadapter/tiled"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("MODEL", "IMAGE", "MASK")
    RETURN_NAMES: ClassVar[tuple[str, ...]] = ("MODEL", "tiles", "masks")
    FUNCTION = "apply_tiled"
    EACH: ClassVar[bool] = False

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """As the advanced node, with sharpening."""
        size = {"encode_batch_size": ("INT", {"default": 0, "min": 0, "max": 4096})} if cls.EACH else {}
        inputs = _with(
            {
                "model": ("MODEL",),
                "ipadapter": ("IPADAPTER",),
                "image": ("IMAGE",),
                "weight": weight(3),
                "weight_type": (list(TYPES),),
                _BATCHED: (COMBINE,),
                "start_at": START,
                "end_at": END,
                "sharpening": ("FLOAT", {"default": 0.0, "min": 0.0, "max": 1.0, "step": 0.05}),
                "embeds_scaling": (SCALING,),
                **size,
            }
        )
        return _without_combining(inputs) if cls.EACH else inputs

    def apply_tiled(
        self,
        model: Any,
        ipadapter: Any,
        image: Tensor,
        weight: float,
        weight_type: str,
        start_at: float,
        end_at: float,
        sharpening: float = 0.0,
        embeds_scaling: str = "V only",
        attn_mask: Tensor | None = None,
        encode_batch_size: int = 0,
        **more: Any,
    ) -> tuple[Any, Tensor, Tensor]:
        """At most four tiles in a row; a picture that is nearly a square becomes two by two."""
        import torch

        from noderack_ipadapter.apply import Wish
        from noderack_ipadapter.prepare import tiles_of

        wish = Wish(weight, weight_type, start_at, end_at, embeds_scaling, each=self.EACH)
        tiles, masks = tiles_of(image, masked(attn_mask), sharpening)
        for tile, mask in zip(tiles, masks, strict=True):
            (model,) = applied(model, ipadapter, tile, wish, attn_mask=mask, **more)
        return model, torch.cat(tiles), torch.cat(masks)


class IPAdapterTiledBatch(IPAdapterTiled):
    """For each picture of a batch one picture in tiles."""

    EACH = True


class IPAdapterRegionalConditioning:
    """A picture and words for one region."""

    CATEGORY = "ipadapter/params"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("IPADAPTER_PARAMS", "CONDITIONING", "CONDITIONING")
    RETURN_NAMES: ClassVar[tuple[str, ...]] = ("IPADAPTER_PARAMS", "POSITIVE", "NEGATIVE")
    FUNCTION = "conditioning"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """A picture with its weight and time, words with theirs, and where."""
        return {
            "required": {
                "image": ("IMAGE",),
                "image_weight": ("FLOAT", {"default": 1.0, "min": -1.0, "max": 3.0, "step": 0.05}),
                "prompt_weight": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 10.0, "step": 0.05}),
                "weight_type": (list(TYPES),),
                "start_at": START,
                "end_at": END,
            },
            "optional": {
                "mask": ("MASK",),
                "positive": ("CONDITIONING",),
                "negative": ("CONDITIONING",),
            },
        }

    def conditioning(
        self,
        image: Tensor,
        image_weight: float,
        prompt_weight: float,
        weight_type: str,
        start_at: float,
        end_at: float,
        mask: Tensor | None = None,
        positive: Any = None,
        negative: Any = None,
    ) -> tuple[Params, Any, Any]:
        """For `IPAdapterFromParams`."""
        told = {"mask": mask, "set_area_to_bounds": False, "mask_strength": prompt_weight}
        sides = (
            None
            if side is None
            else [[text, {**have, **(told if mask is not None else {})}] for text, have in side]
            for side in (positive, negative)
        )
        values = {"image": image, "attn_mask": mask, "weight": image_weight, "weight_type": weight_type}
        params = {key: [value] for key, value in {**values, "start_at": start_at, "end_at": end_at}.items()}
        yes, no = sides
        return params, yes, no


class IPAdapterCombineParams:
    """Several regions together."""

    CATEGORY = "ipadapter/params"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("IPADAPTER_PARAMS",)
    FUNCTION = "combine"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """Up to five."""
        row = ("IPADAPTER_PARAMS",)
        optional = {f"params_{i}": row for i in range(3, 6)}
        return {"required": {"params_1": row, "params_2": row}, "optional": optional}

    def combine(self, **params: Params | None) -> tuple[Params]:
        """In the order of the inputs."""
        given = [one for _, one in sorted(params.items()) if one is not None]
        return ({key: [value for one in given for value in one[key]] for key in given[0]},)


class IPAdapterFromParams:
    """An adapter on a model, with the pictures of regions."""

    CATEGORY = "ipadapter/params"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("MODEL",)
    FUNCTION = "apply_ipadapter"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """What regions do not say."""
        optional = {"image_negative": ("IMAGE",), "clip_vision": ("CLIP_VISION",)}
        return {
            "required": {
                "model": ("MODEL",),
                "ipadapter": ("IPADAPTER",),
                "ipadapter_params": ("IPADAPTER_PARAMS",),
                _BATCHED: (COMBINE,),
                "embeds_scaling": (SCALING,),
            },
            "optional": optional,
        }

    def apply_ipadapter(
        self,
        model: Any,
        ipadapter: Any,
        ipadapter_params: Params,
        combine_embeds: str = "concat",
        embeds_scaling: str = "V only",
        **more: Any,
    ) -> tuple[Any]:
        """One after the other."""
        from noderack_ipadapter.apply import Wish

        names = ("image", "attn_mask", "weight", "weight_type", "start_at", "end_at")
        rows = zip(*(ipadapter_params[name] for name in names), strict=True)
        for image, mask, force, kind, start, end in rows:
            wish = Wish(force, kind, start, end, embeds_scaling)
            told = {"attn_mask": mask, "combine_embeds": combine_embeds, **more}
            (model,) = applied(model, ipadapter, image, wish, **told)
        return (model,)


NODES: tuple[type, ...] = (
    *(IPAdapterStyleComposition, IPAdapterStyleCompositionBatch),
    *(IPAdapterPreciseStyleTransfer, IPAdapterPreciseStyleTransferBatch),
    *(IPAdapterPreciseComposition, IPAdapterPreciseCompositionBatch, IPAdapterTiled, IPAdapterTiledBatch),
    *(IPAdapterRegionalConditioning, IPAdapterCombineParams, IPAdapterFromParams),
)
NAMES = {
    "IPAdapterStyleComposition": "IPAdapter Style & Composition SDXL",
    "IPAdapterStyleCompositionBatch": "IPAdapter Style & Composition Batch SDXL",
    "IPAdapterPreciseStyleTransfer": "IPAdapter Precise Style Transfer",
    "IPAdapterPreciseStyleTransferBatch": "IPAdapter Precise Style Transfer Batch",
    "IPAdapterPreciseComposition": "IPAdapter Precise Composition",
    "IPAdapterPreciseCompositionBatch": "IPAdapter Precise Composition Batch",
    "IPAdapterTiled": "IPAdapter Tiled",
    "IPAdapterTiledBatch": "IPAdapter Tiled Batch",
    "IPAdapterRegionalConditioning": "IPAdapter Regional Conditioning",
    "IPAdapterCombineParams": "IPAdapter Combine Params",
    "IPAdapterFromParams": "IPAdapter from Params",
}
