"""Prompts that vary, and repeat by seed."""

from .nodes import comfy_entrypoint

__all__ = ["comfy_entrypoint"]
