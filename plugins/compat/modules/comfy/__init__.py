"""`comfy`: the names of the field's diffusion library, over noderack_diffusion."""

from noderack_compat import finder

finder.install()
__getattr__ = finder.children(__name__)
