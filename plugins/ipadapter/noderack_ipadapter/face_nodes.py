"""Nodes for faces, under the names and with the sockets that workflows have for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from noderack_ipadapter.nodes import COMBINE, END, SCALING, START, Inputs, files_of, masked, path_of, weight
from noderack_ipadapter.presets import FACES
from noderack_ipadapter.weighing import TYPES

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


class IPAdapterInsightFaceLoader:
    """The face recognition of the package insightface, where it is installed."""

    CATEGORY = "ipadapter/loaders"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("INSIGHTFACE",)
    FUNCTION = "load_insightface"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """Where it computes, and which of its models."""
        return {
            "required": {
                "provider": (["CPU", "CUDA", "ROCM"],),
                "model_name": (["buffalo_l", "antelopev2"],),
            }
        }

    def load_insightface(self, provider: str, model_name: str = "buffalo_l") -> tuple[Any]:
        """Its models lie in models/insightface."""
        from noderack_ipadapter.faces import insight

        return (insight(provider, model_name),)


class IPAdapterFaceID:
    """The face of a picture as a prompt."""

    CATEGORY = "ipadapter/faceid"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("MODEL", "IMAGE")
    RETURN_NAMES: ClassVar[tuple[str, ...]] = ("MODEL", "face_image")
    FUNCTION = "apply_ipadapter"
    EACH: ClassVar[bool] = False

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """As the advanced node, with how much the second version of the plus form takes from CLIP."""
        return {
            "required": {
                "model": ("MODEL",),
                "ipadapter": ("IPADAPTER",),
                "image": ("IMAGE",),
                "weight": weight(3),
                "weight_faceidv2": weight(5),
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
                "insightface": ("INSIGHTFACE",),
            },
        }

    def apply_ipadapter(
        self,
        model: Any,
        ipadapter: Any,
        image: Tensor,
        weight: float,
        weight_faceidv2: float,
        weight_type: str,
        start_at: float,
        end_at: float,
        combine_embeds: str = "concat",
        embeds_scaling: str = "V only",
        attn_mask: Tensor | None = None,
        clip_vision: Any = None,
        insightface: Any = None,
        **_: Any,
    ) -> tuple[Any, Tensor]:
        """Also gives the faces as they were cut out. The LoRA that comes with such an adapter is loaded with
        `LoraLoaderModelOnly`, or by the unified loader.
        """
        from noderack_ipadapter.apply import Wish
        from noderack_ipadapter.faces import found_in, put_faces

        known = insightface if insightface is not None else ipadapter.extra.get("insightface")
        faces, cut = found_in(known, image, ipadapter)
        wish = Wish(weight, weight_type, start_at, end_at, embeds_scaling, each=self.EACH)
        how = {"scale": weight_faceidv2, "combine": combine_embeds, "mask": masked(attn_mask)}
        return put_faces(model, ipadapter, faces, wish, picture=cut, vision=clip_vision, **how), cut


class IPAAdapterFaceIDBatch(IPAdapterFaceID):
    """For each picture of a batch the face of one picture."""

    EACH = True


class NoderackFaceID:
    """Faces as prompts, by the vectors that a face recognition model made of them."""

    CATEGORY = "ipadapter/faceid"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("MODEL",)
    FUNCTION = "apply_ipadapter"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """Vectors [faces, 512], and the faces as pictures for adapters that look through CLIP too."""
        faces = IPAdapterFaceID.INPUT_TYPES()
        required = {k: v for k, v in faces["required"].items() if k not in ("image", "combine_embeds")}
        optional = {"image": ("IMAGE",), "attn_mask": ("MASK",), "clip_vision": ("CLIP_VISION",)}
        return {"required": {**required, "faces": ("EMBEDS",)}, "optional": optional}

    def apply_ipadapter(
        self,
        model: Any,
        ipadapter: Any,
        faces: Tensor,
        weight: float,
        weight_faceidv2: float,
        weight_type: str,
        start_at: float,
        end_at: float,
        embeds_scaling: str = "V only",
        image: Tensor | None = None,
        attn_mask: Tensor | None = None,
        clip_vision: Any = None,
    ) -> tuple[Any]:
        """`image` shows the face alone, upright, as it was cut out to be recognised."""
        from noderack_ipadapter.apply import Wish
        from noderack_ipadapter.faces import put_faces

        wish = Wish(weight, weight_type, start_at, end_at, embeds_scaling)
        how = {"scale": weight_faceidv2, "mask": masked(attn_mask), "vision": clip_vision}
        return (put_faces(model, ipadapter, faces, wish, picture=image, **how),)


class IPAdapterUnifiedLoaderFaceID:
    """An adapter of faces with all that belongs to it: its LoRA, an image tower, face recognition."""

    CATEGORY = "ipadapter/faceid"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("MODEL", "IPADAPTER")
    RETURN_NAMES: ClassVar[tuple[str, ...]] = ("MODEL", "ipadapter")
    FUNCTION = "load_models"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The presets."""
        return {
            "required": {
                "model": ("MODEL",),
                "preset": (list(FACES),),
                "lora_strength": ("FLOAT", {"default": 0.6, "min": 0, "max": 1, "step": 0.01}),
                "provider": (["CPU", "CUDA", "ROCM", "DirectML", "OpenVINO", "CoreML"],),
            },
            "optional": {"ipadapter": ("IPADAPTER",)},
        }

    def load_models(
        self,
        model: Any,
        preset: str,
        lora_strength: float = 0.6,
        provider: str = "CPU",
        ipadapter: Any = None,
    ) -> tuple[Any, Any]:
        """Files are found by the names under which they are published."""
        from dataclasses import replace

        from noderack_diffusion.vision import load_vision

        from noderack_ipadapter.faces import insight
        from noderack_ipadapter.files import IPAdapterError, load_adapter
        from noderack_ipadapter.presets import face_files

        chosen = face_files(preset, sdxl=model.spec.unet.context == 2048)
        if chosen is None:
            raise IPAdapterError(
                f"there is no adapter of the preset {preset!r} for {model.spec.family.title}"
            )
        adapter = load_adapter(_like("ipadapter", chosen.adapter, preset))
        if chosen.lora and lora_strength:
            model = _with_lora(model, _like("loras", chosen.lora, preset), lora_strength)
        tower = None if chosen.tower is None else load_vision(_like("clip_vision", chosen.tower, preset))
        extra = {"insightface": insight(provider, "buffalo_l")}
        return model, replace(adapter, vision=tower, extra=extra)


def _like(category: str, pattern: str, preset: str) -> Path:
    from noderack_ipadapter.files import IPAdapterError
    from noderack_ipadapter.presets import file_like

    name = file_like(pattern, files_of(category))
    if name is None:
        raise IPAdapterError(f"models/{category}/ holds no file for the preset {preset!r} ({pattern})")
    return path_of(category, name)


def _with_lora(model: Any, path: Path, strength: float) -> Any:
    from noderack_diffusion.lora import load_lora, patches_for

    patches, _ = patches_for(load_lora(path), model, strength)
    return model.with_patches(patches)


NODES: tuple[type, ...] = (
    *(IPAdapterUnifiedLoaderFaceID, IPAdapterInsightFaceLoader),
    *(IPAdapterFaceID, IPAAdapterFaceIDBatch, NoderackFaceID),
)
NAMES = {
    "IPAdapterUnifiedLoaderFaceID": "IPAdapter Unified Loader FaceID",
    "IPAdapterInsightFaceLoader": "IPAdapter InsightFace Loader",
    "IPAdapterFaceID": "IPAdapter FaceID",
    "IPAAdapterFaceIDBatch": "IPAdapter FaceID Batch",
    "NoderackFaceID": "IPAdapter Faces by Vectors",
}
