"""SDXL with a refiner, a ControlNet and an upscale model on cards of 4 to 24 GB: the plans of
site/docs/memory.md, from the true sizes of the networks' parts and what their passes take.
"""

from collections.abc import Callable
from functools import cache

import pytest
import torch
from noderack_diffusion import activations
from noderack_diffusion.clip import ClipConfig, ClipText
from noderack_diffusion.control import ControlNet
from noderack_diffusion.memory import SLOTS, Block, Device
from noderack_diffusion.parts import REST, parts_of
from noderack_diffusion.rooms import RESERVES, Room
from noderack_diffusion.unet import Level, UNet, UNetConfig
from noderack_diffusion.vae import AutoencoderKL, VaeConfig
from noderack_diffusion.weights import _NoStart
from torch import nn

GB, CELLS = 10**9, (128, 128)


def levels(*rows: tuple[int, int]) -> tuple[Level, ...]:
    return tuple(Level(mult, (depth,) * 2, (depth,) * 3) for mult, depth in rows)


BASE = UNetConfig(
    levels=levels((1, 0), (2, 2), (4, 10)), middle=10, context=2048, linear_proj=True, adm=2816, head_dim=64
)
REFINER = UNetConfig(
    width=384, levels=levels((1, 0), (2, 4), (4, 4), (4, 0)), middle=4, context=1280, adm=2560, head_dim=64
)
SMALL = ClipConfig()
LARGE = ClipConfig(width=1280, layers=32, heads=20, inner=5120, projection=1280, quick_gelu=False)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "CLIP-L": (lambda: ClipText(SMALL), activations.tower(SMALL, 1, 77)),
    "CLIP-G": (lambda: ClipText(LARGE), activations.tower(LARGE, 1, 77)),
    "ControlNet": (lambda: ControlNet(BASE), activations.control(BASE, 2, CELLS, 77)),
    "U-Net": (lambda: UNet(BASE), activations.unet(BASE, 2, CELLS, 77)),
    "refiner": (lambda: UNet(REFINER), activations.unet(REFINER, 2, CELLS, 77)),
    "VAE": (lambda: AutoencoderKL(VaeConfig()), activations.decode(VaeConfig(), CELLS)),
}
STEPS = [("CLIP-L",), ("CLIP-G",), *[("ControlNet", "U-Net")] * 4, ("refiner",), ("refiner",), ("VAE",)]
UPSCALING = int(1.5 * GB)
BF16 = 2


@cache
def blocks_of(name: str) -> tuple[Block, ...]:
    with torch.device("meta"), _NoStart():
        sizes = {n: p.numel() * BF16 for n, p in NETWORKS[name][0]().named_parameters()}
    parts = parts_of(sizes).items()
    return tuple(Block(part, sum(sizes[n] for n in names), fixed=part == REST) for part, names in parts)


class Tenant:
    def __init__(self, title: str) -> None:
        self.title, self.there, self.at_work = title, frozenset[str](), 0

    def blocks(self) -> tuple[Block, ...]:
        return blocks_of(self.title)

    def resident(self) -> frozenset[str]:
        return self.there

    def leave(self, names: frozenset[str]) -> None:
        self.there -= names

    def idle(self) -> None: ...

    def size(self, names: frozenset[str] | tuple[str, ...]) -> int:
        return sum(b.bytes for b in self.blocks() if b.name in names)


CARDS = [(24, 0.0, 0.0), (12, 0.0, 9.0), (8, 1.3, 13.0), (6, 3.4, 11.0), (4, 5.6, 8.0)]


@pytest.mark.parametrize(("card", "streamed", "again"), CARDS)
def test_every_step_stays_on_the_card(card: int, streamed: float, again: float) -> None:
    """``streamed``: GB at most that come at each step; ``again``: that a second prompt loads at most."""
    place = Room(Device(card * GB, RESERVES["cuda"]), "cuda")
    tenants = {name: Tenant(name) for name in NETWORKS}
    room, second = card * GB - RESERVES["cuda"], 0
    for turn in range(2):
        for step, names in enumerate(STEPS):
            moved = 0
            for name in names:
                one, need = tenants[name], NETWORKS[name][1] * BF16
                made = place.admit(one, need, [tenants[n] for n in names])
                moved += one.size(made.resident - one.there)
                one.there = made.resident
                arriving = max([b.bytes for b in one.blocks() if b.name in made.stream], default=0) * SLOTS
                held = sum(t.size(t.there) for t in tenants.values())
                assert made.fits and held + arriving + need <= room
            if len(names) == 2:
                assert sum(tenants[n].size(_away(tenants[n])) for n in names) <= streamed * GB or step < 3
                assert not moved or step < 4, "nothing is loaded anew at every step"
            second += moved * turn
        place.make_way(UPSCALING, "the upscale model")
        assert sum(t.size(t.there) for t in tenants.values()) + UPSCALING <= room
    assert second <= again * GB


def _away(one: Tenant) -> frozenset[str]:
    return frozenset(b.name for b in one.blocks()) - one.there
