"""Upscale models: networks that draw a picture several times as large. The host reads the two tables."""

from noderack_upscale.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
