"""`comfy_api.v0_0_1`: a frozen name for what `comfy_api.latest` offers."""

from comfy_api.latest import IO, UI, ComfyAPI, ComfyAPISync, ComfyExtension, io, ui

__all__ = ["IO", "UI", "ComfyAPI", "ComfyAPISync", "ComfyExtension", "io", "ui"]
