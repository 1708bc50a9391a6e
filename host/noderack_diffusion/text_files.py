"""Text encoders from files of their own -> one ``Clip`` handle.

Which family they serve follows from which towers they are: L alone is Stable Diffusion 1, H is 2, L with G is
SDXL, G alone its refiner.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from noderack_diffusion.checkpoint import LAYOUTS, Placed, placed
from noderack_diffusion.clip import ClipText, clip_config
from noderack_diffusion.detect import find_prefix
from noderack_diffusion.errors import UnknownModelError
from noderack_diffusion.shapes import told
from noderack_diffusion.spec import FAMILIES, Family, TowerRecipe
from noderack_diffusion.store import Store
from noderack_diffusion.textenc import Clip, Embeddings, Tower
from noderack_diffusion.weights import Pieces, shapes

_MARKS = {
    "hf": "text_model.final_layer_norm.weight",
    "open_clip": "ln_final.weight",
    "bare": "final_layer_norm.weight",
}
_PREFIXES = ("", "transformer.", "cond_stage_model.", "cond_stage_model.transformer.", "clip_l.transformer.")
_WIDTHS: Mapping[int, str] = {768: "l", 1024: "h", 1280: "g"}
_TOKENS = "text_model.embeddings.token_embedding.weight"
STORED_H = 23
"""Layers of CLIP-H as diffusers keeps it: without the last, which is not used."""
_OTHERS = {
    "encoder.block.0.layer.0.SelfAttention.q.weight": "a T5 encoder",
    "model.layers.0.self_attn.q_proj.weight": "a language model",
}


def load_text_encoder(
    paths: Sequence[str | Path],
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    embeddings: Embeddings | None = None,
) -> Clip:
    """Open one or two text-encoder files. Raises FileError, or UnknownModelError if no family uses them."""
    if not 1 <= len(paths) <= 2:
        raise UnknownModelError(f"{len(paths)} text encoders given; Stable Diffusion takes one, SDXL two")
    stores, place = [Store.open(path) for path in paths], placed(device, dtype)
    named = _named(stores)
    family = _family(named)
    found = {name: (store, pieces) for name, store, pieces in named}
    towers = tuple(_tower(recipe, *found[recipe.name], place) for recipe in family.towers)
    return Clip(towers, pooled_from=family.pooled_from, embeddings=embeddings)


def _named(stores: Sequence[Store]) -> list[tuple[str, Store, Pieces]]:
    """Each file's tower by its name; of widths that no release has, the first is L and the second G."""
    read = [(store, tower_pieces(store)) for store in stores]
    names = [_WIDTHS.get(pieces[_TOKENS].dims()[1]) for _, pieces in read]
    return [
        (name or "lg"[i], store, pieces)
        for i, (name, (store, pieces)) in enumerate(zip(names, read, strict=True))
    ]


def tower_pieces(store: Store) -> Pieces:
    """The tower in a file, whatever layout it has. Raises UnknownModelError that says what is there."""
    for form, mark in _MARKS.items():
        prefix = find_prefix(store.header, _PREFIXES, mark)
        if prefix is not None:
            return LAYOUTS[form](store, prefix)
    other = next((what for key, what in _OTHERS.items() if key in store.header), None)
    if other:
        raise UnknownModelError(
            f"{store.path.name} is {other}; it serves families that are not here yet, none of Stable "
            "Diffusion's"
        )
    some = ", ".join(sorted(store.header)[:3]) or "nothing"
    raise UnknownModelError(f"{store.path.name} is no text encoder that is known here; it holds {some}")


def _family(named: Sequence[tuple[str, Store, Pieces]]) -> Family:
    names = sorted(name for name, _, _ in named)
    family = next((f for f in FAMILIES if sorted(r.name for r in f.towers) == names), None)
    if family is None:
        files = " and ".join(store.path.name for _, store, _ in named)
        kinds = " and ".join(f"CLIP-{name.upper()}" for name in names)
        raise UnknownModelError(
            f"no family uses just {kinds} ({files}): Stable Diffusion 1 takes L, 2 takes H, SDXL L and G"
        )
    return family


def _tower(recipe: TowerRecipe, store: Store, pieces: Pieces, place: Placed) -> Tower:
    part = "clip" if recipe.name == "l" else f"clip_{recipe.name}"
    config = clip_config(shapes(pieces), told(store.metadata, part))
    if recipe.name == "h" and config.layers == STORED_H:
        recipe = replace(recipe, layer=-1)
    live = place.live(store, lambda: ClipText(config), pieces, part)
    return Tower(recipe, live, config.width, config.positions)
