"""Models as folders, the way diffusers keeps them -> the same handles that single files give."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from noderack_diffusion import settings
from noderack_diffusion.autoencoder import Vae
from noderack_diffusion.checkpoint import Checkpoint, Placed, load_model, parametrisation, placed
from noderack_diffusion.clip import ClipText, clip_config
from noderack_diffusion.detect import recognise
from noderack_diffusion.errors import FileError, UnknownModelError
from noderack_diffusion.model import Model
from noderack_diffusion.names import unet_modules, vae_modules
from noderack_diffusion.shapes import Shapes, count
from noderack_diffusion.spec import PLAYGROUND, Family, ModelSpec, TowerRecipe
from noderack_diffusion.store import Store
from noderack_diffusion.textenc import Clip, Embeddings, Tower
from noderack_diffusion.unclip import Seen
from noderack_diffusion.unet import NO_MIDDLE, Level, UNet, UNetConfig, unet_config
from noderack_diffusion.vae import AutoencoderKL, VaeConfig, vae_config
from noderack_diffusion.weights import Piece, shapes

_LEAVES = ("weight", "bias")
_VARIANTS = ("", ".fp16", ".bf16")


def load_folder(
    path: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    embeddings: Embeddings | None = None,
) -> Checkpoint:
    """Open a folder with ``unet``, ``vae`` and ``text_encoder`` in it. Raises FileError or
    UnknownModelError.
    """
    folder, place = Path(path), placed(device, dtype)
    vae = _vae(folder, place)
    model = _model(_stores(folder / "unet", "diffusion_pytorch_model"), vae, place, folder)
    spec = model.spec
    return Checkpoint(model, _clip(folder, spec.family, place, embeddings), vae, spec)


def load_model_file(
    path: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    stored: str | None = None,
) -> Model:
    """As ``checkpoint.load_model``, for a file in the original names or in diffusers'."""
    store = Store.open(path)
    if "down_blocks.0.resnets.0.conv1.weight" in store.header:
        return _model([store], None, placed(device, dtype, stored))
    return load_model(path, device=device, dtype=dtype, stored=stored)


def _model(stores: list[Store], vae: Vae | None, place: Placed, folder: Path | None = None) -> Model:
    """``folder`` is the pipeline's, whose settings say what shapes cannot."""
    pieces = _renamed(stores, unet_modules(unet_numbers(_shapes(stores))))
    config = unet_config(shapes(pieces), settings.unet(folder))
    family, why = recognise(config)
    kind, zero_snr = settings.prediction(folder)
    kind = kind or family.prediction
    if kind == "edm":
        family = replace(family, latent=PLAYGROUND)
    spec = ModelSpec(family, config, vae.config if vae else None, why, kind, zero_snr, _seen(folder))
    live = place.live(stores[0], lambda: UNet(config), pieces, "unet")
    return Model(spec, live, parametrisation(stores[0], spec, pieces))


def _seen(folder: Path | None) -> Seen | None:
    """How the vectors of pictures lie that a pipeline's model was trained on, if it was."""
    if folder is None or not (folder / "image_normalizer").is_dir():
        return None
    (store,) = _stores(folder / "image_normalizer", "diffusion_pytorch_model")
    mean, spread = (store.tensor(name).float().reshape(1, -1).clone() for name in ("mean", "std"))
    return Seen(mean, spread)


def _stores(folder: Path, name: str) -> list[Store]:
    """The file of a part, or its shards."""
    for variant in _VARIANTS:
        whole = folder / f"{name}{variant}.safetensors"
        if whole.is_file():
            return [Store.open(whole)]
        shards = sorted(folder.glob(f"{name}{variant}-*-of-*.safetensors"))
        if shards:
            return [Store.open(shard) for shard in _all_of(shards)]
    pickled = folder / f"{'pytorch_model' if name == 'model' else name}.bin"
    if pickled.is_file():
        return [Store.open(pickled)]
    raise FileError(
        f"{folder} holds no {name}.safetensors; download the part again, or the single-file version"
    )


def _all_of(shards: list[Path]) -> list[Path]:
    """The same, if none is missing: their names say how many there are."""
    said = shards[0].stem.rpartition("-of-")[2]
    if said.isdigit() and len(shards) != int(said):
        numbers = {int(n) for shard in shards if (n := shard.stem.rpartition("-of-")[0][-5:]).isdigit()}
        lost = ", ".join(str(n) for n in range(1, int(said) + 1) if n not in numbers)
        raise FileError(f"of the {said} parts of {shards[0]} there is no {lost}; download what is missing")
    return shards


