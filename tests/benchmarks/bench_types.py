"""Of the workflows of a folder that need nothing but built-in node types: how many have all of them here?

    make bench-types                       small inputs of its own
    make bench-types CORPUS=DIR            any folder of files
    .venv/bin/python tests/benchmarks/bench_types.py DIR --core FILE

`--core` is a JSON list of type names, or an object_info.json: what "built-in" means (a workflow of which any
other type is used needs a pack, and is left out). Figures: `core_only`, and `covered` of them in percent;
`families_core_only` and `families_covered` for workflows that load a model of Stable Diffusion 1, 2 or XL,
which is told by what they load: a checkpoint or diffusion model, and nothing by whose name or type another
family is known. The types that are missing are listed with the number of workflows that want each.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from noderack_host.packs import load_packs
from noderack_host.workflow import WorkflowError, read_workflow

ROOT = Path(__file__).parents[2]
CASES = ROOT / "tests/cases/workflows"
KNOWN = ROOT.parent / "shared/data/object_info.json"
KINDS = (".json", ".png", ".webp")
BROWSER = {"Note", "MarkdownNote", "Reroute", "PrimitiveNode"}
LOADERS = {
    "CheckpointLoaderSimple",
    "CheckpointLoader",
    "unCLIPCheckpointLoader",
    "DiffusersLoader",
    "UNETLoader",
}
OTHER_MODELS = re.compile(
    r"flux|wan[0-9_.]|wan2|qwen|ltx|hunyuan|hidream|sd3|chroma|z[_-]image|lumina|cosmos|mochi|cascade"
    r"|stable_?audio|svd|ace[_-]step|omnigen|kandinsky|aura|pony_?v7|anima|krea|minimax|lotus|depth_anything"
    r"|sam3|moge|ideogram|t5xxl|seedvr|hy3d|longcat|ovis|newbie|pixart|zero123|ernie|trellis|mage|joy|boogu"
    r"|gemma|audio|netayume|photomaker|sdpose",
    re.I,
)
OTHER_TYPES = re.compile(
    r"Wan|LTX|Flux|Hunyuan|SD3|Qwen|Cosmos|StableCascade|Hi[Dd]ream|Mochi|AuraFlow|Lotus|SVD|Zero123|Audio"
    r"|ImageOnlyCheckpoint|SAM3|MoGe|Trellis|TripoSplat|DA3|MediaPipe|Kandinsky|SeedVR|ChromaR|VideoLinear"
)


@dataclass(frozen=True)
class Needed:
    """What one workflow needs."""

    path: Path
    types: frozenset[str]
    models: tuple[str, ...]

    def of_the_families(self) -> bool:
        """Whether it draws with a model of Stable Diffusion 1, 2 or XL, as far as names tell."""
        foreign = any(map(OTHER_MODELS.search, self.models)) or any(map(OTHER_TYPES.search, self.types))
        return bool(LOADERS & self.types) and not foreign


def needed_in(folder: Path) -> Iterator[Needed]:
    """Each different workflow below a folder."""
    seen = set()
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in KINDS):
        try:
            workflow = read_workflow(path)
        except WorkflowError:
            continue
        types = frozenset(use.type for use in workflow.node_uses()) - BROWSER
        text = json.dumps(workflow.api or workflow.ui, sort_keys=True, default=str)
        key = hashlib.sha256(text.encode()).hexdigest()
        if types and key not in seen:
            seen.add(key)
            names = tuple(PureWindowsPath(use.name).name for use in workflow.model_uses())
            yield Needed(path, types, names)


def report(title: str, wanted: list[Needed], here: Collection[str]) -> float:
    """Print what is missing; return the percentage of those that miss nothing."""
    missing = Counter(name for one in wanted for name in one.types - set(here))
    covered = sum(one.types <= set(here) for one in wanted)
    print(f"{title}: {covered} of {len(wanted)}; missing: {dict(missing.most_common(40)) or 'nothing'}")
    return round(100 * covered / len(wanted), 1) if wanted else 100.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path(os.environ.get("CORPUS") or CASES))
    parser.add_argument("--core", type=Path, default=KNOWN if KNOWN.exists() else CASES / "object_info.json")
    options = parser.parse_args()
    here = set(load_packs().nodes)
    core = set(json.loads(options.core.read_text(encoding="utf-8"))) | here
    wanted = [one for one in needed_in(options.folder) if one.types <= core]
    families = [one for one in wanted if one.of_the_families()]
    figures = {
        "core_only": len(wanted),
        "covered": report("all", wanted, here),
        "families_core_only": len(families),
        "families_covered": report("Stable Diffusion 1, 2, XL", families, here),
    }
    print(json.dumps({"bench": "types", "figures": figures}))


if __name__ == "__main__":
    main()
