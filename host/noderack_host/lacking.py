"""Names of the field's host interface that packs asked for and that are not provided: who, which, how often.

The pack that provides the interface counts them (plugins/compat). The runtime knows that pack only by finding
it imported, as it does the object that packs register routes on.
"""

import sys
from typing import Any


def lacking() -> list[dict[str, Any]]:
    """[{"pack", "name", "count"}], most often asked for first; "replaced" is true for a name that is there,
    but that a pack put its own in the place of, which only packs see.
    """
    counted = sys.modules.get("noderack_compat.missing")
    asked = getattr(getattr(counted, "TALLY", None), "asked", {})
    instead = getattr(getattr(counted, "REPLACED", None), "asked", {})
    rows = [{"pack": pack, "name": name, "count": count} for (name, pack), count in asked.items()]
    rows += [
        {"pack": pack, "name": name, "count": count, "replaced": True}
        for (name, pack), count in instead.items()
    ]
    return sorted(rows, key=lambda row: (-row["count"], row["pack"], row["name"]))