def _shapes(stores: Iterable[Store]) -> dict[str, tuple[int, ...]]:
    return {name: shape for store in stores for name, shape in store.shapes().items()}


def _renamed(stores: Iterable[Store], modules: Iterable[tuple[str, str]]) -> dict[str, Piece]:
    where = {name: store for store in stores for name in store.header}
    return {
        f"{ours}.{leaf}": Piece(where[f"{theirs}.{leaf}"], f"{theirs}.{leaf}")
        for theirs, ours in modules
        for leaf in _LEAVES
        if f"{theirs}.{leaf}" in where
    }


def unet_numbers(there: Shapes) -> UNetConfig:
    """Just enough of a diffusers U-Net's numbers to make its rename table."""
    if "conv_in.weight" not in there:
        raise UnknownModelError("this folder's unet is of another kind than Stable Diffusion's")
    width = there["conv_in.weight"][0]
    last = count(there, "down_blocks.{}.resnets.0.conv1.weight") - 1
    levels = tuple(
        Level(
            there[f"down_blocks.{x}.resnets.0.conv1.weight"][0] // width,
            tuple(_depths(there, f"down_blocks.{x}")),
            tuple(_depths(there, f"up_blocks.{last - x}")),
        )
        for x in range(last + 1)
    )
    middle = depth_at(there, "mid_block.attentions.0")
    if "mid_block.resnets.0.conv1.weight" not in there:
        middle = NO_MIDDLE
    labels = (f"{name}_embedding.linear_1.weight" for name in ("add", "class"))
    return UNetConfig(
        width=width,
        levels=levels,
        middle=middle,
        adm=next((there[label][1] for label in labels if label in there), 0),
        classes=there.get("class_embedding.weight", (0,))[0],
    )


def _depths(there: Shapes, place: str) -> Iterator[int]:
    for i in range(count(there, f"{place}.resnets.{{}}.conv1.weight")):
        yield depth_at(there, f"{place}.attentions.{i}")


def depth_at(there: Shapes, place: str) -> int:
    """How many transformer blocks stand at a place of a diffusers U-Net."""
    return count(there, f"{place}.transformer_blocks.{{}}.norm1.weight")


def _vae(folder: Path, place: Placed) -> Vae | None:
    if not (folder / "vae").is_dir():
        return None
    stores = _stores(folder / "vae", "diffusion_pytorch_model")
    there = _shapes(stores)
    levels = count(there, "decoder.up_blocks.{}.resnets.0.conv1.weight")
    rough = VaeConfig(
        mults=(1,) * levels,
        encoder_blocks=count(there, "encoder.down_blocks.0.resnets.{}.conv1.weight"),
        decoder_blocks=count(there, "decoder.up_blocks.0.resnets.{}.conv1.weight"),
        embed=there.get("post_quant_conv.weight", (0, 0))[1],
    )
    pieces = {name: _as_convolution(name, p) for name, p in _renamed(stores, vae_modules(rough)).items()}
    config = vae_config(shapes(pieces), settings.vae(folder))
    return Vae(config, place.live(stores[0], lambda: AutoencoderKL(config), pieces, "vae"))


def _as_convolution(name: str, piece: Piece) -> Piece:
    """Attention's matrices, which the original keeps as 1x1 convolutions."""
    dims = piece.dims()
    if ".attn_1." in name and len(dims) == 2:
        return Piece(piece.store, piece.key, shape=(*dims, 1, 1))
    return piece


def _clip(folder: Path, family: Family, place: Placed, embeddings: Embeddings | None) -> Clip | None:
    there = [part for part in ("text_encoder", "text_encoder_2") if (folder / part).is_dir()]
    if len(there) != len(family.towers):
        return None
    towers = tuple(_tower(folder / p, r, place) for p, r in zip(there, family.towers, strict=True))
    return Clip(towers, pooled_from=family.pooled_from, embeddings=embeddings)


def _text_name(name: str) -> str:
    """Newer writers leave out the first word."""
    return name if name.startswith(("text_model.", "text_projection")) else f"text_model.{name}"


def _tower(folder: Path, recipe: TowerRecipe, place: Placed) -> Tower:
    """Towers whose last norm is used are stored without the layers that are not (Stable Diffusion 2)."""
    recipe = replace(recipe, layer=-1) if recipe.final_norm else recipe
    stores = _stores(folder, "model")
    pieces = {_text_name(name): Piece(store, name) for store in stores for name in store.header}
    config = clip_config(shapes(pieces), settings.text(folder))
    live = place.live(stores[0], lambda: ClipText(config), pieces, f"clip_{recipe.name}")
    return Tower(recipe, live, config.width, config.positions)
