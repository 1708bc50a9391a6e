"""The built-in nodes: a pack like any other."""

NODE_CLASS_MAPPINGS: dict[str, type] = {}
