"""TAESD against diffusers' AutoencoderTiny."""

from pathlib import Path

import diffusers
import torch
from noderack_diffusion.shapes import shapes_of
from noderack_diffusion.taesd import TaesdConfig, decoder, encoder, load_preview, taesd_config
from safetensors.torch import save_file


def test_both_halves(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = diffusers.AutoencoderTiny().eval()
    x, z = torch.rand(1, 3, 32, 40), torch.randn(1, 4, 4, 5)
    state = theirs.state_dict()
    half = {k.removeprefix("decoder.layers."): v for k, v in state.items() if k.startswith("decoder.")}
    # Diffusers has no clamp layer of its own, so its layers are numbered one lower.
    shifted = {f"{int(k.partition('.')[0]) + 1}.{k.partition('.')[2]}": v for k, v in half.items()}
    assert taesd_config(shapes_of(shifted)) == TaesdConfig()
    save_file({f"taesd_decoder.{k}": v for k, v in shifted.items()}, tmp_path / "taesd.safetensors")
    assert load_preview(tmp_path / "taesd.safetensors").decode(z).shape == (1, 32, 40, 3)
    ours = decoder(TaesdConfig())
    ours.load_state_dict(shifted)
    enc = encoder(TaesdConfig())
    enc.load_state_dict(
        {k.removeprefix("encoder.layers."): v for k, v in state.items() if k.startswith("encoder.")}
    )
    with torch.no_grad():
        want = theirs.decode(z).sample.add(1).div(2)
        assert torch.allclose(ours(z), want, atol=2e-5)
        assert torch.allclose(enc(x), theirs.encode(x.mul(2).sub(1)).latents, atol=2e-5)
