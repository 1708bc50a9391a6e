"""Nodes that patch a model: the latents that they give under ComfyUI (0.33), and their own rules."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from noderack_diffusion.model import Model
from noderack_diffusion.tome import merging
from noderack_nodes import NODE_CLASS_MAPPINGS
from noderack_nodes.attention import _cut, _joined

from .test_patching import model, scenarios  # noqa: F401 - fixtures

CASES = Path(__file__).parents[1] / "cases/node_patches"
STEPS = json.loads((CASES / "cases.json").read_text(encoding="utf-8"))
EXPECTED = json.loads((CASES / "expected.json").read_text(encoding="utf-8"))


def call(name: str, inputs: dict[str, Any], host: ModuleType) -> Any:
    node = NODE_CLASS_MAPPINGS[name]
    given = {key: value_of(value, host) for key, value in inputs.items()}
    return getattr(node(), node.FUNCTION)(**given)[0]


def value_of(value: Any, host: ModuleType) -> Any:
    if isinstance(value, str) and value.startswith("text:"):
        return host.text(int(value[5:]))
    return call(value[0], value[1], host) if isinstance(value, list) else value


def drawn(steps: list[Any], handle: Model, host: ModuleType) -> torch.Tensor:
    for name, inputs in steps:
        handle = call(name, {**inputs, "model": handle}, host)
    with torch.no_grad():
        out: torch.Tensor = host.draw(handle)
    return out


@pytest.mark.parametrize("name", STEPS)
def test_as_under_comfyui(name: str, scenarios: ModuleType, model: Model) -> None:  # noqa: F811
    out, wanted = drawn(STEPS[name], model, scenarios).flatten(), torch.tensor(EXPECTED[name])
    assert torch.allclose(out, wanted, rtol=2e-3, atol=2e-3), float((out - wanted).abs().max())
    assert not torch.allclose(out, drawn([], model, scenarios).flatten())


@pytest.mark.parametrize(
    ("node", "inputs"),
    [
        ("HyperTile", {"tile_size": 32, "swap_size": 2, "max_depth": 1, "scale_depth": False}),
        ("TomePatchModel", {"ratio": 0.4}),
    ],
)
def test_fewer_tokens_are_nearly_the_picture(
    node: str,
    inputs: dict[str, Any],
    scenarios: ModuleType,  # noqa: F811
    model: Model,  # noqa: F811
) -> None:
    once, again = (drawn([(node, inputs)], model, scenarios) for _ in range(2))
    plain = drawn([], model, scenarios)
    assert once.equal(again), "chance is decided by the step, not by the run"
    assert not once.equal(plain)
    assert torch.nn.functional.cosine_similarity(once.flatten(), plain.flatten(), dim=0) > 0.8


def test_nothing_is_merged_at_ratio_0(scenarios: ModuleType, model: Model) -> None:  # noqa: F811
    assert drawn([("TomePatchModel", {"ratio": 0.0})], model, scenarios).equal(drawn([], model, scenarios))


def test_merged_tokens_get_their_places_back() -> None:
    chance = torch.Generator().manual_seed(1)
    x = torch.randn(2, 6 * 4, 8, generator=chance)
    x[:, 1::2] = x[:, ::2]  # each token has a twin beside it
    found = merging(x, 4, 6, 0.25, chance)
    assert found is not None
    assert found.merge(x).shape == (2, 18, 8)
    assert torch.allclose(found.unmerge(found.merge(x)), x, atol=1e-6)
    assert merging(x, 4, 6, 0.0, chance) is None


def test_tiles_are_put_together_again() -> None:
    x = torch.arange(2 * 24).float().view(2, 24, 1)
    tiles = _cut(x, 2, 3, 4, 6)
    assert tiles.shape == (12, 4, 1)
    assert tiles[0, :, 0].tolist() == [0, 1, 6, 7]
    assert _joined(tiles, 2, 3, 4, 6).equal(x)


def test_a_whole_tile_changes_nothing(scenarios: ModuleType, model: Model) -> None:  # noqa: F811
    inputs = {"tile_size": 2048, "swap_size": 1, "max_depth": 0, "scale_depth": False}
    assert drawn([("HyperTile", inputs)], model, scenarios).equal(drawn([], model, scenarios))
