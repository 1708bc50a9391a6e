"""Draws text into image tensors [H, W, C] of values 0 to 1."""

from .draw import draw, fit, measure, render

__all__ = ["draw", "fit", "measure", "render"]
