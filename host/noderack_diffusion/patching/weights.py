"""Weight patches as packs give them: by parameter, as tensors or as adapters."""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from noderack_diffusion.adapters import Added, Replaced
from noderack_diffusion.errors import AdapterError
from noderack_diffusion.patch import Delta, Part, Patch

PREFIX = "diffusion_model."


def patches(
    given: Mapping[Any, Any], known: Mapping[str, Any], strength: float, base: float
) -> tuple[list[Patch], list[Any]]:
    """The patches of those parameters that the model has, and the keys that were used.

    A key is a parameter's name, or (name, (axis, start, length)). A value is an adapter of the core,
    ``("diff", (tensor,))``, ``("set", (tensor,))`` or ``(tensor,)``.
    """
    made, used = [], []
    for key, value in given.items():
        name, part = (key, None) if isinstance(key, str) else (key[0], key[1] if len(key) > 1 else None)
        parameter = name.removeprefix(PREFIX)
        if parameter not in known:
            continue
        rows = None if part is None else Part(int(part[1]), int(part[2]), int(part[0]))
        delta, origin = _delta(name, value)
        made.append(Patch(parameter, delta, origin, strength, base, rows))
        used.append(key)
    return made, used


def _delta(name: str, value: Any) -> tuple[Delta, str]:
    if hasattr(value, "merged") and hasattr(value, "misfit"):
        adapter: Delta = value
        held = [getattr(value, part.name) for part in fields(value)] if is_dataclass(value) else []
        tensors = [t for part in held for t in (part.values() if isinstance(part, Mapping) else [part])]
        named = "+".join(_digest(t) if torch.is_tensor(t) else repr(t) for t in tensors)
        return adapter, f"{type(value).__name__}:{named or uuid.uuid4()}"
    kind, content = ("diff", value) if _is_plain(value) else value
    tensor = content[0] if isinstance(content, list | tuple) else content
    if kind not in ("diff", "set") or not torch.is_tensor(tensor):
        raise AdapterError(f"a patch of {name} has the form {kind!r}, which is not known here")
    delta: Delta = Added(tensor) if kind == "diff" else Replaced(tensor)
    return delta, f"{kind}:{_digest(tensor)}"


def _is_plain(value: Any) -> bool:
    return torch.is_tensor(value) or (isinstance(value, list | tuple) and torch.is_tensor(value[0]))


def _digest(tensor: Tensor) -> str:
    plain = tensor.detach().to("cpu", torch.float32).contiguous()
    return hashlib.sha256(plain.numpy().tobytes()).hexdigest()
