"""IP-Adapter: pictures as prompts. The host reads the two tables below and nothing else."""

from noderack_ipadapter.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
