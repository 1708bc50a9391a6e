"""Models and text encoders joined, and written to files."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from noderack_host.save_names import save_name, write_new

from noderack_nodes.places import folder_of
from noderack_nodes.sockets import CLIP, MODEL, VAE, Inputs, Mappings, Node, combo, flag, integer, number

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_RATIO = number(1.0, 0.0, 1.0)
_MULTIPLIER = number(1.0, -10.0, 10.0)
_HIDDEN = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}


class ModelMerge(Node):
    """One model of two."""

    RETURN_TYPES = ("MODEL",)
    CATEGORY = "advanced/model_merging"
    FUNCTION = "merge"


class ModelMergeSimple(ModelMerge):
    """A weighted mean, weight by weight."""

    INPUTS: ClassVar[Inputs] = {"required": {"model1": MODEL, "model2": MODEL, "ratio": _RATIO}}

    def merge(self, model1: Any, model2: Any, ratio: float) -> tuple[Any]:
        """`ratio` of the first, the rest of the second."""
        from noderack_diffusion.merging import blend

        return (blend(model1, model2, lambda name: ratio),)


class ModelMergeBlocks(ModelMerge):
    """A weighted mean with one ratio for each part of the U-Net."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"model1": MODEL, "model2": MODEL, "input": _RATIO, "middle": _RATIO, "out": _RATIO}
    }

    def merge(self, model1: Any, model2: Any, input: float, middle: float, out: float) -> tuple[Any]:
        """How much of the first model; what is in no part goes by `input`."""
        from noderack_diffusion.merging import blend, block_ratio

        return (blend(model1, model2, block_ratio(input, middle, out, default=input)),)


class BlockMerge(ModelMerge):
    """Two models, each part of the U-Net in a proportion of its own."""

    CATEGORY = "advanced/model_merging/model_specific"

    def merge(self, model1: Any, model2: Any, **ratios: float) -> tuple[Any]:
        """How much of the first each part has; the longest beginning of a weight's name counts."""
        from noderack_diffusion.merging import blend, by_block

        return (blend(model1, model2, by_block(ratios)),)


def _blocks(count: int, dot: str) -> Inputs:
    """The parts of a U-Net with so many stages in each half."""
    names = [
        *("time_embed.", "label_emb."),
        *(f"input_blocks.{i}{dot}" for i in range(count)),
        *(f"middle_block.{i}{dot}" for i in range(3)),
        *(f"output_blocks.{i}{dot}" for i in range(count)),
        "out.",
    ]
    return {"required": {"model1": MODEL, "model2": MODEL, **dict.fromkeys(names, _RATIO)}}


class ModelMergeSD1(BlockMerge):
    """Two models of Stable Diffusion 1, part by part."""

    INPUTS: ClassVar[Inputs] = _blocks(12, ".")


class ModelMergeSD2(ModelMergeSD1):
    """Two models of Stable Diffusion 2, part by part."""


class ModelMergeSDXL(BlockMerge):
    """Two models of SDXL, part by part."""

    INPUTS: ClassVar[Inputs] = _blocks(9, "")


class ModelMergeAdd(ModelMerge):
    """The sum."""

    INPUTS: ClassVar[Inputs] = {"required": {"model1": MODEL, "model2": MODEL}}

    def merge(self, model1: Any, model2: Any) -> tuple[Any]:
        """Of every weight that both have."""
        from noderack_diffusion.merging import add

        return (add(model1, model2),)


class ModelMergeSubtract(ModelMerge):
    """The difference: what one model has learned beyond the other."""

    INPUTS: ClassVar[Inputs] = {"required": {"model1": MODEL, "model2": MODEL, "multiplier": _MULTIPLIER}}

    def merge(self, model1: Any, model2: Any, multiplier: float) -> tuple[Any]:
        """The difference times `multiplier`."""
        from noderack_diffusion.merging import subtract

        return (subtract(model1, model2, multiplier),)


class CLIPMerge(Node):
    """One text encoder of two."""

    RETURN_TYPES = ("CLIP",)
    CATEGORY = "advanced/model_merging"
    FUNCTION = "merge"


class CLIPMergeSimple(CLIPMerge):
    """A weighted mean, weight by weight."""

    INPUTS: ClassVar[Inputs] = {"required": {"clip1": CLIP, "clip2": CLIP, "ratio": _RATIO}}

    def merge(self, clip1: Any, clip2: Any, ratio: float) -> tuple[Any]:
        """`ratio` of the first, the rest of the second."""
        from noderack_diffusion.merging import blend

        return (blend(clip1, clip2, lambda name: ratio),)


class CLIPMergeAdd(CLIPMerge):
    """The sum."""

    INPUTS: ClassVar[Inputs] = {"required": {"clip1": CLIP, "clip2": CLIP}}

    def merge(self, clip1: Any, clip2: Any) -> tuple[Any]:
        """Of every weight that both have."""
        from noderack_diffusion.merging import add

        return (add(clip1, clip2),)


class CLIPMergeSubtract(CLIPMerge):
    """The difference."""

    INPUTS: ClassVar[Inputs] = {"required": {"clip1": CLIP, "clip2": CLIP, "multiplier": _MULTIPLIER}}

    def merge(self, clip1: Any, clip2: Any, multiplier: float) -> tuple[Any]:
        """The difference times `multiplier`."""
        from noderack_diffusion.merging import subtract

        return (subtract(clip1, clip2, multiplier),)


