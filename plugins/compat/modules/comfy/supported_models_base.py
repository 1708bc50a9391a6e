"""`comfy.supported_models_base`: what is known of a model besides its weights."""

from __future__ import annotations

from typing import Any

from noderack_compat.missing import gap
from noderack_diffusion.patching.inner import Config as BASE

__getattr__ = gap(__name__)
__all__ = ["BASE", "ClipTarget"]


class ClipTarget:
    """A tokenizer and a text encoder that belong together."""

    def __init__(self, tokenizer: Any, clip: Any) -> None:
        self.tokenizer, self.clip = tokenizer, clip
        self.params: dict[str, Any] = {}
