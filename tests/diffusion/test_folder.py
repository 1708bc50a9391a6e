"""Folders of diffusers and pickled files give the same model as the single file."""

import shutil
from pathlib import Path

import diffusers
import pytest
import torch
import transformers
from noderack_diffusion.checkpoint import load_checkpoint
from noderack_diffusion.errors import FileError
from noderack_diffusion.folder import load_folder, load_model_file
from noderack_diffusion.store import Store

from .test_parity import TOLERANCE, apart

BLOCKS = {"down": ("CrossAttnDownBlock2D", "DownBlock2D"), "up": ("UpBlock2D", "CrossAttnUpBlock2D")}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple:
    torch.manual_seed(0)
    folder: Path = tmp_path_factory.mktemp("pipe")
    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=BLOCKS["down"],
        up_block_types=BLOCKS["up"],
        cross_attention_dim=64,
        attention_head_dim=8,
        norm_num_groups=32,
    ).eval()
    vae = diffusers.AutoencoderKL(
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=32,
    ).eval()
    config = transformers.CLIPTextConfig(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=1, eos_token_id=49407
    )
    text = transformers.CLIPTextModel(config).eval()
    for name, part in (("unet", unet), ("vae", vae), ("text_encoder", text)):
        part.save_pretrained(folder / name)
    return folder, unet, vae, text


def test_each_part_answers_as_diffusers_does(parts: tuple) -> None:
    folder, unet, vae, text = parts
    ours = load_folder(folder, device="cpu")
    x, context = torch.randn(1, 4, 8, 8), torch.randn(1, 77, 64)
    with torch.no_grad():
        want = unet(x, torch.tensor([500.0]), context).sample
        assert apart(ours.model.network()(x, torch.tensor([500.0]), context), want) <= TOLERANCE
        picture = vae.decode(x).sample.add(1).div(2).clamp(0, 1).movedim(1, -1)
        assert apart(ours.vae.decode(x), picture) <= TOLERANCE
        ids = torch.tensor([[t.value for t in ours.clip.tokenize("a cat")["l"][0]]])
        assert apart(ours.clip.encode("a cat")[0], text(ids).last_hidden_state) <= TOLERANCE


def test_the_only_text_encoder_may_be_the_second(parts: tuple, tmp_path: Path) -> None:
    whole = tmp_path / "pipe"
    shutil.copytree(parts[0], whole)
    (whole / "text_encoder").rename(whole / "text_encoder_2")  # as SDXL's refiner has it
    said = [load_folder(folder, device="cpu").clip.encode("a cat")[0] for folder in (parts[0], whole)]
    assert said[0].equal(said[1])


def test_a_folder_without_its_weights_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    with pytest.raises(FileError, match=r"holds no diffusion_pytorch_model\.safetensors"):
        load_folder(tmp_path)


def test_pickles_are_opened_without_their_code(parts: tuple, tmp_path: Path) -> None:
    ours = load_folder(parts[0], device="cpu")
    state = {f"model.diffusion_model.{k}": p.read().clone() for k, p in ours.model.live.pieces.items()}
    torch.save({"state_dict": state, "global_step": 3}, tmp_path / "model.ckpt")
    again = load_checkpoint(tmp_path / "model.ckpt", device="cpu")
    for k, v in again.model.network().state_dict().items():
        assert v.equal(ours.model.network().state_dict()[k])

    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    torch.save({"x": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(FileError, match="without running"):
        Store.open(tmp_path / "evil.ckpt")


def test_a_network_of_few_steps_without_middle_that_looks_at_the_text_alone(tmp_path: Path) -> None:
    """As SDXS is built: its first level has no self-attention."""
    torch.manual_seed(0)
    theirs = diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(64, 128),
        layers_per_block=1,
        down_block_types=(BLOCKS["down"][0],) * 2,
        up_block_types=(BLOCKS["up"][1],) * 2,
        mid_block_type=None,
        only_cross_attention=(True, False),
        cross_attention_dim=1024,
        attention_head_dim=(1, 2),
        use_linear_projection=True,
    ).eval()
    theirs.save_pretrained(tmp_path)
    model = load_model_file(tmp_path / "diffusion_pytorch_model.safetensors", device="cpu")
    assert model.spec.family.name == "sd2"
    assert [level.text_only for level in model.spec.unet.levels] == [True, False]
    x, t, context = torch.randn(2, 4, 8, 8), torch.tensor([3.0, 977.0]), torch.randn(2, 5, 1024)
    with torch.no_grad():
        want = theirs(x, t, context).sample
        assert apart(model.network()(x, t, context), want) <= TOLERANCE
