"""Upscale files of every naming, tiles, what happens when memory or a library is lacking, and the nodes."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from noderack_host.folder import Host, HostConfig
from noderack_host.folders import ModelFolders
from noderack_host.running import Running, use
from noderack_upscale import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
from noderack_upscale.enlarge import enlarge
from noderack_upscale.files import UpscaleError, load_upscaler
from noderack_upscale.nets import Compact, Numbers, Rrdb
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

REFERENCE = Path(__file__).parents[3].parent / "shared/data/object_info.json"
SMALL = Numbers(colours=3, width=8, growth=4, blocks=2, ups=2)
FOLDED = Numbers(colours=3, width=8, growth=4, blocks=1, ups=2, shuffle=2)
FLAT = Numbers(colours=3, width=8, growth=0, blocks=2, ups=4)


def state(numbers: Numbers) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return dict((Rrdb if numbers.growth else Compact)(numbers).state_dict())


def as_trunk(name: str) -> str:
    for new, old in (("conv_body", "trunk_conv"), ("conv_up", "upconv"), ("conv_hr", "HRconv")):
        name = name.replace(new, old)
    return name.replace("body.", "RRDB_trunk.").replace("rdb", "RDB")


def as_first(name: str) -> str:
    stem, _, leaf = name.rpartition(".")
    plain = {"conv_first": 0, "conv_body": "1.sub.2", "conv_up1": 3, "conv_up2": 6, "conv_hr": 8}
    plain["conv_last"] = 10
    if stem in plain:
        return f"model.{plain[stem]}.{leaf}"
    return name.replace("body.", "model.1.sub.").replace("rdb", "RDB").replace(f".{leaf}", f".0.{leaf}")


NAMINGS: dict[str, Callable[[str], str]] = {
    "newer": lambda name: name,
    "module": lambda name: f"module.{name}",
    "trunk": as_trunk,
    "first": as_first,
}


@pytest.mark.parametrize("naming", NAMINGS)
def test_the_same_weights_under_any_names_draw_the_same(naming: str, tmp_path: Path) -> None:
    whole = state(SMALL)
    save_file({NAMINGS[naming](k): v for k, v in whole.items()}, tmp_path / "m.safetensors")
    model = load_upscaler(tmp_path / "m.safetensors", device="cpu")
    network, x = Rrdb(SMALL), torch.rand(1, 3, 6, 5)
    network.load_state_dict(whole)
    assert model.scale == 4 and torch.equal(model(x), network(x)) and model(x).shape == (1, 3, 24, 20)


@pytest.mark.parametrize("wrapped", ["params_ema", "params", "state_dict"])
def test_pickled_files_are_read_from_where_trainers_put_the_weights(wrapped: str, tmp_path: Path) -> None:
    torch.save({wrapped: state(FLAT), "step": 3}, tmp_path / "m.pth")
    model = load_upscaler(tmp_path / "m.pth", device="cpu")
    assert model.scale == 4 and model(torch.rand(1, 3, 4, 6)).shape == (1, 3, 16, 24)


def test_a_compact_network_without_weights_enlarges_plainly(tmp_path: Path) -> None:
    save_file({k: torch.zeros_like(v) for k, v in state(FLAT).items()}, tmp_path / "m.safetensors")
    x = torch.rand(1, 3, 4, 4)
    model = load_upscaler(tmp_path / "m.safetensors", device="cpu")
    assert torch.equal(model(x), F.interpolate(x, scale_factor=4.0))


def test_a_folding_network_takes_odd_sizes(tmp_path: Path) -> None:
    save_file(state(FOLDED), tmp_path / "m.safetensors")
    model = load_upscaler(tmp_path / "m.safetensors", device="cpu")
    assert model.scale == 2 and model(torch.rand(1, 3, 7, 5)).shape == (1, 3, 14, 10)


class Twice:
    """An Upscaler that enlarges plainly, and has only so much memory."""

    scale = 2

    def __init__(self, room: int) -> None:
        self.room, self.sides = room, set[int]()

    def __call__(self, pixels: Tensor) -> Tensor:
        self.sides.add(max(pixels.shape[-2:]))
        if max(pixels.shape[-2:]) > self.room:
            raise torch.OutOfMemoryError("there is no more")
        return F.interpolate(pixels, scale_factor=2.0)

    def to(self, device: object) -> "Twice":
        return self


@pytest.mark.parametrize("room", [1024, 600, 300, 128])
def test_tiles_join_without_a_trace_and_shrink_to_what_fits(room: int) -> None:
    image, model, ticks = torch.rand(2, 300, 700, 3), Twice(room), list[tuple[int, int]]()
    big = enlarge(model, image, tick=lambda done, of: ticks.append((done, of)))
    plain = image.repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert torch.allclose(big, plain, atol=1e-5)
    assert ticks[-1][0] == ticks[-1][1] and min(model.sides) <= room


def test_too_little_memory_for_the_smallest_tile_is_said_by_the_device() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        enlarge(Twice(100), torch.rand(1, 300, 300, 3))


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="channels"):
        enlarge(_Fails(), torch.rand(1, 32, 32, 3))


class _Fails(Twice):
    def __init__(self) -> None:
        super().__init__(1024)

    def __call__(self, pixels: Tensor) -> Tensor:
        raise RuntimeError("expected 12 channels")


def test_another_kind_of_file_names_the_library_that_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    save_file({"layers.0.qkv.weight": torch.zeros(2, 2)}, tmp_path / "swin.safetensors")
    with pytest.raises(UpscaleError, match=r"swin\.safetensors.*spandrel"):
        load_upscaler(tmp_path / "swin.safetensors")


def test_the_nodes_in_a_host(tmp_path: Path) -> None:
    made = Host(tmp_path, HostConfig())
    (made.models / "upscale_models").mkdir(parents=True)
    torch.save({"params_ema": state(SMALL)}, made.models / "upscale_models/4x.pth")
    loader, node = (NODE_CLASS_MAPPINGS[n]() for n in ("UpscaleModelLoader", "ImageUpscaleWithModel"))
    with use(Running(made, ModelFolders.of(made))):
        assert loader.INPUT_TYPES()["required"]["model_name"][1]["options"] == ["4x.pth"]
        (model,) = loader.load_model("4x.pth")
        (image,) = node.upscale(upscale_model=model, image=torch.rand(1, 16, 24, 3))
        with pytest.raises(UpscaleError, match="no upscale model named"):
            loader.load_model("other.pth")
    assert image.shape == (1, 64, 96, 3) and image.min() >= 0 and image.max() <= 1


@pytest.mark.parametrize("name", NODE_CLASS_MAPPINGS)
def test_sockets_are_those_of_the_field(name: str) -> None:
    if not REFERENCE.exists():
        pytest.skip(f"the reference schemas are not at {REFERENCE}")
    node, entry = NODE_CLASS_MAPPINGS[name], json.loads(REFERENCE.read_text())[name]
    ours = {key: spec[0] for key, spec in node.INPUT_TYPES()["required"].items()}
    theirs = {key: entry["input"]["required"][key][0] for key in entry["input_order"]["required"]}
    assert list(ours.items()) == list(theirs.items())
    assert (list(node.RETURN_TYPES), node.CATEGORY) == (entry["output"], entry["category"])
    assert NODE_DISPLAY_NAME_MAPPINGS[name] == entry["display_name"]
