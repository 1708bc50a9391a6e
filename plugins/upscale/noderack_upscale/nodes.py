"""The nodes, under the names and with the sockets that workflows have for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from noderack_host.running import current, current_or_none

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = "upscale_models"


class UpscaleModelLoader:
    """A model that enlarges pictures: ESRGAN, Real-ESRGAN and kin, or whatever spandrel reads."""

    CATEGORY = "loaders"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("UPSCALE_MODEL",)
    FUNCTION = "load_model"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The files in models/upscale_models now."""
        running = current_or_none()
        files = running.folders.files(FOLDER) if running is not None and running.folders else ()
        return {"required": {"model_name": ("COMBO", {"multiselect": False, "options": list(files)})}}

    def load_model(self, model_name: str) -> tuple[Any]:
        """What it is is read from the file's tensors."""
        from noderack_upscale.files import UpscaleError, load_upscaler

        folders = current().folders
        path = None if folders is None else folders.find(FOLDER, model_name)
        if path is None:
            raise UpscaleError(
                f"there is no upscale model named {model_name!r} in this host's model folders; put it into "
                f"models/{FOLDER}/ or let `nodes install-missing WORKFLOW` fetch it"
            )
        return (load_upscaler(path),)


class ImageUpscaleWithModel:
    """Pictures, enlarged by a model as many times as it is made for."""

    CATEGORY = "image/upscaling"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("IMAGE",)
    FUNCTION = "upscale"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """A model and pictures."""
        return {"required": {"upscale_model": ("UPSCALE_MODEL",), "image": ("IMAGE",)}}

    def upscale(self, upscale_model: Any, image: Tensor) -> tuple[Tensor]:
        """In tiles of 512 pixels, in smaller ones where memory does not suffice."""
        from noderack_upscale.enlarge import enlarge

        running = current_or_none()
        return (enlarge(upscale_model, image, tick=None if running is None else running.progress),)


NODE_CLASS_MAPPINGS: dict[str, type] = {
    "UpscaleModelLoader": UpscaleModelLoader,
    "ImageUpscaleWithModel": ImageUpscaleWithModel,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "UpscaleModelLoader": "Load Upscale Model",
    "ImageUpscaleWithModel": "Upscale Image (using Model)",
}
