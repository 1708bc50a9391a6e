"""`comfy_extras.nodes_custom_sampler`: what NOISE and GUIDER sockets carry, as packs make it themselves."""

from __future__ import annotations

from typing import Any

from comfy.samplers import CFGGuider as _Guider
from noderack_compat.missing import gap
from noderack_diffusion.patching.guiders import DualGuider
from noderack_diffusion.patching.guiders import NoNoise as Noise_EmptyNoise
from noderack_diffusion.patching.guiders import RandomNoise as Noise_RandomNoise

__getattr__ = gap(__name__)
__all__ = ["Guider_Basic", "Guider_DualCFG", "Noise_EmptyNoise", "Noise_RandomNoise"]


class Guider_Basic(_Guider):
    """One conditioning alone."""

    def set_conds(self, positive: Any, *_: Any) -> None:
        self.inner_set_conds({"positive": positive})


class Guider_DualCFG(DualGuider):
    """Two prompts and a negative; scales are set after it is made."""

    def __init__(self, model_patcher: Any) -> None:
        super().__init__(model_patcher, 1.0, 1.0)

    def set_cfg(self, cfg: float, cfg2: float | None = None, nested: bool = False) -> None:
        super().set_cfg(cfg if cfg2 is None else cfg2)
        self.first, self.second, self.nested = cfg, cfg if cfg2 is None else cfg2, nested

    def set_conds(self, positive: Any, middle: Any, negative: Any = ()) -> None:
        self.set_all(positive, middle, negative)
