"""`comfy_execution`: graphs, expansion, blockers."""

from noderack_compat import finder

finder.install()
__getattr__ = finder.children(__name__)
