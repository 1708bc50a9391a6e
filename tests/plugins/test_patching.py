"""Packs that patch models and samplers: the same code gives the same latents as under ComfyUI.

tests/cases/patching/scenarios.py is what packs write; expected.json there is what ComfyUI made of it.
"""

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from noderack_diffusion.model import Model
from noderack_diffusion.sigma import standard
from noderack_diffusion.spec import FAMILIES, ModelSpec
from noderack_diffusion.unet import Level, UNet, UNetConfig
from noderack_diffusion.weights import Live
from torch import Tensor

ROOT = Path(__file__).parents[2]
CASES = ROOT / "tests" / "cases" / "patching"
EXPECTED = json.loads((CASES / "expected.json").read_text("utf-8"))
CONFIG = UNetConfig(width=32, levels=(Level(1, (1,), (1, 1)), Level(2, (1,), (1, 1))), context=16, heads=8)


class Piece:
    """A weight that is at hand."""

    def __init__(self, value: Tensor) -> None:
        self.value = value

    def dims(self) -> tuple[int, ...]:
        return tuple(self.value.shape)

    def read(self) -> Tensor:
        return self.value


@pytest.fixture(scope="module")
def scenarios() -> Iterator[ModuleType]:
    """The scenarios, with the modules that packs import on the path."""
    paths = [str(ROOT / "plugins" / "compat"), str(ROOT / "plugins" / "compat" / "modules")]
    sys.path[:0] = paths
    spec = importlib.util.spec_from_file_location("patching_scenarios", CASES / "scenarios.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    for path in paths:
        sys.path.remove(path)


@pytest.fixture(scope="module")
def model(scenarios: ModuleType) -> Model:
    """A small Stable Diffusion 1 whose weights are those that the peer had."""
    shapes = {name: value.shape for name, value in UNet(CONFIG).state_dict().items()}
    pieces: Any = {name: Piece(value) for name, value in scenarios.filled(shapes).items()}
    family = next(family for family in FAMILIES if family.name == "sd1")
    live = Live(lambda: UNet(CONFIG), pieces, key="patching")
    return Model(ModelSpec(family, CONFIG, None, "made for the test"), live, standard())


@pytest.mark.parametrize("name", list(EXPECTED))
def test_a_pack_gets_what_it_gets_under_comfyui(name: str, scenarios: ModuleType, model: Model) -> None:
    drawn = scenarios.SCENARIOS[name](model).flatten()
    wanted = torch.tensor(EXPECTED[name])
    assert torch.allclose(drawn, wanted, rtol=2e-3, atol=2e-3), float((drawn - wanted).abs().max())


def test_every_scenario_changes_the_picture() -> None:
    same = [name for name, value in EXPECTED.items() if name != "plain" and value == EXPECTED["plain"]]
    assert not same


def test_the_handle_that_came_in_stays_as_it_was(scenarios: ModuleType, model: Model) -> None:
    assert not model.changes and not model.changes.weights
    assert torch.equal(scenarios.plain(model), scenarios.plain(model))


def test_what_a_pack_put_in_place_of_the_host_is_gone_when_it_puts_that_back(
    scenarios: ModuleType, model: Model
) -> None:
    for name in ("attention_of_the_host", "guidance_of_the_host"):
        scenarios.SCENARIOS[name](model)
        drawn = scenarios.plain(model).flatten()
        assert torch.allclose(drawn, torch.tensor(EXPECTED["plain"]), rtol=2e-3, atol=2e-3)
