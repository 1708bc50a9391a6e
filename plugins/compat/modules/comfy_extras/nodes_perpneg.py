"""`comfy_extras.nodes_perpneg`: guidance away from only a part of the negative."""

from __future__ import annotations

from typing import Any

from noderack_compat.missing import gap
from noderack_diffusion.patching.guiders import PerpNegGuider as _Guider

__getattr__ = gap(__name__)


class Guider_PerpNeg(_Guider):
    """The guider; scales are set after it is made."""

    def __init__(self, model_patcher: Any) -> None:
        super().__init__(model_patcher, 1.0, 1.0)

    def set_cfg(self, cfg: float, neg_scale: float = 1.0) -> None:
        super().set_cfg(cfg)
        self.negative_scale = neg_scale

    def set_conds(self, positive: Any, negative: Any, empty_negative_prompt: Any = ()) -> None:
        self.set_all(positive, negative, empty_negative_prompt)
