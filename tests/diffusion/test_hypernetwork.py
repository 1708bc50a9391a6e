"""Hypernetworks from files: networks as they were trained, at the widths they are for."""

from pathlib import Path
from typing import Any

import pytest
import torch
from noderack_diffusion.errors import FileError
from noderack_diffusion.hypernetwork import ACTIVATIONS, load_hypernetwork
from torch import Tensor, nn


def trained(width: int, kind: str, *, norm: bool, last: bool, dropout: bool) -> nn.Sequential:
    """As the trainer builds it: width, twice that, width."""
    layers: list[nn.Module] = []
    for i, (inner, outer) in enumerate([(width, 2 * width), (2 * width, width)]):
        layers.append(nn.Linear(inner, outer))
        if kind != "linear" and (i == 0 or last):
            layers.append(ACTIVATIONS[kind]())
        if norm:
            layers.append(nn.LayerNorm(outer))
        if dropout and i == 0:
            layers.append(nn.Dropout(0.3))
    return nn.Sequential(*layers)


def saved(path: Path, kind: str, **how: bool) -> dict[int, list[nn.Sequential]]:
    torch.manual_seed(3)
    made = {width: [trained(width, kind, **how).eval() for _ in "kv"] for width in (8, 12)}
    table: dict[Any, Any] = {
        width: tuple({f"linear.{k}": v for k, v in net.state_dict().items()} for net in pair)
        for width, pair in made.items()
    }
    told = {"activation_func": kind, "is_layer_norm": how["norm"], "activate_output": how["last"]}
    torch.save({**table, **told, "use_dropout": how["dropout"], "step": 10, "name": "style"}, path)
    return made


@pytest.mark.parametrize("kind", ["linear", "relu", "swish", "mish", "tanh"])
@pytest.mark.parametrize(
    "how",
    [
        {"norm": False, "last": False, "dropout": False},
        {"norm": True, "last": False, "dropout": True},
        {"norm": True, "last": True, "dropout": False},
    ],
)
def test_networks_are_those_of_the_trainer(tmp_path: Path, kind: str, how: dict[str, bool]) -> None:
    made = saved(tmp_path / "style.pt", kind, **how)
    changed = load_hypernetwork(tmp_path / "style.pt").at(0.5)
    q = torch.randn(1, 3, 20)
    for width, (for_keys, for_values) in made.items():
        k, v = torch.randn(1, 4, width), torch.randn(1, 4, width)
        out: tuple[Tensor, Tensor, Tensor] = changed(q, k, v, {})
        assert out[0] is q
        assert torch.allclose(out[1], k + 0.5 * for_keys(k), atol=1e-6)
        assert torch.allclose(out[2], v + 0.5 * for_values(v), atol=1e-6)
    other = torch.randn(1, 4, 16)
    assert changed(q, other, other, {})[1] is other, "a width that it has nothing for stays"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"step": 1}, "no networks by width"),
        ([1, 2], "no networks by width"),
        ({8: ({}, {}), "activation_func": "odd"}, "has the activation 'odd'; known are linear, relu"),
        ({8: ({"linear.0.weight": torch.zeros(2, 2)}, {})}, "no hypernetwork as they are known"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: Any, said: str) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(FileError, match=said):
        load_hypernetwork(tmp_path / "other.pt")
