"""The gate: what a wheel must be before the registry shows it or a host installs it.

`inspect(path)` runs the same checks here and there and depends on nothing but the bytes of the file.
"""

from noderack_registry.gate.inspect import InspectedWheel, Limits, inspect
from noderack_registry.gate.verdict import FINDINGS, BadWheel

__all__ = ["FINDINGS", "BadWheel", "InspectedWheel", "Limits", "inspect"]
