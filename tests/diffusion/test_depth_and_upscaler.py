"""Stable Diffusion 2 after a map of depths, and its upscaler, against diffusers."""

import json
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_depth2img import (
    StableDiffusionDepth2ImgPipeline,
)
from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer
from noderack_diffusion import settings as told_by
from noderack_diffusion.concat import beside
from noderack_diffusion.errors import DiffusionError, MismatchError
from noderack_diffusion.folder import load_folder
from noderack_diffusion.labels import LABELS
from noderack_diffusion.lowres import LEVELS, noised
from noderack_diffusion.sampling_run import sample
from noderack_diffusion.spec import SD, X4
from noderack_diffusion.unclip import SEED_SHIFT
from torch import Tensor

from .test_parity import TOLERANCE, apart, randomise

CROSS, PLAIN = "CrossAttnDownBlock2D", "DownBlock2D"
SD2: dict[str, Any] = {
    "sample_size": 8,
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "down_block_types": (CROSS, PLAIN),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 1024,
    "attention_head_dim": (2, 4),
    "use_linear_projection": True,
    "norm_num_groups": 16,
}
UPSCALER: dict[str, Any] = SD2 | {
    "in_channels": 7,
    "block_out_channels": (32, 64, 64),
    "down_block_types": (PLAIN, CROSS, CROSS),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": 8,
    "num_class_embeds": 1000,
    "only_cross_attention": (True, True, True),
    "mid_block_only_cross_attention": False,
}
DEPTH = SD2 | {"in_channels": 5}
V_FOLDER = {"prediction_type": "v_prediction", "_class_name": "DDIMScheduler"}


def saved(folder: Path, settings: dict[str, Any], scheduler: dict[str, Any] | None = None) -> Any:
    torch.manual_seed(0)
    network = randomise(diffusers.UNet2DConditionModel(**settings))
    network.save_pretrained(folder / "unet")
    if scheduler:
        (folder / "scheduler").mkdir()
        text = diffusers.DDIMScheduler(prediction_type=scheduler["prediction_type"]).to_json_string()
        (folder / "scheduler/scheduler_config.json").write_text(text)
    return network


@pytest.mark.parametrize(
    ("settings", "family", "classes"), [(UPSCALER, "sd_x4", 1000), (DEPTH, "sd2", 0)], ids=["x4", "depth"]
)
def test_networks(settings: dict[str, Any], family: str, classes: int, tmp_path: Path) -> None:
    theirs = saved(tmp_path, settings)
    ours = load_folder(tmp_path, device="cpu").model
    assert ours.spec.family.name == family and ours.spec.unet.classes == classes
    torch.manual_seed(1)
    x, context = torch.randn(2, settings["in_channels"], 8, 8), torch.randn(2, 5, 1024)
    t, level = torch.tensor([3.0, 977.0]), torch.tensor([20, 349])
    with torch.no_grad():
        want = theirs(x, t, context, class_labels=level if classes else None).sample
        got = ours.network()(x, t, context, level.float()[:, None] if classes else None)
    assert apart(got, want) <= TOLERANCE


def test_the_settings_say_what_a_network_predicts(tmp_path: Path) -> None:
    saved(tmp_path, DEPTH, V_FOLDER)
    assert load_folder(tmp_path, device="cpu").model.param.kind == "v"


def test_a_folder_of_unclip(tmp_path: Path) -> None:
    labels = {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 1536}
    theirs = saved(tmp_path, SD2 | labels, V_FOLDER)
    normal = StableUnCLIPImageNormalizer(768)
    normal.mean.data += 0.3
    normal.std.data *= 2
    normal.save_pretrained(tmp_path / "image_normalizer")
    ours = load_folder(tmp_path, device="cpu").model
    assert ours.spec.family.name == "sd2_unclip" and ours.spec.seen is not None
    assert ours.spec.seen.mean.equal(normal.mean.data) and ours.spec.seen.spread.equal(normal.std.data)
    x, context, y = torch.randn(1, 4, 8, 8), torch.randn(1, 5, 1024), torch.randn(1, 1536)
    t = torch.tensor([321.0])
    with torch.no_grad():
        want = theirs(x, t, context, class_labels=y).sample
        assert apart(ours.network()(x, t, context, y), want) <= TOLERANCE


