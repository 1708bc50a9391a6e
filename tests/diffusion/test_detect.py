"""Families told from headers alone, and their near misses."""

from types import ModuleType

import pytest
import torch
from noderack_diffusion.detect import detect
from noderack_diffusion.errors import UnknownModelError
from noderack_diffusion.store import TensorInfo

SD2 = {"context_dim": 1024, "linear": True}
REFINER = {"model_channels": 384, "channel_mult": [1, 2, 4, 4], "num_res_blocks": [2, 2, 2, 2]}
REFINER |= {"depth": [0, 4, 4, 0], "depth_middle": 4, "context_dim": 1280, "adm": 2560}
KOALA = {"depth": [0, 2, 5], "depth_middle": -2, "num_res_blocks": [1, 1, 1]}


def header(layout: dict, *more: str) -> dict[str, TensorInfo]:
    shapes = {**{k: tuple(v[0]) for k, v in layout.items()}, **dict.fromkeys(more, ())}
    return {k: TensorInfo(torch.float16, s, 0, 0) for k, s in shapes.items()}


@pytest.mark.parametrize(
    ("base", "change", "more", "family", "prediction"),
    [
        ("SD15_UNET", {}, (), "sd1", "eps"),
        ("SD15_UNET", {"in_channels": 9}, (), "sd1", "eps"),
        ("SD15_UNET", {"in_channels": 8}, (), "sd1", "eps"),
        ("SD15_UNET", SD2, (), "sd2", "probe"),
        ("SD15_UNET", {**SD2, "adm": 2048}, (), "sd2_unclip", "v"),
        ("SDXL_UNET", {}, (), "sdxl", "eps"),
        ("SDXL_UNET", {"in_channels": 9}, (), "sdxl", "eps"),
        ("SDXL_UNET", {}, ("v_pred", "ztsnr"), "sdxl", "v"),
        ("SDXL_UNET", {}, ("edm_mean", "edm_std"), "sdxl", "edm"),
        ("SDXL_UNET", {"in_channels": 8}, ("edm_vpred.sigma_max",), "sdxl", "edm_v"),
        ("SDXL_UNET", REFINER, (), "sdxl_refiner", "eps"),
        ("SDXL_UNET", {"depth": [0, 2, 4], "depth_middle": -1}, (), "sdxl", "eps"),
        (
            "SDXL_UNET",
            {"depth": [0, 2, 5], "depth_middle": -2, "num_res_blocks": [1, 1, 1]},
            (),
            "sdxl",
            "eps",
        ),
    ],
)
def test_families(
    base: str, change: dict, more: tuple, family: str, prediction: str, layouts: ModuleType
) -> None:
    spec = detect(header(layouts.unet({**getattr(layouts, base), **change}), *more))
    assert (spec.family.name, spec.prediction) == (family, prediction)
    assert spec.zero_snr == ("ztsnr" in more)
    assert spec.family.title in spec.why


@pytest.mark.parametrize("prefix", ["model.diffusion_model.", "diffusion_model.", ""])
def test_any_usual_prefix(prefix: str, layouts: ModuleType) -> None:
    assert detect(header(layouts.unet(layouts.SD15_UNET, prefix=prefix))).family.name == "sd1"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"adm": 100}, "nearest is Stable Diffusion XL, but adm is 100 and would have to be 2816"),
        ({"in_channels": 5}, "in_channels is 5 and would have to be 4 or 8 or 9"),
        ({"context_dim": 77}, "nearest is Stable Diffusion XL, but context is 77 and would have to be 2048"),
    ],
)
def test_near_misses_say_what_does_not_fit(change: dict, says: str, layouts: ModuleType) -> None:
    with pytest.raises(UnknownModelError, match=says):
        detect(header(layouts.unet({**layouts.SDXL_UNET, **change})))


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["lora_unet_x.lora_up.weight"], "adapter"),
        (["first_stage_model.decoder.conv_in.weight"], "autoencoder only"),
        (["conv_in.weight"], "diffusers"),
        ([], "no tensors at all"),
    ],
)
def test_other_files_are_named(names: list[str], says: str) -> None:
    with pytest.raises(UnknownModelError, match=says):
        detect({n: TensorInfo(torch.float16, (1,), 0, 0) for n in names})
