"""IP-Adapter against diffusers and against the pack that workflows know (expected.json, made by peer.py)."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import diffusers
import pytest
import torch
from noderack_diffusion import names
from noderack_diffusion.model import Model
from noderack_diffusion.patching.steering import OptionSteer
from noderack_diffusion.shapes import shapes_of
from noderack_diffusion.sigma import standard
from noderack_diffusion.spec import FAMILIES, ModelSpec
from noderack_diffusion.unet import Level, UNet, UNetConfig, unet_config
from noderack_diffusion.vision import ClipVision, VisionConfig
from noderack_diffusion.weights import Live
from noderack_host.folder import Host, HostConfig
from noderack_host.folders import ModelFolders
from noderack_host.running import Running, use
from noderack_ipadapter import NODE_CLASS_MAPPINGS
from noderack_ipadapter.apply import COMBINE, Wish, put_on
from noderack_ipadapter.attend import SCALINGS, Attend, Picture, layer_size
from noderack_ipadapter.files import Adapter, IPAdapterError, load_adapter
from noderack_ipadapter.presets import PRESETS, adapter_file, tower_file
from noderack_ipadapter.project import Resampler, Whole, projector
from noderack_ipadapter.weighing import TYPES, layers, places, strength
from safetensors.torch import save_file
from torch import Tensor

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "expected.json").read_text())


def _ground() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ipadapter_ground", HERE / "ground.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ground = _ground()


def adapter(family: str) -> Adapter:
    parts = ground.adapter(family)
    context = 2048 if family == "sdxl" else 768
    network = projector(parts["image_proj"], context)
    assert network is not None
    ip = parts["ip_adapter"]
    rows = [
        (ip[f"{2 * i + 1}.to_k_ip.weight"], ip[f"{2 * i + 1}.to_v_ip.weight"]) for i in range(len(ip) // 2)
    ]
    return Adapter(family, network, tuple(rows))


@pytest.fixture(scope="module", params=["sd1", "sdxl"])
def family(request: pytest.FixtureRequest) -> tuple[str, Adapter]:
    return request.param, adapter(request.param)


def pictures(name: str, made: Adapter, kind: str, **more: Any) -> dict[Any, Picture]:
    at = ground.file_order(name)
    yes, no = (made.projector(seen) for seen in ground.seen())
    where = layers(at)
    return {
        place: Picture(yes, no, k, v, strength(kind, where[place], ground.WEIGHT), **more)
        for place, (k, v) in zip(at, made.layers, strict=True)
    }


def added(found: dict[Any, Picture], name: str, side: int, index: int) -> Tensor:
    q, k, v = ground.asked()
    place = (*ground.LAYERS[name][index], 0)
    told = ground.told(place, index, side)
    return Attend((found[place],))(q, k, v, told) - Attend(())(q, k, v, told)


@torch.no_grad()
@pytest.mark.parametrize("kind", TYPES)
def test_every_weight_type_adds_what_the_known_pack_adds(kind: str, family: tuple[str, Adapter]) -> None:
    name, made = family
    found = pictures(name, made, kind)
    for side, rows in enumerate(EXPECTED["kinds"][f"{name}/{kind}"]):
        composed = kind == "style and composition"
        for index, wanted in enumerate(rows):
            if composed and index in ((3,) if name == "sdxl" else (4, 5)):
                continue  # there the pack takes the composition's own weight, 1, which the node cannot set
            got = added(found, name, side, index).flatten()[:3]
            assert torch.allclose(got, torch.tensor(wanted), atol=3e-4), (side, index)


@torch.no_grad()
def test_scalings_and_masks() -> None:
    made = adapter("sd1")
    for scaling in SCALINGS:
        found = pictures("sd1", made, "linear", scaling=scaling)
        for index, wanted in enumerate(EXPECTED["scalings"][scaling]):
            got = added(found, "sd1", 0, index).flatten()[:3]
            assert torch.allclose(got, torch.tensor(wanted), atol=3e-4), scaling
    found = pictures("sd1", made, "linear", mask=ground.mask())
    assert torch.allclose(added(found, "sd1", 0, 0)[0, :, :2], torch.tensor(EXPECTED["mask"]), atol=3e-4)


SD1 = {
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 48,
    "attention_head_dim": 4,
    "norm_num_groups": 16,
}


_LEVELS = (Level(1, (1,), (1, 1)), Level(2, (1,), (1, 1)))


class Piece:
    """A weight that is at hand."""

    def __init__(self, value: Tensor) -> None:
        self.value = value

    def dims(self) -> tuple[int, ...]:
        return tuple(self.value.shape)

    def read(self) -> Tensor:
        return self.value


def both() -> tuple[Any, Model]:
    """A small U-Net of diffusers, and a model of ours with its weights."""
    torch.manual_seed(3)
    theirs = diffusers.UNet2DConditionModel(sample_size=8, **SD1).eval()
    modules = dict(names.unet_modules(UNetConfig(levels=_LEVELS, middle=1)))
    parts = ((key.rpartition("."), value) for key, value in theirs.state_dict().items())
    state = {f"{modules[path]}.{leaf}": value for (path, _, leaf), value in parts}
    config = unet_config(shapes_of(state), {"groups": 16, "heads": 4})
    family = next(family for family in FAMILIES if family.name == "sd1")
    pieces: Any = {name: Piece(value) for name, value in state.items()}
    live = Live(lambda: UNet(config), pieces, key="ipadapter")
    return theirs, Model(ModelSpec(family, config, None, "made for the test"), live, standard())


def ip_state(model: Model, image: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    torch.manual_seed(5)
    ip: dict[str, Tensor] = {}
    for i, (half, block, t) in enumerate(places(model.live.pieces)):
        part = {"input": f"input_blocks.{block}.1", "output": f"output_blocks.{block}.1"}
        at = part.get(half, "middle_block.1")
        width = model.live.pieces[f"{at}.transformer_blocks.{t}.attn2.to_k.weight"].dims()[0]
        for kind in "kv":
            ip[f"{2 * i + 1}.to_{kind}_ip.weight"] = torch.randn(width, 48) * 0.2
    return {"image_proj": image, "ip_adapter": ip}


def basic() -> tuple[dict[str, Tensor], Tensor]:
    torch.manual_seed(6)
    state = {"proj.weight": torch.randn(4 * 48, 20) * 0.2, "proj.bias": torch.randn(4 * 48) * 0.1}
    return state | {"norm.weight": torch.rand(48) + 0.5, "norm.bias": torch.randn(48) * 0.1}, torch.randn(
        2, 20
    )


def plus() -> tuple[dict[str, Tensor], Tensor]:
    torch.manual_seed(6)
    network = Resampler(20, 64, 2, 256, 48, 5, 4)
    state = {name: torch.randn(p.shape) * 0.2 for name, p in network.named_parameters()}
    return state, torch.randn(2, 9, 20)


def full() -> tuple[dict[str, Tensor], Tensor]:
    torch.manual_seed(6)
    state = {name: torch.randn(p.shape) * 0.2 for name, p in Whole(20, 48).named_parameters()}
    return state, torch.randn(2, 257, 20)


def drawn(model: Model, x: Tensor, context: Tensor, sides: list[int]) -> Tensor:
    options = model.changes.sampling_options()["transformer_options"]
    options |= {"cond_or_uncond": sides, "sigmas": torch.tensor([2.0])}
    times = torch.full((len(x),), 500.0)
    out: Tensor = model.network()(x, times, context, steer=OptionSteer(options, list(x.shape)))
    return out


@torch.no_grad()
@pytest.mark.parametrize("form", [basic, plus, full], ids=["basic", "plus", "full-face"])
@pytest.mark.parametrize("weight", [1.0, 0.6])
def test_the_same_as_diffusers(form: Any, weight: float, tmp_path: Path) -> None:
    theirs, model = both()
    image, seen = form()
    state = ip_state(model, image)
    theirs._load_ip_adapter_weights([state])
    for processor in theirs.attn_processors.values():
        if hasattr(processor, "scale"):
            processor.scale = [weight]
    flat = {f"{part}.{key}": value for part, found in state.items() for key, value in found.items()}
    save_file(flat, tmp_path / "ip.safetensors")
    torch.save(state, tmp_path / "ip.bin")
    made = load_adapter(tmp_path / "ip.safetensors")
    assert all(
        torch.equal(a[1], b[1])
        for a, b in zip(made.layers, load_adapter(tmp_path / "ip.bin").layers, strict=True)
    )
    x, context = torch.randn(2, 4, 8, 12), torch.randn(2, 5, 48)
    told = {"image_embeds": [seen[:, None]]}
    wanted = theirs(x, 500, context, added_cond_kwargs=told).sample
    on = put_on(model, made, seen[:1], seen[1:], Wish(weight))
    got = drawn(on, x, context, [0, 1])
    assert (got - wanted).abs().max() < 2e-5
    assert (got - model.network()(x, torch.full((2,), 500.0), context)).abs().max() > 1e-3


@torch.no_grad()
def test_one_picture_for_each_of_a_batch_and_two_adapters_on_one_model(tmp_path: Path) -> None:
    _, model = both()
    image, seen = basic()
    state = ip_state(model, image)
    save_file(
        {f"{p}.{k}": v for p, found in state.items() for k, v in found.items()}, tmp_path / "a.safetensors"
    )
    made = load_adapter(tmp_path / "a.safetensors")
    x, context, nothing = torch.randn(2, 4, 8, 8), torch.randn(2, 5, 48), torch.zeros(1, 20)
    each = drawn(put_on(model, made, seen, nothing, Wish(each=True)), x, context, [0])
    alone = [
        drawn(put_on(model, made, s[None], nothing, Wish()), x[i : i + 1], context[i : i + 1], [0])
        for i, s in enumerate(seen)
    ]
    assert torch.allclose(each, torch.cat(alone), atol=1e-5)
    once = put_on(model, made, seen[:1], nothing, Wish(0.6))
    twice = put_on(once, made, seen[:1], nothing, Wish(0.4))
    whole = put_on(model, made, seen[:1], nothing, Wish(1.0))
    assert torch.allclose(drawn(twice, x, context, [0]), drawn(whole, x, context, [0]), atol=1e-5)
    late = put_on(model, made, seen[:1], nothing, Wish(start=0.9))
    plain = model.network()(x, torch.full((2,), 500.0), context)
    assert torch.equal(drawn(late, x, context, [0]), plain), "outside of its part of the run it does nothing"


def test_errors_name_what_would_do(tmp_path: Path) -> None:
    _, model = both()
    with pytest.raises(IPAdapterError, match="16 layers that read text, this one has 7"):
        put_on(model, adapter("sd1"), torch.zeros(1, 32), torch.zeros(1, 32), Wish())
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(IPAdapterError, match="is no IP-Adapter"):
        load_adapter(tmp_path / "x.safetensors")
    face = {"image_proj.proj.0.weight": torch.zeros(1), "ip_adapter.0.to_q_lora.down.weight": torch.zeros(1)}
    save_file(face, tmp_path / "face.safetensors")
    with pytest.raises(IPAdapterError, match="has no layers of an IP-Adapter"):
        load_adapter(tmp_path / "face.safetensors")


@pytest.mark.parametrize(
    ("preset", "sdxl", "wanted"),
    [
        ("STANDARD (medium strength)", False, "ip-adapter_sd15.safetensors"),
        ("STANDARD (medium strength)", True, "sdxl/ip-adapter_sdxl_vit-h.safetensors"),
        ("VIT-G (medium strength)", False, "ip-adapter_sd15_vit-G.safetensors"),
        ("VIT-G (medium strength)", True, "ip-adapter_sdxl.safetensors"),
        ("PLUS (high strength)", False, "ip-adapter-plus_sd15.bin"),
        ("PLUS FACE (portraits)", True, "ip-adapter-plus-face_sdxl_vit-h.safetensors"),
        ("LIGHT - SD1.5 only (low strength)", False, "ip-adapter_sd15_light_v11.bin"),
        ("FULL FACE - SD1.5 only (portraits stronger)", False, "ip-adapter-full-face_sd15.safetensors"),
    ],
)
def test_presets_find_published_names(preset: str, sdxl: bool, wanted: str) -> None:
    there = [
        *(
            "ip-adapter_sd15.safetensors",
            "sdxl/ip-adapter_sdxl_vit-h.safetensors",
            "ip-adapter-plus_sd15.bin",
        ),
        *(
            "ip-adapter_sd15_vit-G.safetensors",
            "ip-adapter_sdxl.safetensors",
            "ip-adapter_sd15_light_v11.bin",
        ),
        *("ip-adapter-plus-face_sdxl_vit-h.safetensors", "ip-adapter-full-face_sd15.safetensors"),
    ]
    towers = ["CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors", "CLIP-ViT-bigG-14-laion2B-39B-b160k.safetensors"]
    assert adapter_file(preset, there, sdxl=sdxl) == wanted
    assert tower_file(preset, towers) == towers[preset.startswith("VIT-G")]


def test_ways_to_combine() -> None:
    seen = torch.tensor([[3.0, 4.0], [1.0, 0.0]])
    assert COMBINE["subtract"](seen).tolist() == [[2.0, 4.0]] and COMBINE["add"](seen).tolist() == [
        [4.0, 4.0]
    ]
    assert COMBINE["average"](seen).tolist() == [[2.0, 2.0]] and len(COMBINE["concat"](seen)) == 2
    assert COMBINE["max"](seen).tolist() == [[3.0, 4.0]] and COMBINE["min"](seen).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize(("latent", "tokens", "size"), [((64, 64), 256, (16, 16)), ((9, 7), 20, (5, 4))])
def test_the_size_of_a_layer(latent: tuple[int, int], tokens: int, size: tuple[int, int]) -> None:
    assert layer_size(latent, tokens) == size


def test_the_nodes_in_a_host(tmp_path: Path) -> None:
    host = Host(tmp_path, HostConfig())
    _, model = both()
    config = VisionConfig(
        width=64, layers=2, heads=1, inner=96, patch=14, size=28, projection=20, quick_gelu=False
    )
    torch.manual_seed(2)
    tower = {k: torch.randn(v.shape) * 0.1 for k, v in ClipVision(config).state_dict().items()}
    for folder, name, state in (
        ("clip_vision", "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors", tower),
        ("ipadapter", "ip-adapter_sd15.safetensors", _flat(ip_state(model, basic()[0]))),
        ("ipadapter", "ip-adapter-plus_sd15.safetensors", _flat(ip_state(model, _plus_of(64)))),
    ):
        (host.models / folder).mkdir(parents=True, exist_ok=True)
        save_file(state, host.models / folder / name)

    def run(name: str, /, **inputs: Any) -> Any:
        node = NODE_CLASS_MAPPINGS[name]()
        return getattr(node, node.FUNCTION)(**inputs)

    image, x, context = torch.rand(2, 40, 30, 3), torch.randn(2, 4, 8, 8), torch.randn(2, 5, 48)
    with use(Running(host, ModelFolders.of(host))), torch.no_grad():
        same, standard_one = run("IPAdapterUnifiedLoader", model=model, preset="STANDARD (medium strength)")
        _, made = run(
            "IPAdapterUnifiedLoader", model=same, preset="PLUS (high strength)", ipadapter=standard_one
        )
        assert made.vision is standard_one.vision
        on = {"start_at": 0.0, "end_at": 1.0, "weight": 0.8}
        (simple,) = run("IPAdapter", model=model, ipadapter=made, image=image, weight_type="standard", **on)
        how = {"weight_type": "linear", "embeds_scaling": "V only", **on}
        (full,) = run(
            "IPAdapterAdvanced", model=model, ipadapter=made, image=image, combine_embeds="concat", **how
        )
        yes, no = run("IPAdapterEncoder", ipadapter=made, image=image, weight=1.0)
        (late,) = run("IPAdapterEmbeds", model=model, ipadapter=made, pos_embed=yes, neg_embed=no, **how)
        (bare,) = run("IPAdapterModelLoader", ipadapter_file="ip-adapter_sd15.safetensors")
        with pytest.raises(IPAdapterError, match="connect a CLIP vision model"):
            run("IPAdapterAdvanced", model=model, ipadapter=bare, image=image, **how)
        outs = [drawn(one, x, context, [0, 1]) for one in (simple, full, late)]
        (batch,) = run("IPAdapterBatch", model=model, ipadapter=made, image=image, **how)
        assert torch.isfinite(drawn(batch, x, context, [0])).all()
    assert torch.allclose(outs[0], outs[1]) and torch.allclose(outs[1], outs[2], atol=1e-6)
    with (
        pytest.raises(IPAdapterError, match="no file for the preset"),
        use(Running(host, ModelFolders.of(host))),
    ):
        run("IPAdapterUnifiedLoader", model=model, preset=list(PRESETS)[4])


def _plus_of(seen: int) -> dict[str, Tensor]:
    torch.manual_seed(6)
    return {
        n: torch.randn(p.shape) * 0.2 for n, p in Resampler(seen, 64, 1, 128, 48, 5, 1).named_parameters()
    }


def _flat(state: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    return {f"{part}.{key}": value for part, found in state.items() for key, value in found.items()}
