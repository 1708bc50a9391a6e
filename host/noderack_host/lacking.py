"""Names of the field's host interface that packs asked for and that are not provided: who, which, how often.

The pack that provides the interface counts them (plugins/compat). The runtime knows that pack only by finding
it imported, as it does the object that packs register routes on.
"""

import sys
from typing import Any


def lacking() -> list[dict[str, Any]]:
    """[{"pack", "name", "count"}], most often asked for first."""
    tally = getattr(sys.modules.get("noderack_compat.missing"), "TALLY", None)
    asked = getattr(tally, "asked", {})
    rows = [{"pack": pack, "name": name, "count": count} for (name, pack), count in asked.items()]
    return sorted(rows, key=lambda row: (-row["count"], row["pack"], row["name"]))
