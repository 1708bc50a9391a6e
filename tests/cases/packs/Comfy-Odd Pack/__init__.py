import json
from pathlib import Path

from .nodes import NODE_CLASS_MAPPINGS
from .nodes.blur import OddBlur

PALETTE = json.loads((Path(__file__).parent / "data" / "palette.json").read_text())
NODE_CLASS_MAPPINGS["OddBlur"] = OddBlur
NODE_DISPLAY_NAME_MAPPINGS = {"OddBlur": "Odd Blur"}
WEB_DIRECTORY = "./web"
__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]
