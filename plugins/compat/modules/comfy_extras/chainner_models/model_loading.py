"""`comfy_extras.chainner_models.model_loading`: a network from tensors in memory."""

from __future__ import annotations

from typing import Any

from noderack_compat.missing import gap

__getattr__ = gap(__name__)


def load_state_dict(state_dict: dict[str, Any]) -> Any:
    """The network, as spandrel reads it; raises ImportError where spandrel is not installed."""
    from spandrel import ModelLoader

    return ModelLoader().load_from_state_dict(state_dict).eval()
