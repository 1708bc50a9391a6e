"""`comfy.cli_args`: the settings of a host's command line, with the values that a host without flags has."""

from __future__ import annotations

import enum
from types import SimpleNamespace

from noderack_compat.missing import gap

__getattr__ = gap(__name__)


class LatentPreviewMethod(enum.Enum):
    NoPreviews = "none"
    Auto = "auto"
    Latent2RGB = "latent2rgb"
    TAESD = "taesd"


class PerformanceFeature(enum.Enum):
    Fp16Accumulation = "fp16_accumulation"
    Fp8MatrixMultiplication = "fp8_matrix_mult"
    CublasOps = "cublas_ops"
    AutoTune = "autotune"


class Settings(SimpleNamespace):
    """Any flag that is not named below is off."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


args = Settings(
    listen="127.0.0.1",
    port=8188,
    cpu=False,
    disable_metadata=False,
    preview_method=LatentPreviewMethod.NoPreviews,
    fast=set(),
    verbose="INFO",
    use_pytorch_cross_attention=True,
    front_end_version="comfyanonymous/ComfyUI@latest",
)
