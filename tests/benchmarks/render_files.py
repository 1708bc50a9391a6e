"""Files of random numbers under the names that a workflow asks for, of the structure that each name tells.

The networks have few and narrow blocks. Where another host shall read them too, text towers and autoencoders
are whole, as it recognises no others. One file is made for each kind and linked under each name.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import torch
from core_files import adapter_for, levels
from noderack_diffusion import names
from noderack_diffusion.clip import ClipConfig, ClipText
from noderack_diffusion.control import ControlNet
from noderack_diffusion.gligen import Gate, PositionNet
from noderack_diffusion.style import StyleAdapter
from noderack_diffusion.t2i import FullAdapter
from noderack_diffusion.unet import NO_MIDDLE, Level, UNet, UNetConfig
from noderack_diffusion.vae import AutoencoderKL, VaeConfig
from noderack_diffusion.vision import ClipVision, VisionConfig
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

Shape = tuple[int, ...]
Shapes = dict[str, Shape]
PICTURE = 64
FEW = 2
"""Layers of a tower that is not whole."""
_WIDTH, _NARROW = 64, 32
_H, _G = (1024, 24), (1280, 32)
_XL = UNetConfig(
    levels=levels((0, 1, 2), (1, 1, 1)),
    context=2048,
    linear_proj=True,
    adm=2816,
    heads=0,
    head_dim=64,
)
_SD1 = UNetConfig(levels=levels((1, 1, 1, 0), (1, 1, 1, 1)))
_SD2 = replace(_SD1, context=1024, linear_proj=True, heads=0, head_dim=64)
_SDXS = replace(_SD2, levels=tuple(Level(m, (1,), (1, 1), m == 1) for m in (1, 2, 4)), middle=NO_MIDDLE)
UNETS: Mapping[str, UNetConfig] = {
    "sd1": _SD1,
    "sd1_inpaint": replace(_SD1, in_channels=9),
    "sd1_edit": replace(_SD1, in_channels=8),
    "sd2": _SD2,
    "sd2_inpaint": replace(_SD2, in_channels=9),
    "sd2_unclip": replace(_SD2, adm=2048),
    "sdxl": _XL,
    "cosxl": _XL,
    "playground": _XL,
    "cosxl_edit": replace(_XL, in_channels=8, levels=levels((0, 2, 10), (1, 1, 1))),
    "refiner": replace(_XL, width=384, levels=levels((0, 4, 4, 0), (1, 1, 1, 1)), context=1280, adm=2560),
    "sdxs": _SDXS,
}
_PROBE = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
"""Networks of SD 2 that predict a velocity are told by the spread of this bias."""
_EDM = {"edm_vpred.sigma_max": torch.tensor(120.0), "edm_vpred.sigma_min": torch.tensor(0.002)}
MARKS: Mapping[str, Mapping[str, Tensor]] = {
    "cosxl": _EDM,
    "cosxl_edit": _EDM,
    "playground": {"edm_mean": torch.zeros(4), "edm_std": torch.ones(4)},
}
KINDS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "checkpoints": (
        ("unclip", "sd2_unclip"),
        ("refiner", "refiner"),
        (r"cosxl\w*edit", "cosxl_edit"),
        ("cosxl", "cosxl"),
        ("playground", "playground"),
        ("xl|juggernaut_x", "sdxl"),
        ("512-inpaint", "sd2_inpaint"),
        ("v2-[01]|768", "sd2"),
        ("inpaint", "sd1_inpaint"),
        ("pix2pix", "sd1_edit"),
        ("", "sd1"),
    ),
    "diffusion_models": (("sdxs", "unet/sdxs"), ("xl", "unet/sdxl"), ("", "unet/sd1")),
    "loras": (("xl", "lora/sdxl"), ("", "lora/sd1")),
    "controlnet": (("union", "control/union"), ("xl", "control/sdxl"), ("t2i", "t2i"), ("", "control/sd1")),
    "vae": (("", "vae"),),
    "text_encoders": (("clip_?h", "text/h"), ("clip_?g", "text/g"), ("", "text/l")),
    "clip_vision": (("_g", "vision/g"), ("_h|h14", "vision/h"), ("", "vision/l")),
    "style_models": (("", "style"),),
    "gligen": (("", "gligen"),),
    "upscale_models": (("x8|8x", "esrgan/8"), ("2x|x2", "esrgan/2"), ("", "esrgan/4")),
    "embeddings": (("768", "embedding/1024"), ("", "embedding/768")),
}
"""For each model folder: what a name has in it, and the kind of file that it then is; the first counts."""


def kind_of(folder: str, name: str) -> str | None:
    """Which kind of file a workflow means by a name in a folder."""
    plain = name.replace("\\", "/").lower()
    return next((kind for mark, kind in KINDS.get(folder, ()) if re.search(mark, plain)), None)


# structures


def config(kind: str, whole: bool) -> UNetConfig:
    """The U-Net of a kind, narrower unless it has to be known elsewhere."""
    return UNETS[kind] if whole else replace(UNETS[kind], width=_WIDTH)


def _of(network: Callable[[], nn.Module], prefix: str = "") -> Shapes:
    with torch.device("meta"):
        return {prefix + name: tuple(value.shape) for name, value in network().state_dict().items()}


def _open_clip(prefix: str, width: int, layers: int) -> Shapes:
    """The blocks of a tower in OpenCLIP's names."""
    found: Shapes = {}
    for at in (f"{prefix}transformer.resblocks.{i}." for i in range(layers)):
        found |= {f"{at}attn.in_proj_weight": (3 * width, width), f"{at}attn.in_proj_bias": (3 * width,)}
        for leaf, out, inner in (("attn.out_proj", 1, 1), ("mlp.c_fc", 4, 1), ("mlp.c_proj", 1, 4)):
            found |= {f"{at}{leaf}.weight": (out * width, inner * width), f"{at}{leaf}.bias": (out * width,)}
        for norm in ("ln_1", "ln_2"):
            found |= {f"{at}{norm}.weight": (width,), f"{at}{norm}.bias": (width,)}
    return found


