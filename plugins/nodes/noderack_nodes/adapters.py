"""LoRAs and their kin, put on models and text encoders."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from noderack_nodes.errors import NodeInputError
from noderack_nodes.places import model_names, model_path, reads
from noderack_nodes.sockets import CLIP, MODEL, Inputs, Mappings, Node, choice, flag, number, text

_STRENGTH = number(1.0, -100.0, 100.0)
log = logging.getLogger(__name__)


def _inputs(*, clip: bool) -> dict[str, Any]:
    handles = {"model": MODEL, "clip": CLIP} if clip else {"model": MODEL}
    strengths = ("strength_model", "strength_clip") if clip else ("strength_model",)
    return {**handles, "lora_name": (model_names("loras"),), **dict.fromkeys(strengths, _STRENGTH)}


@reads(lora_name="loras")
class LoraLoader(Node):
    """A LoRA on model and text encoder."""

    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("MODEL", "CLIP")
    CATEGORY = "loaders"
    FUNCTION = "load_lora"
    BYPASS: ClassVar[bool] = False

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The LoRA files in the model folders now."""
        return {"required": _inputs(clip=True)}

    def load_lora(
        self, model: Any, clip: Any, lora_name: str, strength_model: float, strength_clip: float
    ) -> tuple[Any, Any]:
        """New handles; those that came in stay as they are."""
        found, _ = applied([(model, strength_model), (clip, strength_clip)], lora_name, bypass=self.BYPASS)
        return found[0], found[1]


@reads(lora_name="loras")
class LoraLoaderModelOnly(Node):
    """A LoRA on the model alone."""

    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("MODEL",)
    CATEGORY = "loaders"
    FUNCTION = "load_lora_model_only"
    BYPASS: ClassVar[bool] = False

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The LoRA files in the model folders now."""
        return {"required": _inputs(clip=False)}

    def load_lora_model_only(self, model: Any, lora_name: str, strength_model: float) -> tuple[Any]:
        """A new handle; the one that came in stays as it is."""
        found, _ = applied([(model, strength_model)], lora_name, bypass=self.BYPASS)
        return (found[0],)


class LoraLoaderBypass(LoraLoader):
    """A LoRA beside the weights of model and text encoder, for weights that are kept in few bits."""

    EXPERIMENTAL = True
    BYPASS = True


class LoraLoaderBypassModelOnly(LoraLoaderModelOnly):
    """A LoRA beside the weights of the model alone, for weights that are kept in few bits."""

    EXPERIMENTAL = True
    BYPASS = True


class NoderackLoraBlocks(Node):
    """A LoRA with a strength for each block, beside or in the weights, and what became of it in words."""

    RETURN_TYPES = ("MODEL", "CLIP", "STRING")
    RETURN_NAMES = ("model", "clip", "report")
    CATEGORY = "loaders"
    FUNCTION = "load_lora"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The LoRA files in the model folders now."""
        more = {
            "blocks": text(
                default="", placeholder="OUT:0.5, IN08:0, MID:1 … or a list of 12, 17, 20 or 26 numbers"
            ),
            "bypass": flag(False),
            "compat": choice("exact", "comfy"),
        }
        return {"required": {**_inputs(clip=True), **more}}

    def load_lora(
        self,
        model: Any,
        clip: Any,
        lora_name: str,
        strength_model: float,
        strength_clip: float,
        blocks: str = "",
        bypass: bool = False,
        compat: str = "exact",
    ) -> tuple[Any, Any, str]:
        """`BASE` is the text encoder; blocks that are not named keep the full strength. `comfy` repeats what
        that host does where it departs from an algorithm (DoRA by rows, OFT).
        """
        rows = [(model, strength_model), (clip, strength_clip)]
        found, said = applied(rows, lora_name, bypass=bypass, blocks=blocks, compat=compat)
        return found[0], found[1], said


