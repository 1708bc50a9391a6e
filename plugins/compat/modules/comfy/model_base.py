"""`comfy.model_base`: what `model.model` is, by family."""

from __future__ import annotations

from noderack_compat.missing import gap
from noderack_diffusion.patching.inner import SD21UNCLIP, SDXL, BaseModel, ModelType, SDXLRefiner

__getattr__ = gap(__name__)
__all__ = ["SD21UNCLIP", "SDXL", "BaseModel", "ModelType", "SDXLRefiner"]
