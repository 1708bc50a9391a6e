"""`comfy_execution.graph_utils`."""

from noderack_compat.missing import gap
from noderack_host.graph import ExecutionBlocker, is_link
from noderack_host.graph_builder import GraphBuilder, Node

__getattr__ = gap(__name__)
__all__ = ["ExecutionBlocker", "GraphBuilder", "Node", "is_link"]