class HypernetworkLoader(Node):
    """A hypernetwork beside the attention of a model."""

    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("MODEL",)
    CATEGORY = "loaders"
    FUNCTION = "load_hypernetwork"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The hypernetworks in the model folders now."""
        names = (model_names("hypernetworks"),)
        return {
            "required": {
                "model": MODEL,
                "hypernetwork_name": names,
                "strength": number(1.0, -10.0, 10.0),
            }
        }

    def load_hypernetwork(self, model: Any, hypernetwork_name: str, strength: float) -> tuple[Any]:
        """In the form of the A1111 program (.pt)."""
        from noderack_diffusion.hypernetwork import load_hypernetwork

        changed, patch = model.clone(), load_hypernetwork(model_path("hypernetworks", hypernetwork_name))
        changed.set_model_attn1_patch(patch.at(strength))
        changed.set_model_attn2_patch(patch.at(strength))
        return (changed,)


class LoraModelLoader(Node):
    """A LoRA that was trained or made in this very workflow, on a model."""

    EXPERIMENTAL = True
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": MODEL,
            "lora": ("LORA_MODEL",),
            "strength_model": _STRENGTH,
            "bypass": flag(False),
        }
    }
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("MODEL",)
    CATEGORY = "loaders"
    FUNCTION = "load_lora_model"

    def load_lora_model(
        self, model: Any, lora: Any, strength_model: float, bypass: bool = False
    ) -> tuple[Any]:
        """`lora` is a table of tensors under the names that files have."""
        from noderack_diffusion.lora import lora_of, patches_for

        if strength_model == 0:
            return (model,)
        patches, report = patches_for(lora_of(lora), model, strength_model, bypass=bypass)
        if not report.matched:
            raise NodeInputError(f"this LoRA changes nothing here. {report.sentence()}")
        return (model.with_patches(patches),)


class SaveLoRANode(Node):
    """A LoRA that was trained or made in this very workflow, into a file."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "lora": ("LORA_MODEL",),
            "prefix": ("STRING", {"default": "loras/ComfyUI_trained_lora"}),
        },
        "optional": {"steps": ("INT", {"forceInput": True})},
    }
    CATEGORY = "loaders"
    FUNCTION = "save"
    OUTPUT_NODE = True

    def save(self, lora: Any, prefix: str, steps: int | None = None) -> dict[str, Any]:
        """In the output folder; `steps` goes into the file's name."""
        from noderack_diffusion.saving import save_tensors

        from noderack_nodes.merging import write

        write(prefix if steps is None else f"{prefix}_{steps}_steps", lambda path: save_tensors(path, lora))
        return {}


def applied(
    handles: list[tuple[Any, float]],
    lora_name: str,
    *,
    bypass: bool = False,
    blocks: str = "",
    compat: str = "exact",
) -> tuple[list[Any], str]:
    """The handles with an adapter on them, and what became of it.

    Raises NodeInputError for a file whose changes all find nothing, or do not fit.
    """
    from noderack_diffusion.blocks import block_factors
    from noderack_diffusion.lora import load_lora, patches_for

    wanted = [(handle, strength) for handle, strength in handles if handle is not None and strength != 0]
    if not wanted:
        return [handle for handle, _ in handles], f"{lora_name}: at strength 0"
    lora, factor = load_lora(model_path("loras", lora_name)), block_factors(blocks)
    found, reports = [], []
    for handle, strength in handles:
        if handle is None or strength == 0:
            found.append(handle)
            continue
        patches, report = patches_for(lora, handle, strength, compat=compat, bypass=bypass, factor=factor)
        found.append(_with_embeddings(handle.with_patches(patches), lora.bundles))
        reports.append(report)
    said = "\n".join(report.sentence() for report in reports)
    if not any(report.matched or report.elsewhere for report in reports):
        raise NodeInputError(f"this LoRA changes nothing here. {said}")
    if any(report.unmatched or report.mismatched or report.zero or report.strange for report in reports):
        log.warning("%s", said)
    return found, said


def _with_embeddings(handle: Any, bundles: Any) -> Any:
    """Text encoders that know the textual inversions of an adapter file by their names."""
    if not bundles or not hasattr(handle, "with_embeddings"):
        return handle
    from noderack_diffusion.inversion import WithBundles

    return handle.with_embeddings(WithBundles(bundles, handle.embeddings))


NODES: Mappings = {
    node.__name__: node
    for node in (
        *(LoraLoader, LoraLoaderModelOnly, LoraLoaderBypass, LoraLoaderBypassModelOnly),
        *(NoderackLoraBlocks, HypernetworkLoader, LoraModelLoader, SaveLoRANode),
    )
}
NAMES = {
    "LoraLoader": "Load LoRA",
    "LoraLoaderBypass": "Load LoRA (Bypass)",
    "LoraLoaderBypassModelOnly": "Load LoRA (Bypass, Model Only)",
    "NoderackLoraBlocks": "Load LoRA (Blocks)",
    "LoraModelLoader": "Load LoRA Model",
    "SaveLoRANode": "Save LoRA Weights",
}
