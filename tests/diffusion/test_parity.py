"""Our networks against diffusers and transformers: same random weights, fp32, at most 1e-5 apart."""

import diffusers
import pytest
import torch
import transformers
from noderack_diffusion import names
from noderack_diffusion.clip import ClipConfig, ClipText, clip_config
from noderack_diffusion.shapes import shapes_of
from noderack_diffusion.unet import Level, UNet, UNetConfig, unet_config
from noderack_diffusion.vae import AutoencoderKL, VaeConfig, vae_config
from torch import Tensor, nn

TOLERANCE = 1e-5
CROSS = {"down": "CrossAttnDownBlock2D", "up": "CrossAttnUpBlock2D"}
PLAIN = {"down": "DownBlock2D", "up": "UpBlock2D"}


def randomise(module: nn.Module) -> nn.Module:
    """Norms and biases away from their neutral values, so that a swapped one shows."""
    torch.manual_seed(7)
    for name, p in module.named_parameters():
        noise = torch.randn_like(p) * 0.05
        p.data = p.data + noise if "norm" in name or name.endswith("bias") else p.data
    return module.eval()


def renamed(state: dict[str, Tensor], modules: dict[str, str]) -> dict[str, Tensor]:
    parts = ((key.rpartition("."), value) for key, value in state.items())
    return {f"{modules[path]}.{leaf}": value for (path, _, leaf), value in parts}


def apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


SD1 = {
    "block_out_channels": (32, 64, 64),
    "layers_per_block": 2,
    "down_block_types": (CROSS["down"], CROSS["down"], PLAIN["down"]),
    "up_block_types": (PLAIN["up"], CROSS["up"], CROSS["up"]),
    "cross_attention_dim": 48,
    "attention_head_dim": 8,
    "norm_num_groups": 16,
}
SDXL = {
    "block_out_channels": (64, 128, 256),
    "layers_per_block": 2,
    "down_block_types": (PLAIN["down"], CROSS["down"], CROSS["down"]),
    "up_block_types": (CROSS["up"], CROSS["up"], PLAIN["up"]),
    "transformer_layers_per_block": (1, 2, 3),
    "cross_attention_dim": 96,
    "attention_head_dim": (1, 2, 4),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 80,
    "norm_num_groups": 32,
}


@pytest.mark.parametrize(
    ("kind", "told", "size"),
    [(SD1, {"groups": 16}, (8, 12)), (SD1, {"groups": 16}, (9, 7)), (SDXL, {}, (8, 8))],
    ids=["sd1", "sd1-odd", "sdxl"],
)
def test_unet(kind: dict, told: dict, size: tuple[int, int]) -> None:
    theirs = randomise(diffusers.UNet2DConditionModel(sample_size=8, **kind))
    modules = dict(names.unet_modules(unet_config_of(theirs)))
    state = renamed(theirs.state_dict(), modules)
    ours = UNet(unet_config(shapes_of(state), told))
    ours.load_state_dict(state)
    torch.manual_seed(1)
    x, context = torch.randn(2, 4, *size), torch.randn(2, 5, kind["cross_attention_dim"])
    t = torch.tensor([3.0, 977.0])
    pooled, ids = torch.randn(2, 32), torch.randn(2, 6)
    y = (
        torch.cat([pooled, theirs.add_time_proj(ids.flatten()).reshape(2, -1)], 1)
        if ours.config.adm
        else None
    )
    added = {"text_embeds": pooled, "time_ids": ids} if ours.config.adm else None
    with torch.no_grad():
        want = theirs(x, t, context, added_cond_kwargs=added).sample
        assert apart(ours(x, t, context, y), want) <= TOLERANCE


def unet_config_of(theirs: nn.Module) -> UNetConfig:
    """The config of a diffusers U-Net, from its own settings (the rename table is made from it)."""
    c = theirs.config
    widths = c.block_out_channels
    deep = c.transformer_layers_per_block
    deep = (deep,) * len(widths) if isinstance(deep, int) else deep
    depths = [d if "Cross" in kind else 0 for d, kind in zip(deep, c.down_block_types, strict=True)]
    n = c.layers_per_block
    levels = tuple(
        Level(w // widths[0], (d,) * n, (d,) * (n + 1)) for w, d in zip(widths, depths, strict=True)
    )
    return UNetConfig(levels=levels, middle=deep[-1], adm=c.projection_class_embeddings_input_dim or 0)


@pytest.mark.parametrize("size", [(32, 32), (48, 24)])
def test_vae(size: tuple[int, int]) -> None:
    widths = (16, 32, 64)
    theirs = randomise(
        diffusers.AutoencoderKL(
            block_out_channels=widths,
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            layers_per_block=2,
            norm_num_groups=8,
        )
    )
    config = vae_config_of(widths)
    state = renamed(theirs.state_dict(), dict(names.vae_modules(config)))
    for key in [k for k in state if ".attn_1." in k and k.endswith("weight") and state[k].dim() == 2]:
        state[key] = state[key][:, :, None, None]
    assert vae_config(shapes_of(state), {"groups": 8}) == config
    ours = AutoencoderKL(config)
    ours.load_state_dict(state)
    picture = torch.rand(2, 3, *size) * 2 - 1
    with torch.no_grad():
        latents = theirs.encode(picture).latent_dist.mode()
        assert apart(ours.encode(picture), latents) <= TOLERANCE
        assert apart(ours.decode(latents), theirs.decode(latents).sample) <= TOLERANCE


def vae_config_of(widths: tuple[int, ...]) -> VaeConfig:
    return VaeConfig(width=widths[0], mults=tuple(w // widths[0] for w in widths), groups=8)


@pytest.mark.parametrize("act", ["quick_gelu", "gelu"])
@pytest.mark.parametrize("layer", [-1, -2])
def test_text_tower(act: str, layer: int) -> None:
    config = transformers.CLIPTextConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        projection_dim=32,
        hidden_act=act,
    )
    theirs = randomise(transformers.CLIPTextModelWithProjection(config))
    state = {k: v for k, v in theirs.state_dict().items() if "position_ids" not in k}
    shape = clip_config(shapes_of(state), {"heads": 4, "quick_gelu": act == "quick_gelu"})
    assert shape == ClipConfig(64, 3, 4, 128, 49408, 77, 32, act == "quick_gelu")
    ours = ClipText(shape)
    ours.load_state_dict(state)
    tokens = torch.randint(0, 49000, (2, 77))
    tokens[:, 0], tokens[0, 9:], tokens[1, 76] = 49406, 49407, 49407
    theirs.text_model.config.eos_token_id = 49407
    with torch.no_grad():
        want = theirs(tokens, output_hidden_states=True)
        got = ours(tokens, end=torch.tensor([9, 76]), layer=layer, final_norm=layer == -1)
    hidden = want.last_hidden_state if layer == -1 else want.hidden_states[layer]
    assert apart(got.hidden, hidden) <= TOLERANCE
    assert apart(got.pooled, want.text_embeds) <= TOLERANCE