def _prefix(default: str) -> tuple[str, dict[str, str]]:
    return "STRING", {"default": default}


class Save(Node):
    """Writes a safetensors file that holds the workflow that made it."""

    OUTPUT_NODE = True
    CATEGORY = "advanced/model_merging"
    FUNCTION = "save"


class CheckpointSave(Save):
    """Model, text encoder and VAE in one file."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": MODEL,
            "clip": CLIP,
            "vae": VAE,
            "filename_prefix": _prefix("checkpoints/ComfyUI"),
        },
        "hidden": _HIDDEN,
    }

    def save(
        self,
        model: Any,
        clip: Any,
        vae: Any,
        filename_prefix: str,
        prompt: Any = None,
        extra_pnginfo: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Patches that are on the handles are in the file's weights."""
        from noderack_diffusion.saving import save_checkpoint

        told = _told(prompt, extra_pnginfo)
        write(filename_prefix, partial(save_checkpoint, model=model, clip=clip, vae=vae, metadata=told))
        return {}


class ModelSave(Save):
    """The model alone."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"model": MODEL, "filename_prefix": _prefix("diffusion_models/ComfyUI")},
        "hidden": _HIDDEN,
    }

    def save(
        self,
        model: Any,
        filename_prefix: str,
        prompt: Any = None,
        extra_pnginfo: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """As `CheckpointSave`, for a file to be loaded with `UNETLoader`."""
        from noderack_diffusion.saving import save_checkpoint

        write(filename_prefix, partial(save_checkpoint, model=model, metadata=_told(prompt, extra_pnginfo)))
        return {}


class CLIPSave(Save):
    """The text encoder alone; each of its towers in a file of its own."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"clip": CLIP, "filename_prefix": _prefix("clip/ComfyUI")},
        "hidden": _HIDDEN,
    }

    def save(
        self,
        clip: Any,
        filename_prefix: str,
        prompt: Any = None,
        extra_pnginfo: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """A tower's name follows the prefix: `_clip_l`, `_clip_g`, `_clip_h`."""
        from noderack_diffusion.saving import save_tower

        told = _told(prompt, extra_pnginfo)
        for tower in clip.towers:
            saving = partial(save_tower, clip=clip, tower=tower, metadata=told)
            write(f"{filename_prefix}_clip_{tower.recipe.name}", saving)
        return {}


class VAESave(Save):
    """The VAE alone."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"vae": VAE, "filename_prefix": _prefix("vae/ComfyUI_vae")},
        "hidden": _HIDDEN,
    }

    def save(
        self,
        vae: Any,
        filename_prefix: str,
        prompt: Any = None,
        extra_pnginfo: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Under the names that VAE files have."""
        from noderack_diffusion.saving import save_vae

        write(filename_prefix, partial(save_vae, vae=vae, metadata=_told(prompt, extra_pnginfo)))
        return {}


class LoraSave(Save):
    """What two models differ by, as a LoRA: its input is a difference, as `ModelMergeSubtract` gives it."""

    EXPERIMENTAL = True
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "filename_prefix": ("STRING", {"default": "loras/ComfyUI_extracted_lora", "multiline": False}),
            "rank": integer(8, 1, 4096, 1),
            "lora_type": combo("standard", "full_diff"),
            "bias_diff": flag(True),
        },
        "optional": {"model_diff": MODEL, "text_encoder_diff": CLIP},
        "hidden": _HIDDEN,
    }
    CATEGORY = "_for_testing"

    def save(
        self,
        filename_prefix: str,
        rank: int,
        lora_type: str,
        bias_diff: bool,
        model_diff: Any = None,
        text_encoder_diff: Any = None,
        prompt: Any = None,
        extra_pnginfo: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """`rank` bounds the file's size; "full_diff" keeps everything."""
        from noderack_diffusion.saving import save_difference

        saving = partial(
            save_difference,
            model=model_diff,
            clip=text_encoder_diff,
            rank=None if lora_type == "full_diff" else rank,
            biases=bias_diff,
            metadata=_told(prompt, extra_pnginfo),
        )
        write(filename_prefix, saving)
        return {}


def _told(prompt: Any, extra: dict[str, Any] | None) -> dict[str, str]:
    """The workflow, as a safetensors file can carry it."""
    found = {} if prompt is None else {"prompt": prompt}
    return {key: json.dumps(value) for key, value in {**found, **(extra or {})}.items()}


def write(prefix: str, save: Callable[[Path], None]) -> None:
    """A new safetensors file in the output folder, by `save`."""
    write_new(save_name(prefix, folder_of("output"), 0, 0), 0, ".safetensors", save)


NODES: Mappings = {
    node.__name__: node
    for node in (
        *(ModelMergeSimple, ModelMergeBlocks, ModelMergeAdd, ModelMergeSubtract),
        *(ModelMergeSD1, ModelMergeSD2, ModelMergeSDXL),
        *(CLIPMergeSimple, CLIPMergeAdd, CLIPMergeSubtract),
        *(CheckpointSave, ModelSave, CLIPSave, VAESave, LoraSave),
    )
}
NAMES = {"CheckpointSave": "Save Checkpoint", "LoraSave": "Extract and Save Lora"}
