"""IP-Adapter: pictures as prompts. The host reads the two tables below and nothing else."""

from noderack_ipadapter import embed_nodes, face_nodes, nodes, style_nodes, timing_nodes

NODE_CLASS_MAPPINGS: dict[str, type] = {
    node.__name__: node
    for subject in (nodes, embed_nodes, style_nodes, face_nodes, timing_nodes)
    for node in subject.NODES
}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    **nodes.NAMES,
    **embed_nodes.NAMES,
    **style_nodes.NAMES,
    **face_nodes.NAMES,
    **timing_nodes.NAMES,
}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
