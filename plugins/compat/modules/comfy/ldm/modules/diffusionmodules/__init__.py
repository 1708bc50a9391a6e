"""`comfy.ldm.modules.diffusionmodules`: layers of the U-Net."""

from noderack_compat import finder

finder.install()
__getattr__ = finder.children(__name__)
