"""`comfy.k_diffusion`: samplers under the names and with the arguments by which packs call them."""

from noderack_compat import finder

finder.install()
__getattr__ = finder.children(__name__)
