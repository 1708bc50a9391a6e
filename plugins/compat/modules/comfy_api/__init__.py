"""`comfy_api`: the schema form of nodes (V3)."""

from noderack_compat import finder

finder.install()
__getattr__ = finder.children(__name__)
