"""Checkpoints as files: opened, used, patched and un-patched; bad ones refused with a reason."""

import json
import struct
from pathlib import Path
from types import ModuleType

import pytest
import torch
from noderack_diffusion.checkpoint import load_checkpoint, load_model
from noderack_diffusion.devices import cpu_has_bf16
from noderack_diffusion.errors import AdapterError, FileError, MismatchError, UnknownModelError
from noderack_diffusion.lora import load_lora, patches_for
from noderack_diffusion.sampling_run import sample
from noderack_diffusion.store import Store
from noderack_diffusion.unet import CrossAttention
from safetensors.torch import save_file
from torch import Tensor

from .conftest import made_state

MAKE = {"model_channels": 32, "in_channels": 4, "out_channels": 4, "num_res_blocks": [1, 1]}
MAKE |= {
    "channel_mult": [1, 2],
    "depth": [1, 0],
    "depth_middle": 1,
    "context_dim": 64,
    "linear": False,
    "adm": None,
}


@pytest.fixture(scope="module")
def tiny_state(layouts) -> dict[str, Tensor]:
    layout = layouts.unet(MAKE)
    layouts.vae_kl(ch=32, mult=(1, 2, 2, 2), nrb=1, L=layout)
    layouts.clip_text_hf("cond_stage_model.transformer.", hidden=64, layers=2, inter=128, L=layout)
    return {k: v.half() for k, v in made_state(layout).items()}


TOLD = {"noderack.config": json.dumps({"unet": {"head_dim": 16}, "clip": {"heads": 4}})}


