"""`comfy.supported_models`: what kind of model one is; `model.model.model_config` is one of these classes.

Families that are not here have stand-ins: no model is of theirs.
"""

from __future__ import annotations

from noderack_compat.missing import gap
from noderack_diffusion.patching.inner import (
    SD15Config,
    SD20Config,
    SD21UnclipConfig,
    SDXLConfig,
    SDXLRefinerConfig,
)

from comfy import supported_models_base

__getattr__ = gap(__name__)

SD15, SD20 = SD15Config, SD20Config
SD21UnclipL = SD21UnclipH = SD21UnclipConfig
SDXL, SDXLRefiner = SDXLConfig, SDXLRefinerConfig
models = [SD15, SD20, SD21UnclipL, SDXL, SDXLRefiner]
__all__ = [
    "SD15",
    "SD20",
    "SDXL",
    "SD21UnclipH",
    "SD21UnclipL",
    "SDXLRefiner",
    "models",
    "supported_models_base",
]