def _open_text(prefix: str, width: int, layers: int) -> Shapes:
    ends = {
        "positional_embedding": (77, width),
        "text_projection": (width, width),
        "token_embedding.weight": (49408, width),
        "ln_final.weight": (width,),
        "ln_final.bias": (width,),
    }
    return {prefix + name: shape for name, shape in ends.items()} | _open_clip(prefix, width, layers)


def _open_vision(prefix: str, width: int, layers: int, out: int) -> Shapes:
    ends: Shapes = {
        "class_embedding": (width,),
        "conv1.weight": (width, 3, 14, 14),
        "positional_embedding": (257, width),
        "proj": (width, out),
    }
    ends |= {f"{norm}.{leaf}": (width,) for norm in ("ln_pre", "ln_post") for leaf in ("weight", "bias")}
    return {prefix + name: shape for name, shape in ends.items()} | _open_clip(prefix, width, layers)


def _text(prefix: str, whole: bool) -> Shapes:
    return _of(lambda: ClipText(ClipConfig(layers=12 if whole else FEW)), prefix)


def _vae(prefix: str, whole: bool) -> Shapes:
    return _of(lambda: AutoencoderKL(VaeConfig() if whole else VaeConfig(width=_NARROW)), prefix)


def checkpoint(kind: str, whole: bool) -> Shapes:
    """A whole checkpoint of a family, in the original names."""
    found = _of(lambda: UNet(config(kind, whole)), "model.diffusion_model.") | _vae(
        "first_stage_model.", whole
    )
    if kind.startswith("sd1"):
        return found | _text("cond_stage_model.transformer.", whole)
    (h, h_layers), (g, g_layers) = (row if whole else (row[0], FEW) for row in (_H, _G))
    if kind == "refiner":
        return found | _open_text("conditioner.embedders.0.model.", g, g_layers)
    if kind.startswith("sd2"):
        layers = 32 if whole else FEW
        seen = _open_vision("embedder.model.visual.", 1280, layers, 1024) if kind == "sd2_unclip" else {}
        return found | _open_text("cond_stage_model.model.", h, h_layers) | seen
    towers = _text("conditioner.embedders.0.transformer.", whole)
    return found | towers | _open_text("conditioner.embedders.1.model.", g, g_layers)


def unet(kind: str, whole: bool) -> Shapes:
    """A U-Net alone; the small one of few steps as it is published, in diffusers' names."""
    shapes = _of(lambda: UNet(config(kind, whole)))
    if kind != "sdxs":
        return shapes
    pairs = {ours: theirs for theirs, ours in names.unet_modules(UNETS[kind])}
    found = {}
    for name, shape in shapes.items():
        stem = next(s for s in _stems(name) if s in pairs)
        found[pairs[stem] + name[len(stem) :]] = shape
    return found


def _stems(name: str) -> Iterator[str]:
    while name:
        name = name.rpartition(".")[0]
        yield name


def control(kind: str, whole: bool) -> Shapes:
    """A ControlNet in the original names."""
    if kind == "union":
        return _of(lambda: ControlNet(config("sdxl", whole), 3, 8))
    return _of(lambda: ControlNet(config(kind, whole)))


def gligen(_: str, whole: bool) -> Shapes:
    """Gates for every transformer of the small SD 1."""
    found = _of(lambda: PositionNet(768, 768), "position_net.")
    places = (
        name for name in _of(lambda: UNet(config("sd1", whole))) if name.endswith("blocks.0.norm1.weight")
    )
    for place in places:
        found |= _of(
            lambda: Gate(config("sd1", whole).width, 768, 8), place.removesuffix("norm1.weight") + "fuser."
        )
    return found


def esrgan(scale: str, _: bool) -> Shapes:
    """An upscaler of one block, in the oldest names."""
    steps, found, features, grow = {"2": 1, "4": 2, "8": 3}[scale], {}, 16, 32
    block = "model.1.sub.0.RDB{}.conv{}.0"
    convs = {"model.0": (features, 3), "model.1.sub.1": (features, features)}
    for dense in (1, 2, 3):
        convs |= {
            block.format(dense, i + 1): (grow if i < 4 else features, features + i * grow) for i in range(5)
        }
    convs |= {f"model.{3 * (i + 1)}": (features, features) for i in range(steps)}
    convs |= {f"model.{3 * steps + 2}": (features, features), f"model.{3 * steps + 4}": (3, features)}
    for name, ends in convs.items():
        found |= {f"{name}.weight": (*ends, 3, 3), f"{name}.bias": ends[:1]}
    return found


