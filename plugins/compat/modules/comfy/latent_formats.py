"""`comfy.latent_formats`: how latents of autoencoders become those of networks."""

from __future__ import annotations

from typing import Any, ClassVar

from noderack_compat.missing import gap
from noderack_diffusion.patching.inner import Latents
from noderack_diffusion.spec import PLAYGROUND
from noderack_diffusion.spec import LatentFormat as _Form

__getattr__ = gap(__name__)


class _Kind(type):
    """A model's own latents are of the class that has the same numbers."""

    form: _Form

    def __instancecheck__(cls, instance: Any) -> bool:
        if super().__instancecheck__(instance):
            return True
        own = getattr(instance, "form_of_family", None)
        return own is not None and (cls is LatentFormat or own == cls.form)


class LatentFormat(Latents, metaclass=_Kind):
    """`(latent - shift) * scale`, and back."""

    form: ClassVar[_Form] = _Form(scale=1.0)
    latent_channels: Any
    scale_factor: Any

    def __init__(self, scale_factor: float | None = None) -> None:
        super().__init__(self.form)
        if scale_factor is not None:
            self.scale_factor = scale_factor


class SD15(LatentFormat):
    form = _Form()
    taesd_decoder_name = "taesd_decoder"


class SDXL(LatentFormat):
    form = _Form(scale=0.13025)
    taesd_decoder_name = "taesdxl_decoder"


class SD3(LatentFormat):
    form = _Form(channels=16, scale=1.5305, shift=0.0609)
    taesd_decoder_name = "taesd3_decoder"


class Flux(LatentFormat):
    form = _Form(channels=16, scale=0.3611, shift=0.1159)
    taesd_decoder_name = "taef1_decoder"


class SDXL_Playground_2_5(LatentFormat):
    form = PLAYGROUND


class SD_X4(LatentFormat):
    form = _Form(scale=0.08333, factor=4)


class SC_Prior(LatentFormat):
    form = _Form(channels=16, scale=1.0)


class SC_B(LatentFormat):
    form = _Form(scale=1.0 / 0.43)


for _kind in (LatentFormat, SD15, SDXL, SDXL_Playground_2_5, SD3, Flux, SD_X4, SC_Prior, SC_B):
    _kind.latent_channels, _kind.scale_factor = _kind.form.channels, _kind.form.scale
