"""Which node types a pack brings, told from its syntax alone: nothing of the pack is ever run.

The reader follows the pack's modules as Python would, with values where they can be known and stand-ins where
not (`values`), statement by statement (`statements`, `expressions`, `calls`), within a budget (`program`).
"""

from noderack_registry.packing.syntax.found import TypesFound, node_types_from_source, read_modules

__all__ = ["TypesFound", "node_types_from_source", "read_modules"]
