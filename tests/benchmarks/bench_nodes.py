"""Do nodes give what another host's nodes give? Calls both with the same made-up values and compares.

    make bench-nodes PEER=/path/to/comfyui [PEER_PYTHON=…/bin/python]

Every node that both hosts have and whose inputs are pictures, masks, latents, conditionings, sigmas, numbers,
texts or choices is called `--times` times with values made of a number, drawn within what the peer's schema
allows. Outputs must agree within 1e-5. Figures: `nodes` and `calls` compared, `same_nodes` whose every call
agrees, `refused_both` calls that both refuse. Without PEER nothing is compared, and it says so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent
SKIPPED = {"GetImageSize", "ImageCropV2"}
"""Nodes that show something on the way, which takes a whole host."""


def differs(theirs: Any, ours: Any, at: str = "") -> str | None:
    """The first place where two outputs differ, in words."""
    if isinstance(theirs, torch.Tensor) and isinstance(ours, torch.Tensor):
        if theirs.shape != ours.shape:
            return f"{at}: shape {tuple(theirs.shape)}, here {tuple(ours.shape)}"
        same = torch.allclose(theirs.float(), ours.float(), rtol=0, atol=1e-5, equal_nan=True)
        return None if same else f"{at}: by {(theirs.float() - ours.float()).abs().max():.1e}"
    if isinstance(theirs, dict) and isinstance(ours, dict) and theirs.keys() == ours.keys():
        return next(filter(None, (differs(theirs[key], ours[key], f"{at}.{key}") for key in theirs)), None)
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        pairs = enumerate(zip(theirs, ours, strict=True))
        return next(filter(None, (differs(one, two, f"{at}[{i}]") for i, (one, two) in pairs)), None)
    return None if theirs == ours else f"{at}: {str(theirs)[:60]!r}, here {str(ours)[:60]!r}"


def refused(found: Any) -> bool:
    return isinstance(found, tuple)


def compare(theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, int]:
    """The figures; prints each node that differs, with its first difference."""
    wrong: dict[str, str] = {}
    count: Counter[str] = Counter()
    names = {call.rpartition(" #")[0] for call in theirs.keys() & ours.keys()}
    for call in theirs.keys() & ours.keys():
        one, two = theirs[call], ours[call]
        count["calls"] += 1
        if refused(one) and refused(two):
            count["refused_both"] += 1
        elif refused(one):
            count["refused_there"] += 1
        elif said := two[1] if refused(two) else differs(one, two):
            count["calls_differ"] += 1
            wrong.setdefault(call.rpartition(" #")[0], f"{call}: {said}")
    for line in sorted(wrong.values()):
        print(line)
    return {"nodes": len(names), "same_nodes": len(names - set(wrong)), **count}


def side(python: str, *words: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.pt"
        told = [words[0], str(out), *words[1:]]
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run([python, HERE / "node_side.py", *told], check=True, env=env, stderr=subprocess.DEVNULL)
        return json.loads(out.read_text()) if words[0] == "-" else torch.load(out, weights_only=False)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", default=os.environ.get("PEER"), help="a ComfyUI folder")
    parser.add_argument("--python", default=os.environ.get("PEER_PYTHON", sys.executable))
    parser.add_argument("--times", default="8")
    options = parser.parse_args()
    if not options.peer:
        print("no PEER is given: nothing to compare with")
        return
    schemas = side(options.python, "-", options.times, options.peer)
    kept = {name: entry for name, entry in schemas.items() if name not in SKIPPED}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "schemas.json"
        file.write_text(json.dumps(kept))
        theirs = side(options.python, str(file), options.times, options.peer)
        ours = side(sys.executable, str(file), options.times)
    print(json.dumps({"bench": "nodes", "figures": compare(theirs, ours)}))


if __name__ == "__main__":
    main()
