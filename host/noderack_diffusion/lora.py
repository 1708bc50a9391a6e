"""Adapter files: LoRA and kin, in every naming scheme of the field, read into patches, with a report."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from noderack_diffusion.adapters import Additive, Algorithm, Replaced
from noderack_diffusion.aliases import is_text, tower_aliases, unet_aliases
from noderack_diffusion.blocks import Factor
from noderack_diffusion.errors import AdapterError
from noderack_diffusion.inversion import BUNDLE, bundled
from noderack_diffusion.load_report import LoadReport, made_for, nearest
from noderack_diffusion.model import Model
from noderack_diffusion.patch import Patch, PatchSet
from noderack_diffusion.soundness import algorithms, flaw, is_zero, makes_nothing, totals
from noderack_diffusion.store import Store
from noderack_diffusion.textenc import Clip

SUFFIXES: Mapping[str, str] = {
    ".lora_up.weight": "up",
    ".lora_down.weight": "down",
    ".lora_mid.weight": "mid",
    "_lora.up.weight": "up",
    "_lora.down.weight": "down",
    ".lora.up.weight": "up",
    ".lora.down.weight": "down",
    ".lora_B.weight": "up",
    ".lora_A.weight": "down",
    ".lora_B.default.weight": "up",
    ".lora_A.default.weight": "down",
    ".lora_B": "up",
    ".lora_A": "down",
    ".lora_linear_layer.up.weight": "up",
    ".lora_linear_layer.down.weight": "down",
    ".lora_B.bias": "diff_b",
    ".alpha": "alpha",
    ".dora_scale": "dora",
    ".lora_magnitude_vector": "magnitude",
    ".lora_magnitude_vector.weight": "magnitude",
    ".lora_magnitude_vector.default": "magnitude",
    ".lora_magnitude_vector.default.weight": "magnitude",
    ".reshape_weight": "reshape",
    **{f".hada_{k}": f"hada_{k}" for k in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")},
    **{f".lokr_{k}": f"lokr_{k}" for k in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")},
    **{f".{k}.weight": k for k in ("a1", "a2", "b1", "b2")},
    ".oft_blocks": "oft_blocks",
    ".rescale": "rescale",
    ".on_input": "on_input",
    ".diff": "diff",
    ".diff_b": "diff_b",
    ".w_norm": "w_norm",
    ".b_norm": "b_norm",
    ".set_weight": "set_weight",
    ".weight": "weight",
}
_LONGEST_FIRST = sorted(SUFFIXES, key=len, reverse=True)


@dataclass(frozen=True, slots=True, eq=False)
class LoraFile:
    """An adapter file. ``stems`` maps each module's name in the file to its tensors by role."""

    path: Path
    key: str
    """sha256 of its tensors' bytes."""
    metadata: Mapping[str, str]
    stems: Mapping[str, Mapping[str, Tensor]]
    bundles: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    """Textual inversions that travel in the file, by name."""
    strange: tuple[str, ...] = ()
    """Tensors that are no part of any change that is known here."""


def load_lora(path: str | Path) -> LoraFile:
    """Read an adapter file. Raises FileError or AdapterError."""
    store = Store.open(path)
    tensors = {name: store.tensor(name) for name in sorted(store.header)}
    stems = _known(tensors, store.path.name)
    key = _digest(tensors)
    odd = _strange(tensors, stems)
    return LoraFile(store.path, key, store.metadata, _with_config(stems, store), bundled(tensors), odd)


def lora_of(tensors: Mapping[str, Tensor], name: str = "LoRA") -> LoraFile:
    """An adapter that lies in memory, under the names that files have. Raises AdapterError."""
    kept = {key: tensors[key].detach().cpu() for key in sorted(tensors)}
    stems = _known(kept, name)
    return LoraFile(Path(name), _digest(kept), {}, stems, bundled(kept), _strange(kept, stems))


