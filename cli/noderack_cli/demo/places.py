"""Where the demo's parts are: in a checkout of the repository, or inside the installed distribution."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from noderack_cli.errors import NotFound

HERE = Path(__file__).parent
# In the order of publishing: a library before the pack that needs it.
PACKS = ("film", "lettering", "sheet")
MODELS = ("noderack-shapes.safetensors", "noderack-shapes-heart.safetensors")


@dataclass(frozen=True, slots=True)
class Places:
    """The workflow, the sources of the packs to publish, and the model files (a manifest beside each)."""

    workflow: Path
    packs: tuple[Path, ...]
    models: tuple[Path, ...]


def find_places() -> Places:
    """The demo's parts; raises NotFound naming what is not there."""
    roots = [HERE, HERE.parents[2]]
    plugins = next((root / "plugins" for root in roots if (root / "plugins/film").is_dir()), None)
    if plugins is None:
        hint = "Run it from a checkout of the repository, or install the wheel anew."
        raise NotFound("The demo's example packs are not there (plugins/film)", hint)
    models = tuple(plugins / "tiny/models" / name for name in MODELS)
    lacking = [path for path in models if not path.is_file()]
    if lacking:
        raise NotFound(f"The demo's model is not there: {lacking[0]}")
    return Places(HERE / "workflow.json", tuple(plugins / name for name in PACKS), models)
