"""Checkpoints: one file -> the three handles that sockets carry.

Opening a checkpoint reads its header only. Weights are touched when a network is first used.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from noderack_diffusion.autoencoder import Vae
from noderack_diffusion.clip import ClipText, clip_config
from noderack_diffusion.detect import EDM_HIGHEST, EDM_LOWEST, detect, tower_place, unet_prefix, vae_prefix
from noderack_diffusion.devices import pick_device, pick_dtype
from noderack_diffusion.errors import UnknownModelError, UnknownNameError
from noderack_diffusion.model import Model
from noderack_diffusion.narrow import FORMATS
from noderack_diffusion.openclip import bare_pieces, hf_pieces, open_clip_pieces
from noderack_diffusion.preview import Window
from noderack_diffusion.shapes import told
from noderack_diffusion.sigma import Parametrisation, continuous_edm, standard
from noderack_diffusion.spec import ModelSpec, TowerRecipe
from noderack_diffusion.store import Store
from noderack_diffusion.textenc import Clip, Embeddings, Tower
from noderack_diffusion.unclip import Seen
from noderack_diffusion.unet import UNet
from noderack_diffusion.vae import AutoencoderKL, VaeConfig, vae_config
from noderack_diffusion.weights import Live, Pieces, pieces_below, shapes

__all__ = ["Checkpoint", "Clip", "Model", "Vae", "load_checkpoint", "load_model", "load_vae"]

LAYOUTS = {"hf": hf_pieces, "bare": bare_pieces, "open_clip": open_clip_pieces}
"""How a text tower lies in a file, by the name in a family's row."""
_V_PROBE = "output_blocks.11.1.transformer_blocks.0.norm1.bias"
_V_PROBE_FLOOR = 0.09
VARIABLE = "NODERACK_WEIGHTS"
"""Environment variable: how matrices of denoising models are kept where nobody says, as "int8"."""
_SEEN_MEAN, _SEEN_SPREAD = "noise_augmentor.data_mean", "noise_augmentor.data_std"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What a file holds; ``clip`` and ``vae`` are None where it lacks them."""

    model: Model
    clip: Clip | None
    vae: Vae | None
    spec: ModelSpec


@dataclass(frozen=True, slots=True)
class Placed:
    """Where and in which dtype networks compute; ``stored`` is how denoising models' matrices are kept."""

    device: torch.device
    dtype: torch.dtype
    stored: torch.dtype | None = None

    def live(self, store: Store, build: Callable[[], nn.Module], pieces: Pieces, part: str) -> Live:
        """A network of a file's part."""
        key, rounds = f"{store.key}:{part}", part.startswith("clip")
        stored = self.stored if part == "unet" else None
        if stored is not None:
            key = f"{key}:{stored}"
        return Live(
            build,
            pieces,
            key=key,
            dtype=self.dtype,
            device=self.device,
            rounds=rounds,
            stored=stored,
        )


def placed(
    device: str | torch.device | None = None, dtype: torch.dtype | None = None, stored: str | None = None
) -> Placed:
    """The device and dtype told, or the usual ones of this machine; ``stored`` is a name of
    ``narrow.FORMATS``, or what the environment says.
    """
    where = pick_device(device)
    told = (stored or os.environ.get(VARIABLE) or "default").removeprefix("fp8_")
    if told != "default" and told not in FORMATS:
        raise UnknownNameError("format of weights", told, ("default", *FORMATS))
    return Placed(where, pick_dtype(where, dtype), FORMATS.get(told))


def load_checkpoint(
    path: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    embeddings: Embeddings | None = None,
) -> Checkpoint:
    """Open a single-file checkpoint. Raises FileError or UnknownModelError, each with its reason."""
    store, place = Store.open(path), placed(device, dtype)
    spec = detect(store.header, store.metadata)
    vae = None if spec.vae is None else _vae(store, spec.vae, place)
    window = None if vae is None else Window(vae, spec.family.latent)
    return Checkpoint(
        model=replace(_model(store, spec, place), window=window),
        clip=_clip(store, spec, place, embeddings),
        vae=vae,
        spec=spec,
    )


