"""From an upscale file to something that enlarges pictures.

Files of the two networks in ``nets`` are read here, in each of the three namings that they come in. All
others are left to the library spandrel, if it is installed.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from noderack_diffusion.devices import pick_device
from noderack_diffusion.store import Store
from torch import Tensor, nn

from noderack_upscale.nets import Numbers, build


class UpscaleError(ValueError):
    """An upscale file that cannot be used: which, why, and what would do."""


class Upscaler(Protocol):
    """What an UPSCALE_MODEL socket carries."""

    @property
    def scale(self) -> int: ...

    def to(self, device: Any) -> Any:
        """Moves the weights."""

    def __call__(self, pixels: Tensor) -> Tensor:
        """``[B, C, h, w]`` in 0..1 -> ``[B, C, h * scale, w * scale]``."""


@dataclass(eq=False)
class Own:
    """An Upscaler with one of our networks."""

    model: nn.Module
    numbers: Numbers
    device: torch.device

    @property
    def scale(self) -> int:
        """Pixels of the result's side per pixel of the picture's."""
        return self.numbers.scale

    @property
    def input_channels(self) -> int:
        """Colours that go in, and come out."""
        return self.numbers.colours

    def to(self, device: Any) -> "Own":
        """Moves the weights, for packs that say where they want them."""
        self.device = torch.device(device)
        self.model.to(self.device)
        return self

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Tensor:
        out: Tensor = self.model(pixels.to(self.device, torch.float32))
        return out


def load_upscaler(path: Path, *, device: str | torch.device | None = None) -> Upscaler:
    """Open an upscale model. Raises FileError or UpscaleError."""
    store, place = Store.open(path), pick_device(device)
    state = renamed(store)
    try:
        numbers = numbers_of({name: tuple(tensor.shape) for name, tensor in state.items()})
    except (KeyError, ValueError):
        return _by_spandrel(path.name, {n: store.tensor(n) for n in store.header}, place)
    model = build(numbers)
    lacking, extra = model.load_state_dict(state, strict=False, assign=True)
    if lacking or extra:
        return _by_spandrel(path.name, {n: store.tensor(n) for n in store.header}, place)
    return Own(model.to(place), numbers, place)


def renamed(store: Store) -> dict[str, Tensor]:
    """The tensors of a file, in fp32, under the names of Real-ESRGAN's files."""
    names = [_bare(name) for name in store.header]
    rename = next((make(names) for mark, make in _OLDER if mark in names), lambda name: name)
    found = zip(names, store.header, strict=True)
    return {rename(bare): store.tensor(name).to(torch.float32, copy=True) for bare, name in found}


def _bare(name: str) -> str:
    return re.sub(r"^(module|params_ema|params|netG|generator)\.", "", name)


def _from_esrgan(names: list[str]) -> Callable[[str], str]:
    """ESRGAN's first files: a list of layers with numbers, where layers without weights count too."""
    places = sorted({int(m[1]) for n in names if (m := re.match(r"model\.(\d+)\.(?:weight|bias)$", n))})
    triples = sorted({int(m[1]) for n in names if (m := re.match(r"model\.1\.sub\.(\d+)\.RDB", n))})
    first, *ups, high, last = places
    table = {f"model.{first}": "conv_first", f"model.{high}": "conv_hr", f"model.{last}": "conv_last"}
    table |= {f"model.{place}": f"conv_up{i}" for i, place in enumerate(ups, 1)}
    table[f"model.1.sub.{len(triples)}"] = "conv_body"

    def rename(name: str) -> str:
        stem, _, leaf = name.rpartition(".")
        if stem in table:
            return f"{table[stem]}.{leaf}"
        return re.sub(r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0", r"body.\1.rdb\2.conv\3", name)

    return rename


_TRUNK = (
    (re.compile(r"^RRDB_trunk\.(\d+)\.RDB(\d)"), r"body.\1.rdb\2"),
    (re.compile(r"^trunk_conv\."), "conv_body."),
    (re.compile(r"^upconv(\d)\."), r"conv_up\1."),
    (re.compile(r"^HRconv\."), "conv_hr."),
)


def _from_trunk(name: str) -> str:
    for pattern, said in _TRUNK:
        name = pattern.sub(said, name)
    return name


_OLDER: tuple[tuple[str, Callable[[list[str]], Callable[[str], str]]], ...] = (
    ("model.1.sub.0.RDB1.conv1.0.weight", _from_esrgan),
    ("RRDB_trunk.0.RDB1.conv1.weight", lambda _: _from_trunk),
)
"""A name that tells an older naming, and how its names become the newer ones."""


def numbers_of(shapes: Mapping[str, tuple[int, ...]]) -> Numbers:
    """What makes the network that has tensors of these shapes; raises KeyError or ValueError for others."""
    return _rrdb(shapes) if "conv_first.weight" in shapes else _compact(shapes)


def _rrdb(shapes: Mapping[str, tuple[int, ...]]) -> Numbers:
    width, folded = shapes["conv_first.weight"][:2]
    colours = shapes["conv_last.weight"][0]
    return Numbers(
        colours=colours,
        width=width,
        growth=shapes["body.0.rdb1.conv1.weight"][0],
        blocks=len(set(_counted(shapes, r"body\.(\d+)\.rdb1\.conv1\.weight"))),
        ups=len(set(_counted(shapes, r"conv_up(\d)\.weight"))),
        shuffle=math.isqrt(folded // colours),
    )


def _compact(shapes: Mapping[str, tuple[int, ...]]) -> Numbers:
    width, colours = shapes["body.0.weight"][:2]
    slopes = [n for n in _counted(shapes, r"body\.(\d+)\.weight") if len(shapes[f"body.{n}.weight"]) == 1]
    out = shapes[f"body.{2 * len(slopes)}.weight"][0]
    return Numbers(colours, width, 0, len(slopes) - 1, math.isqrt(out // colours))


def _counted(shapes: Mapping[str, tuple[int, ...]], pattern: str) -> Iterator[int]:
    return (int(found[1]) for name in shapes if (found := re.fullmatch(pattern, name)))


def _by_spandrel(name: str, state: dict[str, Tensor], device: torch.device) -> Upscaler:
    try:
        spandrel: Any = import_module("spandrel")
    except ImportError as cause:
        raise UpscaleError(
            f"{name} is no ESRGAN, Real-ESRGAN or compact upscale model; other kinds are read by the library "
            'spandrel, which is not installed here: pip install "noderack[upscale]" into the host'
        ) from cause
    try:
        found = spandrel.ModelLoader(device=device).load_from_state_dict(state)
    except Exception as cause:  # spandrel raises what each of its architectures raises
        raise UpscaleError(f"{name} is no upscale model that spandrel {_version(spandrel)} knows") from cause
    if not isinstance(found, spandrel.ImageModelDescriptor):
        raise UpscaleError(f"{name} is a model for {type(found).__name__}, not one that enlarges one picture")
    return cast(Upscaler, found.eval())


def _version(module: Any) -> str:
    return str(getattr(module, "__version__", ""))
