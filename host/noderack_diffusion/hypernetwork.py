"""Hypernetworks: small networks beside the attention's keys and values, as the A1111 program trains them.

A file has, for each width of what is attended to, one network for keys and one for values: matrices in a row,
with an activation after each but the last, and a norm after that where the file says so. What they make is
added to what they are given. Dropout, which some were trained with, does nothing when they are used.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from noderack_diffusion.errors import FileError

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "leakyrelu": nn.LeakyReLU,
    "elu": nn.ELU,
    "swish": nn.Hardswish,
    "hardswish": nn.Hardswish,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "selu": nn.SELU,
    "celu": nn.CELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softsign": nn.Softsign,
    "softplus": nn.Softplus,
    "mish": nn.Mish,
}
"""By the name in files."""


@dataclass(frozen=True, slots=True, eq=False)
class Hypernetwork:
    """The networks for keys and for values, by the width of what they are given."""

    name: str
    pairs: Mapping[int, tuple[nn.Module, nn.Module]]

    def at(self, strength: float) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
        """A function for the places where attention's inputs may be changed."""

        @torch.no_grad()
        def changed(q: Tensor, k: Tensor, v: Tensor, told: Any) -> tuple[Tensor, Tensor, Tensor]:
            pair = self.pairs.get(k.shape[-1])
            if pair is None:
                return q, k, v
            for_keys, for_values = (one.to(k.device, k.dtype) for one in pair)
            return q, k + for_keys(k) * strength, v + for_values(v) * strength

        return changed


def load_hypernetwork(path: str | Path) -> Hypernetwork:
    """Open a ``.pt`` file, without running any code of it. Raises FileError."""
    path = Path(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as cause:
        raise FileError(f"cannot read {path}: {cause.strerror or cause}") from cause
    except Exception as cause:  # torch raises many kinds; all mean the same here
        raise FileError(f"{path} is no hypernetwork that can be read without running its code") from cause
    widths = [key for key in found if isinstance(key, int)] if isinstance(found, Mapping) else []
    if not widths:
        raise FileError(f"{path} is no hypernetwork: it has no networks by width (320, 768 ...)")
    kind = str(found.get("activation_func") or "linear").lower()
    if kind not in ACTIVATIONS:
        raise FileError(f"{path} has the activation {kind!r}; known are {', '.join(ACTIVATIONS)}")
    last = bool(found.get("activate_output", False))
    try:
        pairs = {width: tuple(_network(state, kind, last) for state in found[width][:2]) for width in widths}
    except (KeyError, TypeError, AttributeError, IndexError) as cause:
        raise FileError(f"{path} is no hypernetwork as they are known: {cause!r}") from cause
    return Hypernetwork(path.name, {width: (pair[0], pair[1]) for width, pair in pairs.items()})


def _network(state: Mapping[str, Tensor], kind: str, last: bool) -> nn.Module:
    """``last``: an activation follows the last matrix too."""
    stems = [name.removesuffix(".weight") for name in state if name.endswith(".weight")]
    matrices = [stem for stem in stems if state[f"{stem}.weight"].dim() == 2]
    layers: list[nn.Module] = []
    for stem in stems:
        weight, bias = state[f"{stem}.weight"], state[f"{stem}.bias"]
        if stem not in matrices:
            layers.append(_holding(nn.LayerNorm(weight.shape[0]), weight, bias))
            continue
        layers.append(_holding(nn.Linear(weight.shape[1], weight.shape[0]), weight, bias))
        if last or stem != matrices[-1]:
            layers.append(ACTIVATIONS[kind]())
    return nn.Sequential(*layers).eval()


def _holding(layer: nn.Module, weight: Tensor, bias: Tensor) -> nn.Module:
    for name, value in (("weight", weight), ("bias", bias)):
        setattr(layer, name, nn.Parameter(value.float(), requires_grad=False))
    return layer