def load_model(
    path: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    stored: str | None = None,
) -> Model:
    """The denoising model of a file that may hold nothing else.

    ``stored`` ("e4m3fn", "e5m2", "int8") keeps matrices in eight bits and widens them when they are used.
    """
    store, place = Store.open(path), placed(device, dtype, stored)
    return _model(store, detect(store.header, store.metadata), place)


def load_vae(
    path: str | Path, *, device: str | torch.device | None = None, dtype: torch.dtype | None = None
) -> Vae:
    """The autoencoder of a file that may hold nothing else."""
    store = Store.open(path)
    prefix = vae_prefix(store.header)
    if prefix is None:
        raise UnknownModelError(f"{store.path.name} holds no autoencoder that is known here")
    config = vae_config(shapes(pieces_below(store, prefix)), told(store.metadata, "vae"))
    return _vae(store, config, placed(device, dtype))


def _model(store: Store, spec: ModelSpec, place: Placed) -> Model:
    config, pieces = spec.unet, pieces_below(store, unet_prefix(store.header) or "")
    assert config is not None
    live = place.live(store, lambda: UNet(config), pieces, "unet")
    if _SEEN_MEAN in store.header:
        mean, spread = (store.tensor(name).float().reshape(1, -1) for name in (_SEEN_MEAN, _SEEN_SPREAD))
        spec = replace(spec, seen=Seen(mean.clone(), spread.clone()))
    return Model(spec, live, parametrisation(store, spec, pieces))


def parametrisation(store: Store, spec: ModelSpec, pieces: Pieces) -> Parametrisation:
    """How the network's output is read, and over which noise levels."""
    kind = _prediction(spec, pieces)
    if kind == "edm":
        return Parametrisation("edm", continuous_edm(0.002, 80.0), data=0.5)
    if kind == "edm_v":
        low, high = (_number(store, name, d) for name, d in ((EDM_LOWEST, 0.002), (EDM_HIGHEST, 120.0)))
        return Parametrisation("v", continuous_edm(low, high), data=1.0)
    return standard(kind, spec.zero_snr, spec.family.betas)


def _number(store: Store, name: str, default: float) -> float:
    return float(store.tensor(name).float().reshape(-1)[0]) if name in store.header else default


def _prediction(spec: ModelSpec, pieces: Pieces) -> str:
    """Stable Diffusion 2 does not say what it predicts; the spread of one bias tells."""
    if spec.prediction != "probe":
        return spec.prediction
    if _V_PROBE not in pieces or spec.unet is None or spec.unet.in_channels != 4:
        return "eps"
    return "v" if float(pieces[_V_PROBE].read().float().std(unbiased=False)) > _V_PROBE_FLOOR else "eps"


def _vae(store: Store, config: VaeConfig, place: Placed) -> Vae:
    pieces = pieces_below(store, vae_prefix(store.header) or "")
    return Vae(config, place.live(store, lambda: AutoencoderKL(config), pieces, "vae"))


def _clip(store: Store, spec: ModelSpec, place: Placed, embeddings: Embeddings | None) -> Clip | None:
    towers = [_tower(store, recipe, place) for recipe in spec.family.towers]
    there = tuple(tower for tower in towers if tower is not None)
    if len(there) != len(towers):
        return None
    return Clip(there, pooled_from=spec.family.pooled_from, embeddings=embeddings)


def _tower(store: Store, recipe: TowerRecipe, place: Placed) -> Tower | None:
    found = tower_place(store.header, recipe)
    if found is None:
        return None
    prefix, form = found
    pieces = LAYOUTS[form](store, prefix)
    part = "clip" if recipe.name == "l" else f"clip_{recipe.name}"
    config = clip_config(shapes(pieces), told(store.metadata, part))
    live = place.live(store, lambda: ClipText(config), pieces, part)
    return Tower(recipe, live, config.width, config.positions)