def vision(kind: str, whole: bool) -> Shapes:
    """An image tower in a file of its own."""
    width, layers, heads, inner, out = {
        "l": (1024, 24, 16, 4096, 768),
        "h": (1280, 32, 16, 5120, 1024),
        "g": (1664, 48, 16, 8192, 1280),
    }[kind]
    layers = layers if whole else FEW
    return _of(lambda: ClipVision(VisionConfig(width, layers, heads, inner, 14, 224, out, kind == "l")))


def text(kind: str, whole: bool) -> Shapes:
    """A text tower in a file of its own."""
    if kind == "l":
        return _text("", whole)
    width, layers = {"h": _H, "g": _G}[kind]
    layers = layers if whole else FEW
    config = ClipConfig(width, layers, width // 64, 4 * width, projection=width, quick_gelu=False)
    return _of(lambda: ClipText(config))


STRUCTURES: Mapping[str, Callable[[str, bool], Shapes]] = {
    "unet": unet,
    "lora": lambda kind, whole: adapter_for(checkpoint(kind, whole)),
    "control": control,
    "t2i": lambda _, whole: _of(
        lambda: FullAdapter(192, (config("sd1", whole).width,) * 4, 1, xl=False, learned=False)
    ),
    "vae": lambda _, whole: _vae("", whole),
    "text": text,
    "vision": vision,
    "style": lambda *_: _of(lambda: StyleAdapter(1024, 768, 8, 3, 8)),
    "gligen": gligen,
    "esrgan": esrgan,
    "embedding": lambda width, _: {"emb_params": (2, int(width))},
}


# files


def tensors(kind: str, whole: bool) -> dict[str, Tensor]:
    """The contents of a file of this kind; the same for the same names and shapes."""
    group, _, rest = kind.partition("/")
    shapes = STRUCTURES[group](rest, whole) if group in STRUCTURES else checkpoint(kind, whole)
    dtype = torch.float32 if group == "embedding" else torch.float16
    made = {name: _random(name, shape).to(dtype) for name, shape in shapes.items()}
    if kind in ("sd2", "sd2_unclip"):
        made[_PROBE] = torch.linspace(-0.2, 0.2, len(made[_PROBE])).half()
    return {**made, **MARKS.get(kind, {})}


def _random(name: str, shape: Shape) -> Tensor:
    source = torch.Generator().manual_seed(int.from_bytes(blake2b(name.encode(), digest_size=4).digest()))
    if len(shape) == 1:
        return torch.empty(shape).uniform_(-0.1, 0.1, generator=source) + float(name.endswith("weight"))
    size = (3.0 / max(1, torch.Size(shape[1:]).numel())) ** 0.5 * (0.3 if "lora" in name else 1.0)
    return torch.empty(shape).uniform_(-size, size, generator=source)


def made(pool: Path, kind: str, suffix: str, whole: bool) -> Path:
    """The one file of a kind: a safetensors file, or one that torch pickles where the name says so."""
    path = pool / f"{kind.replace('/', '-')}{suffix}"
    if not path.exists():
        pool.mkdir(parents=True, exist_ok=True)
        state, part = tensors(kind, whole), path.with_suffix(".part")
        if suffix == ".safetensors":
            save_file(state, part)
        else:
            torch.save({"state_dict": state} if suffix == ".ckpt" else state, part)
        part.rename(path)
    return path


def put_model(models: Path, pool: Path, folder: str, name: str, whole: bool) -> str | None:
    """Link the file that a workflow means; the kind that it is, or None where none is known."""
    kind = kind_of(folder, name)
    if kind is None:
        return None
    place = models / folder / name.replace("\\", "/")
    if folder == "embeddings" and place.suffix not in (".pt", ".safetensors", ".bin"):
        place = place.with_name(place.name + ".safetensors")
    suffix = place.suffix if place.suffix in (".safetensors", ".ckpt") else ".pt"
    place.parent.mkdir(parents=True, exist_ok=True)
    file = made(pool, kind, suffix, whole).resolve()
    if not place.is_symlink():
        place.symlink_to(file)
    return kind


def put_picture(folder: Path, name: str) -> None:
    """A small picture with a slope of colours, and with a hole where the format knows holes."""
    place = folder / name
    if place.exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    across = torch.linspace(0, 255, PICTURE).expand(PICTURE, PICTURE)
    hole = torch.full((PICTURE, PICTURE), 255.0)
    hole[16:48, 16:40] = 0
    ring = 127 + 120 * torch.sin(across / 9) * torch.cos(across.T / 13)
    pixels = torch.stack([across, across.T, ring, hole], -1).byte().numpy()
    picture = Image.fromarray(pixels, "RGBA")
    clear = place.suffix.lower() in (".png", ".webp")
    (picture if clear else picture.convert("RGB")).save(place)
