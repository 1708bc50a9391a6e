"""`comfy.ldm.modules`: layers of networks."""

from noderack_compat import finder

finder.install()
__getattr__ = finder.children(__name__)
