"""`comfy.ldm.flux`: parts of Flux's network."""

from noderack_compat import finder

finder.install()
__getattr__ = finder.children(__name__)
