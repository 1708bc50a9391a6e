"""`comfy_execution.graph`."""

from noderack_compat.missing import gap
from noderack_host.graph import ExecutionBlocker

__getattr__ = gap(__name__)
__all__ = ["ExecutionBlocker"]
