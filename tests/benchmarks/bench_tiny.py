"""How often the tiny model draws what prompts say, and what its LoRA does: `make bench-tiny`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "plugins/tiny"))

from noderack_tiny.bench import main

main()