@pytest.fixture(scope="module")
def tiny(tiny_state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    table = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"
    stored = {**tiny_state, table: tiny_state[table].to(torch.float8_e4m3fn)}
    save_file({k: v.contiguous() for k, v in stored.items()}, path, TOLD)
    return path


@pytest.fixture(scope="module")
def lora_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    block = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    text = "lora_te_text_model_encoder_layers_1_mlp_fc1"
    path: Path = tmp_path_factory.mktemp("loras") / "style.safetensors"
    save_file(
        {
            f"{block}.lora_up.weight": torch.randn(32, 4),
            f"{block}.lora_down.weight": torch.randn(4, 32),
            f"{block}.alpha": torch.tensor(2.0),
            f"{text}.lora_up.weight": torch.randn(128, 4),
            f"{text}.lora_down.weight": torch.randn(4, 64),
            "lora_unet_down_blocks_0_attentions_0_proj_inn.lora_up.weight": torch.zeros(32, 4),
            "lora_unet_down_blocks_0_attentions_0_proj_inn.lora_down.weight": torch.zeros(4, 32),
            "lora_unet_conv_in.lora_up.weight": torch.zeros(32, 4),
            "lora_unet_conv_in.lora_down.weight": torch.zeros(4, 99),
        },
        path,
    )
    return path


def draw(checkpoint, seed: int = 5) -> Tensor:
    model, clip = checkpoint.model, checkpoint.clip
    cond, pooled = clip.encode("a (red:1.2) cat")
    none, _ = clip.encode("")
    return sample(
        model,
        latent=torch.zeros(1, 4, 8, 8),
        positive=[[cond, {"pooled_output": pooled}]],
        negative=[[none, {}]],
        cfg=4.0,
        sampler="dpmpp_2m",
        scheduler="karras",
        steps=3,
        seed=seed,
    )


def test_draws_the_same_picture_for_the_same_seed(tiny: Path) -> None:
    checkpoint = load_checkpoint(tiny, device="cpu")
    assert checkpoint.spec.family.name == "sd1"
    assert "linear_proj False" in checkpoint.spec.why
    one, again, other = draw(checkpoint), draw(checkpoint), draw(checkpoint, seed=6)
    assert one.equal(again) and not one.equal(other)
    picture = checkpoint.vae.decode(one)
    assert picture.shape == (1, 64, 64, 3) and 0 <= float(picture.min()) <= float(picture.max()) <= 1
    assert checkpoint.vae.encode(torch.rand(1, 67, 64, 3)).shape == (1, 4, 8, 8)


@torch.inference_mode()
def test_what_is_kept_is_kept_where_nodes_run_too(tiny: Path) -> None:
    found = load_checkpoint(tiny, device="cpu")
    draw(found)
    network = found.model.network()
    assert not any(p.is_inference() for p in network.parameters())
    texts = [m.seen for m in network.modules() if isinstance(m, CrossAttention)]
    assert max(len(seen._made) for seen in texts) == 1


def test_told_numbers_come_from_the_metadata(tiny: Path) -> None:
    checkpoint = load_checkpoint(tiny, device="cpu")
    assert checkpoint.spec.unet.head_dim == 16
    assert checkpoint.clip.network(checkpoint.clip.towers[0]).config.heads == 4


def test_a_lora_comes_off_without_a_trace(tiny: Path, lora_path: Path) -> None:
    checkpoint = load_checkpoint(tiny, device="cpu")
    before = draw(checkpoint)
    weights = {k: v.clone() for k, v in checkpoint.model.network().state_dict().items()}
    lora = load_lora(lora_path)
    patches, report = patches_for(lora, checkpoint.model, 0.8)
    changed = set(patches.parameters())
    on = checkpoint.model.with_patches(patches)
    for k, v in on.network().state_dict().items():
        assert v.equal(weights[k]) != (k in changed), k
    for strength in (0.1, -2.0, 0.8):
        checkpoint.model.with_patches(patches_for(lora, checkpoint.model, strength)[0]).network()
    for k, v in checkpoint.model.network().state_dict().items():
        assert v.equal(weights[k]), k
    assert draw(checkpoint).equal(before)
    assert report.matched and report.elsewhere == 1


def test_the_report_names_what_is_lost_and_what_is_near(tiny: Path, lora_path: Path) -> None:
    checkpoint = load_checkpoint(tiny, device="cpu")
    _, report = patches_for(load_lora(lora_path), checkpoint.model, 1.0)
    lost = "lora_unet_down_blocks_0_attentions_0_proj_inn"
    assert report.unmatched == {lost: "lora_unet_down_blocks_0_attentions_0_proj_in"}
    assert "input_blocks.0.0.weight" in report.mismatched["lora_unet_conv_in"]
    assert "1 of 3 changes apply" in report.sentence()
    _, text = patches_for(load_lora(lora_path), checkpoint.clip, 1.0)
    assert text.matched == ("lora_te_text_model_encoder_layers_1_mlp_fc1",)


def test_a_lora_on_the_text_encoder_changes_what_it_says(tiny: Path, lora_path: Path) -> None:
    clip = load_checkpoint(tiny, device="cpu").clip
    before = clip.encode("cat")[0]
    patches, _ = patches_for(load_lora(lora_path), clip, 1.0)
    assert not clip.with_patches(patches).encode("cat")[0].equal(before)
    assert clip.encode("cat")[0].equal(before)


def test_the_file_is_mapped_and_never_changed(tiny: Path, lora_path: Path) -> None:
    content = tiny.read_bytes()
    checkpoint = load_checkpoint(tiny, device="cpu", dtype=torch.float32)
    patches, _ = patches_for(load_lora(lora_path), checkpoint.model, 1.0)
    draw(load_checkpoint(tiny, device="cpu"))
    checkpoint.model.with_patches(patches).network()
    assert tiny.read_bytes() == content


def test_half_precision_is_never_computed_in_on_a_cpu(tiny: Path) -> None:
    assert load_checkpoint(tiny, device="cpu", dtype=torch.float16).model.dtype == torch.float32
    half = load_checkpoint(tiny, device="cpu", dtype=torch.bfloat16)
    full = load_checkpoint(tiny, device="cpu")
    near = (draw(half) - draw(full)).abs().mean() / draw(full).abs().mean()
    dtype = torch.bfloat16 if cpu_has_bf16() else torch.float32
    assert half.model.dtype == dtype and float(near) < 0.1


def damaged(content: bytes, header: dict | None = None) -> bytes:
    if header is None:
        return content
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + content


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "only 0 bytes"),
        (b"PK\x03\x04 zip", "no safetensors file but a pickled checkpoint"),
        (struct.pack("<Q", 2**60) + b"{}", "cut short"),
        (struct.pack("<Q", 2) + b"[]", "damaged"),
        (struct.pack("<Q", 4000) + b"[" * 4000, "damaged"),
        (damaged(b"", {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}), "cut short"),
        (damaged(b"12345678", {"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}), "does not lie"),
        (damaged(b"12345678", {"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}), "shape"),
        (damaged(b"12345678", {"a": {"dtype": "Q9", "shape": [2], "data_offsets": [0, 8]}}), "unknown dtype"),
    ],
)
def test_damaged_files_are_refused(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(FileError, match=says):
        Store.open(path)


def test_files_of_another_kind_are_named(tmp_path: Path, lora_path: Path, tiny: Path) -> None:
    with pytest.raises(FileError, match="No such file"):
        load_checkpoint(tmp_path / "none.safetensors")
    with pytest.raises(UnknownModelError, match="adapter"):
        load_checkpoint(lora_path)
    with pytest.raises(AdapterError, match="no adapter"):
        load_lora(tiny)
    odd = tmp_path / "odd.safetensors"
    save_file(
        {"input_blocks.0.0.weight": torch.zeros(8, 5, 3, 3), "out.2.weight": torch.zeros(4, 8, 3, 3)}, odd
    )
    with pytest.raises(UnknownModelError, match="nearest is Stable Diffusion 1, but in_channels is 5"):
        load_checkpoint(odd)


def test_a_prompt_of_another_model_is_refused(tiny: Path) -> None:
    model = load_checkpoint(tiny, device="cpu").model
    with pytest.raises(MismatchError, match="768 wide"):
        model.predict(torch.zeros(1, 4, 8, 8), torch.ones(1), torch.zeros(1, 77, 768))


@pytest.mark.parametrize(
    ("marks", "kind", "ends", "data"),
    [
        ({"edm_vpred.sigma_max": 90.0}, "v", (0.002, 90.0), 1.0),
        ({"edm_vpred.sigma_max": 80.0, "edm_vpred.sigma_min": 0.01}, "v", (0.01, 80.0), 1.0),
        ({"edm_mean": 0.0, "edm_std": 1.0}, "edm", (0.002, 80.0), 0.5),
        ({}, "eps", (0.029167, 14.6146), 1.0),
    ],
)
def test_an_sdxl_says_in_which_terms_it_predicts(
    tiny_state: dict[str, Tensor],
    marks: dict[str, float],
    kind: str,
    ends: tuple[float, float],
    data: float,
    tmp_path: Path,
    layouts: ModuleType,
) -> None:
    layout = layouts.unet({**MAKE, "linear": True, "context_dim": 2048, "adm": 2816})
    state = {name: torch.zeros(shape, dtype=torch.float16) for name, (shape, *_) in layout.items()}
    save_file({**state, **{k: torch.tensor(v) for k, v in marks.items()}}, tmp_path / "xl.safetensors")
    model = load_model(tmp_path / "xl.safetensors")
    assert (model.spec.family.name, model.param.kind, model.param.data) == ("sdxl", kind, data)
    assert (model.param.sigma_min, model.param.sigma_max) == pytest.approx(ends, rel=1e-3)
    form, latent = model.spec.family.latent, torch.randn(2, 4, 3, 3)
    assert torch.allclose(form.back(form.into(latent)), latent, atol=1e-5)
    spreads = [8.4927, 5.9022] if kind == "edm" else [1 / 0.13025, 1 / 0.13025]
    means = [-1.6574, 1.886] if kind == "edm" else [0.0, 0.0]
    half = 0.5 if kind == "edm" else 1.0
    for c, (mean, spread) in enumerate(zip(means, spreads, strict=True)):
        assert torch.allclose(form.into(latent)[:, c], (latent[:, c] - mean) * half / spread, atol=1e-5)
