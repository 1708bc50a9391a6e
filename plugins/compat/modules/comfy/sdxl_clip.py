"""`comfy.sdxl_clip`: SDXL's text encoders and tokenizers, by the classes that packs ask for."""

from __future__ import annotations

from noderack_compat.missing import gap
from noderack_diffusion.patching.encoders import BothEncoders as SDXLClipModel
from noderack_diffusion.patching.encoders import BothTokenizers as SDXLTokenizer
from noderack_diffusion.patching.encoders import Large as SDXLClipG
from noderack_diffusion.patching.encoders import RefinerEncoders as SDXLRefinerClipModel

__getattr__ = gap(__name__)
__all__ = ["SDXLClipG", "SDXLClipModel", "SDXLRefinerClipModel", "SDXLTokenizer"]
