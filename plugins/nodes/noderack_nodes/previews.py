"""What a sampling node shows of each step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def preview_of(model: Any, clean: Tensor) -> Callable[[], Any] | None:
    """Makes a picture of a latent under way, if somebody looks; None for a model that has no window."""
    window = getattr(model, "window", None)
    if window is None:
        return None

    def picture() -> Any:
        from PIL import Image

        return ("JPEG", Image.fromarray(window.picture(clean).numpy()), None)

    return picture