@pytest.mark.parametrize(
    ("said", "error"),
    [({"prediction_type": "sample"}, "predicts 'sample'; known here are epsilon"), ("{", "not JSON")],
)
def test_settings_that_cannot_be_followed(tmp_path: Path, said: Any, error: str) -> None:
    (tmp_path / "scheduler").mkdir()
    text = said if isinstance(said, str) else json.dumps(said)
    (tmp_path / "scheduler/scheduler_config.json").write_text(text)
    with pytest.raises(DiffusionError, match=error):
        told_by.prediction(tmp_path)


def test_the_upscaler_has_its_own_levels(tmp_path: Path) -> None:
    saved(tmp_path, UPSCALER)
    param = load_folder(tmp_path, device="cpu").model.param
    kept = diffusers.DDIMScheduler(
        beta_start=0.0001, beta_end=0.02, beta_schedule="scaled_linear"
    ).alphas_cumprod
    assert param.kind == "v" and torch.allclose(param.times.table, ((1 - kept) / kept).sqrt(), rtol=1e-3)


@pytest.mark.parametrize("level", [1, 20, LEVELS])
def test_noise_on_the_small_picture(level: int) -> None:
    picture = torch.rand(1, 3, 8, 8) * 2 - 1
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(40 + SEED_SHIFT))
    scheduler = diffusers.DDPMScheduler(beta_start=0.0001, beta_end=0.02, beta_schedule="scaled_linear")
    assert torch.allclose(
        noised(picture, level, 40), scheduler.add_noise(picture, noise, torch.tensor([level])), atol=1e-4
    )


def test_what_the_upscaler_is_given() -> None:
    latent, picture = torch.zeros(2, 4, 8, 8), torch.rand(1, 3, 8, 8)
    entry = {"concat_image": picture, "noise_augmentation": 0.1, "seed": 40}
    given = beside(3, entry, latent, None, X4)
    assert given is not None and given.shape == (2, 3, 8, 8) and given[1].equal(noised(picture, 35, 40)[0])
    plain = beside(3, entry | {"noise_augmentation": 0.0}, latent, None, X4)
    assert plain is not None and plain[0].equal(picture[0])
    label = LABELS["level"](entry, latent, True, None)  # type: ignore[arg-type]
    assert label is not None and label.tolist() == [[35.0]]
    assert beside(3, {}, latent, None, X4).equal(torch.zeros(2, 3, 8, 8))  # type: ignore[union-attr]


def test_depths_are_theirs() -> None:
    depth = torch.rand(1, 96, 80) * 7 + 3
    pipe = object.__new__(StableDiffusionDepth2ImgPipeline)
    object.__setattr__(pipe, "vae_scale_factor", 8)
    want = pipe.prepare_depth_map(
        torch.zeros(1, 3, 64, 48), depth, 2, False, torch.float32, torch.device("cpu")
    )
    given = beside(1, {"concat_depth": depth[:, None]}, torch.zeros(2, 4, 8, 6), None, SD)
    assert given is not None and torch.allclose(given, want, atol=1e-5)
    with pytest.raises(MismatchError, match="NoderackDepthConditioning"):
        beside(1, {}, torch.zeros(1, 4, 8, 6), None, SD)


@pytest.mark.parametrize("settings", [UPSCALER, DEPTH], ids=["x4", "depth"])
def test_a_run(settings: dict[str, Any], tmp_path: Path) -> None:
    saved(tmp_path, settings)
    model = load_folder(tmp_path, device="cpu").model
    picture = {"concat_image": torch.rand(1, 3, 8, 8), "concat_depth": torch.rand(1, 1, 8, 8)}

    def drawn(**more: float) -> Tensor:
        texts = [[[torch.full((1, 4, 1024), fill), {**picture, **more}]] for fill in (0.1, -0.1)]
        return sample(
            model,
            latent=torch.zeros(1, 4, 8, 8),
            positive=texts[0],
            negative=texts[1],
            cfg=4.0,
            sampler="euler",
            scheduler="normal",
            steps=2,
            seed=1,
        )

    plain, again = drawn(), drawn(noise_augmentation=0.5)
    assert plain.isfinite().all() and plain.equal(again) is (settings is DEPTH)
