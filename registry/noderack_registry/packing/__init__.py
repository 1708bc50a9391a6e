"""Wheels from packs: any source to a wheel that says which nodes it brings, without running its code."""

from noderack_registry.packing.build import BuiltWheel, build_wheel
from noderack_registry.packing.errors import BackendError, MetadataError, NoNodes, PackError, SourceError
from noderack_registry.packing.syntax import TypesFound, node_types_from_source

__all__ = [
    "BackendError",
    "BuiltWheel",
    "MetadataError",
    "NoNodes",
    "PackError",
    "SourceError",
    "TypesFound",
    "build_wheel",
    "node_types_from_source",
]
