"""What a file is by its first bytes, where it is not what its name says, and what to do about it."""

from collections.abc import Iterable, Mapping
from pathlib import Path

_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a pointer of git-lfs; fetch the file itself (`git lfs pull`)"),
    (b"<", "a web page; where the address asks for a login or a licence, download with a token"),
    (b"PK\x03\x04", "a pickled checkpoint or a zip; if it is the first, let its name end in .ckpt"),
    (b"\x80\x02", "a pickled checkpoint; let its name end in .ckpt"),
    (b"GGUF", "a GGUF file; let its name end in .gguf"),
    (b'{"', "a JSON text, not the weights; download the file that lies beside it"),
)
_CONTROL = "a ControlNet; put it in models/controlnet and load it with a ControlNet node"
_FAMILIES: Mapping[str, str] = {
    "double_blocks.": "Flux",
    "joint_blocks.": "Stable Diffusion 3",
    "transformer_blocks.": "a diffusion transformer",
    "layers.": "a transformer as Z-Image or Lumina",
    "head.modulation": "Wan",
    "control_model.": _CONTROL,
    "controlnet_cond_embedding.": _CONTROL,
    "encoder.block.0.layer.0.": "a T5 text encoder; put it in models/text_encoders",
    "text_model.encoder.": "a text encoder; put it in models/text_encoders and load it with a CLIP loader",
    "vision_model.": "an image encoder; put it in models/clip_vision and load it with a CLIP vision loader",
}
"""What names of tensors begin with (below the usual prefixes) in files without a U-Net."""
_PREFIXES = ("", "model.diffusion_model.", "diffusion_model.", "transformer.")


def another_kind(path: Path) -> str | None:
    """What the file is by its first bytes, with the next step; None if they tell nothing."""
    try:
        with path.open("rb") as file:
            first = file.read(32)
    except OSError:
        return None
    if path.suffix != ".safetensors" and first[8:9] == b"{":
        return "a safetensors file; let its name end in .safetensors"
    return next((what for start, what in _STARTS if first.lstrip().startswith(start)), None)


def another_model(names: Iterable[str]) -> str | None:
    """What weights without a U-Net belong to, by the names of their tensors."""
    there = tuple(names)
    for mark, what in _FAMILIES.items():
        begins = tuple(prefix + mark for prefix in _PREFIXES)
        if any(name.startswith(begins) for name in there):
            known = ";" in what
            return what if known else f"{what}, a family that is not here yet"
    return None
