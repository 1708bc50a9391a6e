"""Faces against diffusers' networks; style and composition apart, tiles, noise, embeds in files."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers.models.embeddings import IPAdapterFaceIDImageProjection, IPAdapterFaceIDPlusImageProjection
from noderack_host.folder import Host, HostConfig
from noderack_host.folders import ModelFolders
from noderack_host.running import Running, use
from noderack_ipadapter import NODE_CLASS_MAPPINGS
from noderack_ipadapter.apply import Wish, put_on, see
from noderack_ipadapter.faces import LACKING, put_faces
from noderack_ipadapter.files import Adapter, IPAdapterError, load_adapter
from noderack_ipadapter.prepare import NOISES, TILE, noise_of, tiles_of
from noderack_ipadapter.presets import FACES, face_files, file_like
from noderack_ipadapter.project import Face, FacePlus, projector
from noderack_ipadapter.weighing import Layer, carries_composition, strength
from safetensors.torch import save_file
from torch import Tensor

CONTEXT, TOKENS, LAYERS = 48, 4, 16
"""Of the small adapters here."""


def face_state(*, plus: bool) -> tuple[dict[str, Tensor], Any]:
    """An adapter's tensors under the names of files, and diffusers' network that has them."""
    torch.manual_seed(2)
    if not plus:
        made: Any = IPAdapterFaceIDImageProjection(512, CONTEXT, mult=2, num_tokens=TOKENS)
        names = {"ff.net.0.proj": "proj.0", "ff.net.2": "proj.2", "norm": "norm"}
    else:
        made = IPAdapterFaceIDPlusImageProjection(
            embed_dims=64, output_dims=64, hidden_dims=24, id_embeddings_dim=512, heads=1, depth=2,
            dim_head=64, num_tokens=TOKENS, ffproj_ratio=2,
        )  # fmt: skip
        below = "perceiver_resampler"
        names = {"proj.net.0.proj": "proj.0", "proj.net.2": "proj.2", "norm": "norm"}
        names |= {leaf: f"{below}.{leaf}" for leaf in ("proj_in", "proj_out", "norm_out")}
        for i in range(2):
            ours = f"{below}.layers.{i}"
            names |= {f"layers.{i}.ln0": f"{ours}.0.norm1", f"layers.{i}.ln1": f"{ours}.0.norm2"}
            names |= {
                f"layers.{i}.attn.to_q": f"{ours}.0.to_q",
                f"layers.{i}.attn.to_out.0": f"{ours}.0.to_out",
            }
            names |= {f"layers.{i}.ff.0": f"{ours}.1.0"}
            names |= {f"layers.{i}.ff.1.net.0.proj": f"{ours}.1.1", f"layers.{i}.ff.1.net.2": f"{ours}.1.3"}
    state = {}
    for name, value in made.state_dict().items():
        stem, _, leaf = name.rpartition(".")
        if stem in names:
            state[f"{names[stem]}.{leaf}"] = value.clone()
    if plus:
        for i in range(2):
            rows = [made.state_dict()[f"layers.{i}.attn.to_{part}.weight"] for part in "kv"]
            state[f"perceiver_resampler.layers.{i}.0.to_kv.weight"] = torch.cat(rows)
    return state, made.eval()


def test_faces_are_read_as_diffusers_reads_them() -> None:
    state, theirs = face_state(plus=False)
    ours, faces = projector(state, CONTEXT), torch.randn(2, 512)
    assert isinstance(ours, Face) and not isinstance(ours, FacePlus)
    with torch.no_grad():
        assert torch.allclose(ours(faces), theirs(faces), atol=1e-5)


@pytest.mark.parametrize("scale", [None, 1.0, 0.6])
def test_faces_that_clip_sees_too(scale: float | None) -> None:
    state, theirs = face_state(plus=True)
    ours = projector(state, 64)
    faces, patches = torch.randn(2, 512), torch.randn(2, 7, 24)
    theirs.clip_embeds, theirs.shortcut, theirs.shortcut_scale = (
        patches[:, None],
        scale is not None,
        scale or 1.0,
    )
    assert isinstance(ours, FacePlus)
    with torch.no_grad():
        assert torch.allclose(ours.asked(faces, patches, scale), theirs(faces), atol=1e-5)


def saved(path: Path, *, plus: bool = False) -> Adapter:
    state = {f"image_proj.{k}": v for k, v in face_state(plus=plus)[0].items()}
    width = 64 if plus else CONTEXT
    for i in range(LAYERS):
        state |= {f"ip_adapter.{2 * i + 1}.to_{p}_ip.weight": torch.randn(8, width) for p in "kv"}
        state[f"ip_adapter.{2 * i + 1}.to_q_lora.down.weight"] = torch.randn(4, 8)
    save_file(state, path)
    return load_adapter(path)


def test_files_of_faces(tmp_path: Path) -> None:
    plain, plus = (
        saved(tmp_path / "faceid_sd15.safetensors"),
        saved(tmp_path / "x-plusv2.safetensors", plus=True),
    )
    assert plain.of_faces and not plain.of_patches and not plain.is_second and len(plain.layers) == LAYERS
    assert plus.of_faces and plus.is_second
    with pytest.raises(IPAdapterError, match=r"reads what a face recognition model makes.*NoderackFaceID"):
        see(plain, None, torch.zeros(1, 8, 8, 3))
    other = SimpleNamespace(of_faces=False, name="plain")
    with pytest.raises(IPAdapterError, match="use IPAdapterAdvanced"):
        put_faces(None, other, torch.zeros(1, 512), Wish())  # type: ignore[arg-type]
    with pytest.raises(IPAdapterError, match="a vector of 512 numbers; these have 8"):
        put_faces(None, plain, torch.zeros(1, 8), Wish())
    with pytest.raises(IPAdapterError, match="give it the picture"):
        put_faces(None, plus, torch.zeros(1, 512), Wish())
    with pytest.raises(IPAdapterError, match="which Noderack does not bring"):
        NODE_CLASS_MAPPINGS["IPAdapterFaceID"]().apply_ipadapter(
            None, plain, torch.zeros(1, 8, 8, 3), 1.0, 1.0, "linear", 0.0, 1.0
        )
    assert "insightface" in LACKING


class Seams:
    """A model as an adapter is put on it."""

    spec = SimpleNamespace(unet=SimpleNamespace(context=CONTEXT), family=SimpleNamespace(title="small"))

    def __init__(self) -> None:
        blocks = [f"input_blocks.{i}" for i in (1, 2, 4, 5, 7, 8)] + [
            f"output_blocks.{i}" for i in range(3, 12)
        ]
        self.live = SimpleNamespace(
            pieces=[f"{b}.1.transformer_blocks.0.attn2.to_k.weight" for b in (*blocks, "middle_block")]
        )
        self.model_options: dict[str, Any] = {"transformer_options": {}}
        self.placed: dict[Any, Any] = {}

    def get_model_object(self, name: str) -> Any:
        return SimpleNamespace(percent_to_sigma=lambda p: 1.0 - p)

    def clone(self) -> "Seams":
        return self

    def set_model_attn2_replace(self, function: Any, *place: Any) -> None:
        self.placed[place] = function.pictures[-1]


def test_vectors_of_faces_are_put_on_every_layer(tmp_path: Path) -> None:
    made = saved(tmp_path / "faceid_sd15.safetensors")
    faces = torch.randn(2, 512)
    model = NODE_CLASS_MAPPINGS["NoderackFaceID"]().apply_ipadapter(
        Seams(), made, faces, 1.0, 1.0, "linear", 0.0, 1.0
    )[0]
    assert len(model.placed) == LAYERS
    picture = model.placed["middle", 0, 0]
    with torch.no_grad():
        assert torch.allclose(picture.wanted, made.projector(faces).reshape(1, -1, CONTEXT), atol=1e-6)
        nobody = made.projector(torch.zeros(2, 512)).reshape(1, -1, CONTEXT)
    assert torch.allclose(picture.unwanted, nobody, atol=1e-6)


def test_style_and_composition_come_from_their_own_pictures(tmp_path: Path) -> None:
    made = saved(tmp_path / "faceid_sd15.safetensors")  # any adapter that takes a vector
    style, layout, no = (torch.randn(1, 512) for _ in range(3))
    wish = Wish(0.8, "style and composition", composition=0.4)
    placed = put_on(Seams(), made, style, no, wish, None, layout).placed
    with torch.no_grad():
        tokens = {name: made.projector(seen) for name, seen in (("style", style), ("layout", layout))}
    by_index = {("input", 7): 4, ("input", 8): 5, ("input", 1): 0}
    for place, index in by_index.items():
        picture, carries = placed[(*place, 0)], index in (4, 5)
        assert torch.allclose(picture.wanted, tokens["layout" if carries else "style"], atol=1e-6)
        assert picture.strength.wanted == pytest.approx({0: 0.8, 4: 0.1, 5: 0.4}[index])


@pytest.mark.parametrize(
    ("kind", "index", "wanted", "against"),
    [
        ("style transfer precise", 3, 0.0, 2.0),
        ("style transfer precise", 6, 0.7, None),
        ("composition precise", 3, 0.7, None),
        ("composition precise", 6, 0.0, 2.0),
        ("composition precise", 1, 0.0, 0.2),
        ("strong style and composition", 1, 0.7, None),
        ("strong style and composition", 3, 0.5, None),
    ],
)
def test_boosts_in_sdxl(kind: str, index: int, wanted: float, against: float | None) -> None:
    layer = Layer("input", index, 11)
    boost = 2.0 if "precise" in kind else None
    found = strength(kind, layer, 0.7, 0.5, boost)
    assert carries_composition(layer) is (index == 3)
    if against is None:
        assert found.wanted == pytest.approx(wanted) and found.against is None
    else:
        assert found.against == pytest.approx(against)


@pytest.mark.parametrize(
    ("size", "tiles", "shape"),
    [((300, 320), 4, (512, 512)), ((100, 220), 3, (256, 563)), ((100, 900), 4, (256, 1024))],
)
def test_tiles_cover_a_picture(size: tuple[int, int], tiles: int, shape: tuple[int, int]) -> None:
    found, masks = tiles_of(torch.rand(2, *size, 3), None, 0.2)
    assert len(found) == len(masks) == tiles
    assert all(tile.shape == (2, TILE, TILE, 3) for tile in found)
    assert all(mask.shape == (1, *shape) for mask in masks)
    assert (torch.stack(masks).amax(0) > 0.9).all(), "every place is in a tile"


@pytest.mark.parametrize("kind", NOISES)
def test_noise_is_of_the_picture(kind: str) -> None:
    image = torch.rand(1, 60, 80, 3)
    once, again = (noise_of(kind, 0.6, 4, image) for _ in range(2))
    assert once.shape == (1, 224, 224, 3) and once.equal(again) and once.min() >= 0 and once.max() <= 1
    assert not once.equal(noise_of(kind, 0.6, 4, image * 0.5))
    assert noise_of(kind, 1.0, 0, None).shape == (1, 224, 224, 3)


def test_nothing_is_left_of_nothing_added() -> None:
    image = torch.rand(1, 224, 224, 3)
    for kind in ("fade", "dissolve", "gaussian"):
        assert torch.allclose(noise_of(kind, 0.0, 0, image), image, atol=1e-5)


@pytest.fixture
def host(tmp_path: Path) -> Any:
    made = Host(tmp_path, HostConfig())
    for folder in (made.input, made.output, made.models):
        folder.mkdir(parents=True)
    with use(Running(made, ModelFolders.of(made))):
        yield made


def test_embeds_in_files(host: Host) -> None:
    seen = torch.randn(2, 512)
    save, load = NODE_CLASS_MAPPINGS["IPAdapterSaveEmbeds"](), NODE_CLASS_MAPPINGS["IPAdapterLoadEmbeds"]
    for _ in range(2):
        save.save(seen, "mine/face")
    names = sorted(path.name for path in (host.output / "mine").iterdir())
    assert names == ["face_00001.ipadpt", "face_00002.ipadpt"]
    (host.output / "mine" / names[0]).rename(host.input / "face.ipadpt")
    assert load.INPUT_TYPES()["required"]["embeds"] == (["face.ipadpt"],)
    assert load().load("face.ipadpt")[0].equal(seen)
    with pytest.raises(IPAdapterError, match="no file named"):
        load().load("../host.toml")
    with pytest.raises(IPAdapterError, match="leads out"):
        save.save(seen, "../../elsewhere")


def test_regions() -> None:
    region = NODE_CLASS_MAPPINGS["IPAdapterRegionalConditioning"]()
    image, mask = torch.rand(1, 8, 8, 3), torch.ones(1, 8, 8)
    one, yes, no = region.conditioning(
        image, 0.5, 1.2, "linear", 0.0, 1.0, mask, [[torch.zeros(1), {"a": 1}]]
    )
    assert no is None and yes[0][1] == {
        "a": 1,
        "mask": mask,
        "set_area_to_bounds": False,
        "mask_strength": 1.2,
    }
    two, *_ = region.conditioning(image, 0.7, 1.0, "ease in", 0.1, 0.9)
    (both,) = NODE_CLASS_MAPPINGS["IPAdapterCombineParams"]().combine(
        params_1=one, params_2=two, params_3=None
    )
    assert both["weight"] == [0.5, 0.7] and both["weight_type"] == ["linear", "ease in"]
    assert NODE_CLASS_MAPPINGS["IPAdapterCombineWeights"]().combine([0.1, 0.2], 0.3) == ([0.1, 0.2, 0.3], 3)


@pytest.mark.parametrize("preset", FACES)
def test_presets_find_published_names(preset: str) -> None:
    names = {
        "FACEID": ("ip-adapter-faceid_sd15.bin", "ip-adapter-faceid_sdxl.bin"),
        "FACEID PLUS - SD1.5 only": ("ip-adapter-faceid-plus_sd15.bin", None),
        "FACEID PLUS V2": ("ip-adapter-faceid-plusv2_sd15.bin", "ip-adapter-faceid-plusv2_sdxl.bin"),
        "FACEID PORTRAIT (style transfer)": (
            "ip-adapter-faceid-portrait-v11_sd15.bin",
            "ip-adapter-faceid-portrait_sdxl.bin",
        ),
        "FACEID PORTRAIT UNNORM - SDXL only (strong)": (None, "ip-adapter-faceid-portrait_sdxl_unnorm.bin"),
    }
    every = [name for row in names.values() for name in row if name]
    for sdxl, wanted in enumerate(names[preset]):
        chosen = face_files(preset, sdxl=bool(sdxl))
        assert (chosen and file_like(chosen.adapter, every)) == wanted
