"""Existing packs look up each other's nodes in one table, `nodes.NODE_CLASS_MAPPINGS`: it is filled here.

The pack that provides the field's interface (plugins/compat) has that table; the runtime knows it only by
finding its module imported.
"""

import sys
from collections.abc import Mapping
from typing import Any


def make_known(nodes: Mapping[str, Any], names: Mapping[str, str], *, own: bool) -> None:
    """Adds these node classes and their names; `own`: those of this project stay as the table has them."""
    module = sys.modules.get("nodes")
    for table, found in (("NODE_CLASS_MAPPINGS", nodes), ("NODE_DISPLAY_NAME_MAPPINGS", names)):
        known = getattr(module, table, None)
        if isinstance(known, dict) and hasattr(module, "EXTENSION_WEB_DIRS"):
            known.update({key: value for key, value in found.items() if not own or key not in known})
