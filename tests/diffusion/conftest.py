"""The reference data: made once by other tools, described in its index.json."""

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

SHARED = Path(__file__).parents[2].parent / "shared"
SEED = 20240607


class Golden:
    """Cases of ``shared/data/golden`` and the tensors that they name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index: dict[str, dict[str, Any]] = json.loads((folder / "index.json").read_text())
        self._files: dict[str, dict[str, Tensor]] = {}

    def tensor(self, ref: dict[str, Any]) -> Tensor:
        """The tensor of a ``{"file", "key"}`` or a ``{"recipe"}`` entry."""
        if "recipe" in ref:
            r = ref["recipe"]
            return made(r["key"], r["shape"], r["center"], r["scale"], r["seed"])
        file = ref["file"]
        if file not in self._files:
            self._files[file] = load_file(self.folder / file)
        return self._files[file][ref["key"]]


def _tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SHARED / "tools" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def made(key: str, shape: list[int], center: float, scale: float, seed: int = SEED) -> Tensor:
    """A tensor of the library-independent recipe that the references are made from."""
    recipe = sys.modules.get("recipe") or _tool("recipe")
    return torch.from_numpy(recipe.tensor(seed, key, tuple(shape), center, scale, np.float32))


def made_state(layout: dict[str, Any], prefix: str = "", seed: int = SEED) -> dict[str, Tensor]:
    """The tensors of a layout of ``shared/tools/layouts.py``, keyed without ``prefix``."""
    return {k.removeprefix(prefix): made(k, s, c, scale, seed) for k, (s, c, scale) in layout.items()}


@pytest.fixture(scope="session")
def golden() -> Golden:
    folder = SHARED / "data" / "golden"
    if not folder.exists():
        pytest.skip("the reference data (shared/data/golden beside the checkout) is not here")
    return Golden(folder)


@pytest.fixture(scope="session")
def layouts(golden: Golden) -> ModuleType:
    _tool("recipe")
    found = _tool("layouts")
    _tool("make_checkpoints")
    return found


@pytest.fixture(scope="session")
def state_of() -> Callable[..., dict[str, Tensor]]:
    return made_state
