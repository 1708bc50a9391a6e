"""Adapter files, as ``.safetensors`` or ``.bin``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from noderack_diffusion.store import Store
from torch import Tensor, nn

from noderack_ipadapter.project import Face, Linear, Resampler, projector

FACE = 512
"""Numbers in the vector of a face."""


class IPAdapterError(ValueError):
    """Something that cannot be used with an IP-Adapter: what, why, what would do."""


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """What an IPADAPTER socket carries: an adapter, and an image tower if one was loaded with it."""

    name: str
    projector: nn.Module
    layers: tuple[tuple[Tensor, Tensor], ...]
    """For each attention to the text, in the order of the file, the weights of keys and values."""
    vision: Any = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def context(self) -> int:
        """Width of the tokens: that of the model's text."""
        return self.layers[0][0].shape[1]

    @property
    def of_patches(self) -> bool:
        """Whether it wants all that CLIP saw, not its one vector."""
        return not isinstance(self.projector, Linear | Face)

    @property
    def of_faces(self) -> bool:
        """Whether it wants what a face recognition model saw (FaceID)."""
        network = self.projector
        return isinstance(network, Face) or (
            isinstance(network, Resampler) and network.proj_in.in_features == FACE
        )

    @property
    def is_second(self) -> bool:
        """Whether it is of the second version of the "plus" form for faces, which only its name tells."""
        return "plusv2" in self.name.lower().replace("-", "").replace("_", "").replace(".", "")


def load_adapter(path: Path) -> Adapter:
    """Read an adapter. Raises FileError or IPAdapterError."""
    tensors = read(path)
    parts = {name: _below(tensors, f"{name}.") for name in ("image_proj", "ip_adapter")}
    if not parts["image_proj"] or not parts["ip_adapter"]:
        some = ", ".join(sorted(tensors)[:3]) or "nothing"
        raise IPAdapterError(f"{path.name} is no IP-Adapter; it holds {some}")
    layers = _layers(parts["ip_adapter"], path.name)
    if not layers:
        raise IPAdapterError(f"{path.name} has no layers of an IP-Adapter; is it the LoRA of one?")
    network = projector(parts["image_proj"], layers[0][0].shape[1])
    if network is None:
        raise IPAdapterError(f"{path.name} is an IP-Adapter of a form that is not known here")
    return Adapter(path.name, network, layers)


def read(path: Path) -> dict[str, Tensor]:
    """All tensors by dotted name; pickled files are read without running their code."""
    if path.suffix in (".bin", ".pt", ".pth"):
        try:
            return dict(_flat(torch.load(path, map_location="cpu", weights_only=True)))
        except Exception as cause:  # torch raises many kinds; all mean the same here
            raise IPAdapterError(f"cannot read {path.name}: {cause}") from cause
    store = Store.open(path)
    return {name: store.tensor(name) for name in store.header}


def _flat(found: Any, prefix: str = "") -> list[tuple[str, Tensor]]:
    rows: list[tuple[str, Tensor]] = []
    for name, value in found.items() if isinstance(found, Mapping) else ():
        if isinstance(value, Tensor):
            rows.append((f"{prefix}{name}", value))
        else:
            rows += _flat(value, f"{prefix}{name}.")
    return rows


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _layers(state: Mapping[str, Tensor], name: str) -> tuple[tuple[Tensor, Tensor], ...]:
    numbers = sorted({int(key.split(".")[0]) for key in state if "lora" not in key})
    try:
        return tuple((state[f"{n}.to_k_ip.weight"], state[f"{n}.to_v_ip.weight"]) for n in numbers)
    except KeyError as cause:
        raise IPAdapterError(f"{name} lacks the weight {cause.args[0]} of an IP-Adapter") from cause
