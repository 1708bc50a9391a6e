"""`comfy_extras`: modules of further nodes; those that are not provided hold stand-ins."""

from noderack_compat import finder

finder.install()
__getattr__ = finder.children(__name__)
