"""CLIP's image tower against transformers', and pictures made ready as its processor makes them."""

from pathlib import Path

import pytest
import torch
import transformers
from noderack_diffusion.errors import UnknownModelError
from noderack_diffusion.vision import load_vision, normalised, vision_config
from safetensors.torch import save_file
from torch import Tensor, nn

WIDTH, HEADS, PATCH, SIZE = 64, 4, 8, 32


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    config = transformers.CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=HEADS,
        image_size=SIZE,
        patch_size=PATCH,
        projection_dim=24,
        hidden_act="quick_gelu",
    )
    torch.manual_seed(3)
    network = transformers.CLIPVisionModelWithProjection(config).eval()
    for parameter in network.parameters():
        parameter.data += torch.randn_like(parameter) * 0.05
    return network


SAID = {"noderack.config": '{"clip_vision": {"heads": 4}}'}


def state_of(network: nn.Module) -> dict[str, Tensor]:
    return {k: v.contiguous() for k, v in network.state_dict().items() if "position_ids" not in k}


def test_a_tower_says_what_theirs_says(theirs: nn.Module, tmp_path: Path) -> None:
    save_file(state_of(theirs), tmp_path / "v.safetensors", SAID)
    image = torch.rand(2, SIZE, SIZE, 3, generator=torch.Generator().manual_seed(1))
    seen = load_vision(tmp_path / "v.safetensors", device="cpu").encode_image(image)
    with torch.no_grad():
        wanted = theirs(normalised(image, SIZE, crop=True), output_hidden_states=True)
    assert (seen.image_embeds - wanted.image_embeds).abs().max() < 2e-5
    assert (seen["penultimate_hidden_states"] - wanted.hidden_states[-2]).abs().max() < 2e-5
    assert (seen.last_hidden_state - wanted.last_hidden_state).abs().max() < 2e-5
    assert seen.get("nothing") is None


def test_open_clip_names_are_the_same_tower(theirs: nn.Module, tmp_path: Path) -> None:
    own = state_of(theirs)
    save_file(own, tmp_path / "hf.safetensors", SAID)
    named: dict[str, Tensor] = {"proj": own["visual_projection.weight"].t().contiguous()}
    short = {
        "embeddings.class_embedding": "class_embedding",
        "embeddings.patch_embedding.weight": "conv1.weight",
        "embeddings.position_embedding.weight": "positional_embedding",
        **{f"pre_layrnorm.{leaf}": f"ln_pre.{leaf}" for leaf in ("weight", "bias")},
        **{f"post_layernorm.{leaf}": f"ln_post.{leaf}" for leaf in ("weight", "bias")},
    }
    named |= {to: own[f"vision_model.{name}"] for name, to in short.items()}
    leaves = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    for i in range(3):
        layer, to = f"vision_model.encoder.layers.{i}.", f"transformer.resblocks.{i}."
        for kind in ("weight", "bias"):
            parts = [own[f"{layer}self_attn.{letter}_proj.{kind}"] for letter in "qkv"]
            named[f"{to}attn.in_proj_{kind}"] = torch.cat(parts)
            named[f"{to}attn.out_proj.{kind}"] = own[f"{layer}self_attn.out_proj.{kind}"]
            named |= {f"{to}{short}.{kind}": own[f"{layer}{long}.{kind}"] for short, long in leaves.items()}
    save_file({f"embedder.model.visual.{k}": v for k, v in named.items()}, tmp_path / "o.safetensors", SAID)
    image = torch.rand(1, 40, 50, 3)
    towers = (load_vision(tmp_path / f"{n}.safetensors", device="cpu") for n in ("hf", "o"))
    one, other = (tower.encode_image(image).image_embeds for tower in towers)
    assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(50, 75), (96, 32), (32, 32)])
def test_pictures_are_made_ready(height: int, width: int) -> None:
    eight = torch.randint(0, 256, (1, height, width, 3), generator=torch.Generator().manual_seed(2))
    found = normalised(eight / 255.0, SIZE, crop=True)
    assert found.shape == (1, 3, SIZE, SIZE)
    processor = transformers.CLIPImageProcessor(size={"shortest_edge": SIZE}, crop_size=SIZE)
    wanted = processor(eight[0].numpy().astype("uint8"), return_tensors="pt")["pixel_values"]
    assert (found - wanted).abs().mean() < 0.02, "the same up to how each rounds"
    squeezed = normalised(eight / 255.0, SIZE, crop=False)
    assert squeezed.shape == found.shape and (height == width or not squeezed.equal(found))


@pytest.mark.parametrize(("width", "quick"), [(1024, True), (1280, False), (1664, False)])
def test_the_towers_of_the_field(width: int, quick: bool) -> None:
    config = vision_config(
        {
            "vision_model.embeddings.patch_embedding.weight": (width, 3, 14, 14),
            "vision_model.embeddings.position_embedding.weight": (257, width),
            "vision_model.encoder.layers.0.layer_norm1.weight": (width,),
            "vision_model.encoder.layers.0.mlp.fc1.weight": (4 * width, width),
        }
    )
    assert (config.heads, config.quick_gelu, config.size) == (16, quick, 224)


def test_something_else_is_refused(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(UnknownModelError, match="no CLIP image tower"):
        load_vision(tmp_path / "w.safetensors")