def _known(tensors: Mapping[str, Tensor], name: str) -> dict[str, dict[str, Tensor]]:
    stems = group(tensors)
    if all(makes_nothing(parts) and not algorithms(parts) for parts in stems.values()):
        some = ", ".join(sorted(tensors)[:3]) or "nothing"
        raise AdapterError(f"{name} is no adapter that is known here; it holds {some}")
    return stems


def _strange(tensors: Mapping[str, Tensor], stems: Mapping[str, Mapping[str, Tensor]]) -> tuple[str, ...]:
    """The names of tensors that are no part of a change, nor of a textual inversion."""
    rest = {stem for stem, parts in stems.items() if makes_nothing(parts) and not algorithms(parts)}
    split = {name: _split(name) for name in tensors if not name.startswith(BUNDLE)}
    return tuple(name for name, found in split.items() if found is None or found[0] in rest)


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(name.encode())
        digest.update(tensor.contiguous().view(torch.uint8).numpy().tobytes() if tensor.dim() else b"")
        digest.update(repr(tensor.tolist()).encode() if not tensor.dim() else b"")
    return digest.hexdigest()


def group(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Tensors by stem and role."""
    stems: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        found = _split(name)
        if found is not None:
            stems.setdefault(found[0], {})[found[1]] = tensor
    return stems


def _split(name: str) -> tuple[str, str] | None:
    """A tensor's stem and role, by the longest suffix that is known."""
    suffix = next((s for s in _LONGEST_FIRST if name.endswith(s)), None)
    return None if suffix is None else (name.removesuffix(suffix), SUFFIXES[suffix])


def _with_config(stems: dict[str, dict[str, Tensor]], store: Store) -> Mapping[str, Mapping[str, Tensor]]:
    """Alpha from PEFT's own config (beside the file, or in its header), where the tensors do not say it."""
    beside = store.path.with_name("adapter_config.json")
    text = store.metadata.get("lora_adapter_metadata")
    if text is None and beside.is_file() and store.path.name.startswith("adapter_model"):
        text = beside.read_text(encoding="utf-8")
    try:
        config = json.loads(text) if text else {}
        for stem, parts in stems.items():
            alpha = _told_alpha(config, stem)
            if alpha is not None and "down" in parts and "alpha" not in parts:
                root = parts["down"].shape[0] ** 0.5 if _told(config, stem, "use_rslora") else 1.0
                parts["alpha"] = torch.tensor(float(alpha) * root)
    except (ValueError, TypeError, AttributeError, re.error) as cause:
        raise AdapterError(f"the adapter config of {store.path.name} is not PEFT's ({cause})") from cause
    return stems


def _told_alpha(config: Mapping[str, Any], stem: str) -> Any:
    """The alpha of a module: its own by pattern, else that of its part of the pipeline."""
    patterns = _told(config, stem, "alpha_pattern") or {}
    own = next((a for pattern, a in patterns.items() if re.fullmatch(rf"(.*\.)?({pattern})", stem)), None)
    return _told(config, stem, "lora_alpha") if own is None else own


def _told(config: Mapping[str, Any], stem: str, name: str) -> Any:
    """A setting, which diffusers keeps apart for each part of a pipeline."""
    return config.get(f"{stem.partition('.')[0]}.{name}", config.get(name))


def aliases_of(target: Model | Clip) -> dict[str, str]:
    """Every spelling of every parameter of a model or its text encoders."""
    if isinstance(target, Model):
        config = target.spec.unet
        return {} if config is None else unet_aliases(config, target.live.pieces)
    alone = len(target.towers) == 1
    found: dict[str, str] = {}
    for tower in target.towers:
        found.update(tower_aliases(tower.recipe.name, tower.live.pieces, alone=alone))
    return found


def _shape(target: Model | Clip, parameter: str) -> tuple[int, ...] | None:
    if isinstance(target, Model):
        piece = target.live.pieces.get(parameter)
    else:
        name, _, inner = parameter.partition(".")
        tower = next(t for t in target.towers if t.recipe.name == name)
        piece = tower.live.pieces.get(inner)
    return None if piece is None else piece.dims()


def patches_for(
    lora: LoraFile,
    target: Model | Clip,
    strength: float,
    *,
    compat: str | None = None,
    bypass: bool = False,
    factor: Factor | None = None,
) -> tuple[PatchSet, LoadReport]:
    """The patches that an adapter file means for a model or its text encoders, and how they met.

    ``compat="comfy"`` repeats the quirks of the reference host (see ``adapters``). ``bypass`` applies what
    changes matrices and convolutions beside them when they run, for weights kept in few bits. ``factor``
    gives each parameter's share of the strength (see ``blocks``).
    """
    if not math.isfinite(strength):
        raise AdapterError(f"{lora.path.name} cannot be applied with the strength {strength}; give a number")
    known, text = aliases_of(target), isinstance(target, Clip)
    patches: list[Patch] = []
    lost: list[str] = []
    misfit: dict[str, str] = {}
    matched: list[str] = []
    used: list[str] = []
    zero: list[str] = []
    elsewhere = 0
    for stem, parts in lora.stems.items():
        rows = algorithms(parts)
        if not rows and makes_nothing(parts):
            continue
        if stem not in known:
            if is_text(stem) != text:
                elsewhere += 1
            else:
                lost.append(stem)
            continue
        sums = totals(parts)
        problem = flaw(parts, rows, sums)
        if problem:
            misfit[stem] = f"{known[stem]}: {problem}"
            continue
        made = [
            _patch(lora, stem, row, known[stem], strength=strength, compat=compat == "comfy") for row in rows
        ]
        problems = [_problem(target, patch) for patch in made]
        misfit.update((stem, problem) for problem in problems if problem)
        made = [patch for patch, problem in zip(made, problems, strict=True) if not problem]
        if not made:
            continue
        if bypass:
            made = [replace(p, beside=_can_stand_beside(p, _shape(target, p.parameter))) for p in made]
        if factor is not None:
            made = [replace(p, strength=p.strength * factor(p.parameter)) for p in made]
        patches += [p for p in made if p.strength or isinstance(p.delta, Replaced)]
        matched.append(stem)
        used += [row.name for row in rows]
        if all(is_zero(row, sums) for row in rows):
            zero.append(stem)
    report = LoadReport(
        lora.path.name,
        tuple(matched),
        nearest(lost, known),
        misfit,
        tuple(zero),
        elsewhere,
        tuple(dict.fromkeys(used)),
        made_for(lora.metadata, lost),
        sum(patch.beside for patch in patches),
        lora.strange,
    )
    return PatchSet(tuple(patches)), report


def _can_stand_beside(patch: Patch, shape: tuple[int, ...] | None) -> bool:
    """Whether a change can be added to what a layer gives: not one of biases, norms, or of the shape."""
    matrix = patch.parameter.endswith(".weight") and len(shape or ()) in (2, 4)
    replaces = isinstance(patch.delta, Replaced) or "reshape" in getattr(patch.delta, "parts", {})
    return matrix and not replaces and not patch.parameter.endswith("embedding.weight")


def _patch(
    lora: LoraFile, stem: str, row: Algorithm, parameter: str, *, strength: float, compat: bool
) -> Patch:
    if row.on_bias:
        parameter = parameter.removesuffix("weight") + "bias"
    origin = f"{lora.key}:{stem}:{row.name}:{'+'.join(row.needs)}:{compat}"
    return Patch(parameter, row.build(lora.stems[stem], compat), origin, strength)


def _problem(target: Model | Clip, patch: Patch) -> str | None:
    """Why a patch does not fit its parameter."""
    shape = _shape(target, patch.parameter)
    if shape is None:
        return f"the model has no {patch.parameter}"
    why = patch.delta.misfit(shape)
    if why is None and isinstance(patch.delta, Additive) and "reshape" in patch.delta.parts:
        larger = [int(n) for n in patch.delta.parts["reshape"].flatten().tolist()]
        why = (
            None
            if tuple(larger) == shape
            else f"it makes {list(shape)} grow to {larger}, for another network"
        )
    return why and f"{patch.parameter}: {why}"
