"""The newer form of nodes: a schema and class methods. `io` has types and ComfyNode, `ui` what nodes show.

A pack's `comfy_entrypoint()` gives a ComfyExtension. Source: host contract §1.7.
"""

from noderack_host.v3 import io, ui
from noderack_host.v3.extension import ComfyExtension

__all__ = ["ComfyExtension", "io", "ui"]
