"""Image, mask and latent nodes on small tensors: shapes, values, and what is left alone."""

from typing import Any

import pytest
import torch
from noderack_nodes import NODE_CLASS_MAPPINGS
from noderack_nodes.errors import NodeInputError
from noderack_nodes.resize import bislerp, resize

IMAGE = torch.rand(2, 10, 6, 3, generator=torch.Generator().manual_seed(1))
LATENT = {"samples": torch.randn(2, 4, 16, 24, generator=torch.Generator().manual_seed(2)), "kept": 1}


def run(name: str, /, *args: Any, **inputs: Any) -> Any:
    node = NODE_CLASS_MAPPINGS[name]()
    result = getattr(node, node.FUNCTION)(*args, **inputs)
    return result[0] if len(result) == 1 else result


@pytest.mark.parametrize("method", ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"])
def test_images_resize_by_every_method(method: str) -> None:
    assert run("ImageScale", IMAGE, method, 12, 20, "disabled").shape == (2, 20, 12, 3)


@pytest.mark.parametrize(
    ("width", "height", "shape"), [(0, 20, (20, 12)), (12, 0, (20, 12)), (0, 0, (10, 6)), (3, 3, (3, 3))]
)
def test_a_zero_keeps_the_aspect_ratio(width: int, height: int, shape: tuple[int, int]) -> None:
    assert run("ImageScale", IMAGE, "bilinear", width, height, "disabled").shape[1:3] == shape


def test_centre_crop_keeps_the_middle() -> None:
    striped = torch.arange(8.0).view(1, 1, 1, 8).expand(1, 3, 4, 8)
    assert resize(striped, 4, 4, "nearest-exact", "center")[0, 0, 0].tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("node", "value", "shape"),
    [
        ("ImageScaleBy", ("area", 0.5), (5, 3)),
        ("ImageScaleToTotalPixels", ("area", 0.01), (132, 79)),
        ("ImageScaleToMaxDimension", ("area", 20), (20, 12)),
        ("ImageCrop", (4, 5, 3, 9), (1, 3)),
        ("ImageRotate", ("90 degrees",), (6, 10)),
    ],
)
def test_image_sizes(node: str, value: tuple[Any, ...], shape: tuple[int, int]) -> None:
    assert run(node, IMAGE, *value).shape[1:3] == shape


def test_an_unknown_method_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(NodeInputError, match=r"no resize method 'cubic'.*bislerp"):
        run("ImageScaleBy", IMAGE, "cubic", 2)


def test_bislerp_keeps_lengths_and_constant_pictures() -> None:
    flat = torch.tensor([1.0, -2.0, 3.0, 0.5]).view(1, 4, 1, 1).expand(1, 4, 5, 7)
    assert torch.allclose(bislerp(flat, 13, 9), flat[:, :, :1, :1].expand(1, 4, 9, 13), atol=1e-6)
    unit = torch.nn.functional.normalize(LATENT["samples"], dim=1)
    assert torch.allclose(bislerp(unit, 24, 31).norm(dim=1), torch.ones(2, 31, 24), atol=1e-4)


def test_turning_four_times_and_flipping_twice_changes_nothing() -> None:
    turned = LATENT
    for _ in range(4):
        turned = run("LatentRotate", turned, "90 degrees")
    assert torch.equal(turned["samples"], LATENT["samples"]) and turned["kept"] == 1
    flip = "y-axis: horizontally"
    assert torch.equal(run("ImageFlip", run("ImageFlip", IMAGE, flip), flip), IMAGE)


def test_batches_take_the_size_of_the_first() -> None:
    assert run("ImageBatch", IMAGE, torch.rand(1, 4, 4, 4)).shape == (3, 10, 6, 4)
    both = run("LatentBatch", LATENT, {"samples": torch.zeros(1, 4, 8, 8)})
    assert both["samples"].shape == (3, 4, 16, 24) and both["batch_index"] == [0, 1, 0]


def test_a_picked_latent_draws_its_old_noise() -> None:
    assert run("LatentFromBatch", LATENT, 1, 5)["batch_index"] == [1]
    repeated = run("RepeatLatentBatch", {**LATENT, "batch_index": [3, 4]}, 2)
    assert repeated["batch_index"] == [3, 4, 5, 6] and repeated["samples"].shape[0] == 4
    assert "batch_index" not in run("LatentBatchSeedBehavior", repeated, "random")
    assert run("LatentBatchSeedBehavior", repeated, "fixed")["batch_index"] == [3] * 4


def test_the_outpaint_mask_fades_into_the_picture_on_the_new_side_only() -> None:
    image, mask = run("ImagePadForOutpaint", torch.ones(1, 20, 20, 3), 8, 0, 0, 0, 4)
    assert image.shape == (1, 20, 28, 3) and image[0, 0, 7, 0] == 0.5 and image[0, 0, 8, 0] == 1
    assert mask[0, 5, 7:13].tolist() == [1, 1, 0.5625, 0.25, 0.0625, 0]
    assert mask[0, :, 12:].sum() == 0


@pytest.mark.parametrize(
    ("operation", "expected"),
    [("multiply", 0.25), ("add", 1), ("subtract", 0), ("and", 0), ("or", 0), ("xor", 0)],
)
def test_mask_operations(operation: str, expected: float) -> None:
    half = torch.full((1, 4, 4), 0.5)
    result = run("MaskComposite", half, half[:, :2, :2], 1, 1, operation)
    assert result[0, 1, 1] == expected and result[0, 0, 0] == 0.5 and half.unique().tolist() == [0.5]


def test_growing_and_shrinking_a_mask() -> None:
    dot = torch.zeros(1, 7, 7)
    dot[0, 3, 3] = 1
    assert run("GrowMask", dot, 2, True).sum() == 13
    assert run("GrowMask", dot, 2, False).sum() == 25
    assert torch.equal(run("GrowMask", run("GrowMask", dot, 2, False), -2, False), dot)


def test_feathered_edges_are_ramps() -> None:
    mask = run("FeatherMask", torch.ones(1, 6, 6), 2, 0, 3, 0)
    assert torch.allclose(mask[0, 0], torch.tensor([0.5, 1, 1, 1, 2 / 3, 1 / 3]))


def test_colours_and_channels_to_masks() -> None:
    red = run("EmptyImage", 4, 3, 2, 0xFF8000)
    assert red.shape == (2, 3, 4, 3) and run("ImageColorToMask", red, 0xFF8000).min() == 1
    assert run("ImageToMask", red, "blue").max() == 0
    with pytest.raises(NodeInputError, match="no alpha channel"):
        run("ImageToMask", red, "alpha")
    assert run("MaskToImage", torch.ones(4, 4)).shape == (1, 4, 4, 3)


def test_alpha_goes_apart_and_together() -> None:
    joined = run("JoinImageWithAlpha", IMAGE, torch.full((1, 5, 3), 0.25))
    image, mask = run("SplitImageWithAlpha", joined)
    assert torch.equal(image, IMAGE) and torch.allclose(mask, torch.full_like(mask, 0.25))


@pytest.mark.parametrize("mode", ["normal", "multiply", "screen", "overlay", "soft_light", "difference"])
def test_blending_nothing_leaves_the_first_image(mode: str) -> None:
    assert torch.allclose(run("ImageBlend", IMAGE, torch.rand(2, 3, 3, 3), 0.0, mode), IMAGE)
    assert run("ImageBlend", IMAGE, IMAGE, 1.0, mode).shape == IMAGE.shape


def test_filters_leave_a_flat_image_flat() -> None:
    flat = torch.full((1, 9, 9, 3), 0.4)
    assert torch.allclose(run("ImageBlur", flat, 2, 1.0), flat, atol=1e-6)
    assert torch.allclose(run("ImageSharpen", flat, 2, 1.0, 1.0), flat, atol=1e-5)
    with pytest.raises(NodeInputError, match="radius of 9"):
        run("ImageBlur", flat, 9, 1.0)


def test_latent_sums() -> None:
    x = LATENT["samples"]
    assert torch.equal(run("LatentAdd", LATENT, LATENT)["samples"], x + x)
    assert run("LatentSubtract", LATENT, LATENT)["samples"].abs().max() == 0
    assert torch.equal(run("LatentMultiply", LATENT, -2.0)["samples"], x * -2)
    assert torch.allclose(run("LatentInterpolate", LATENT, LATENT, 0.3)["samples"], x, atol=1e-5)
    assert torch.allclose(run("LatentBlend", LATENT, LATENT, 0.3)["samples"], x, atol=1e-6)


def test_latents_over_latents() -> None:
    under, above = {"samples": torch.zeros(1, 4, 16, 16)}, {"samples": torch.ones(1, 4, 8, 8)}
    plain = run("LatentComposite", under, above, 32, 0, 0)["samples"]
    assert plain[0, 0, 0].tolist() == [0] * 4 + [1] * 8 + [0] * 4 and under["samples"].sum() == 0
    soft = run("LatentComposite", under, above, 32, 0, 16)["samples"]
    assert soft[0, 0, 0].tolist() == [0] * 4 + [0.5] + [1] * 6 + [0.5] + [0] * 4
    half = torch.full((1, 64, 64), 0.5)
    masked = run("LatentCompositeMasked", under, above, 96, 96, False, half)["samples"]
    assert masked.sum() == 0.5 * 4 * 4 * 4


def test_latent_sizes() -> None:
    assert run("EmptyLatentImage", 64, 128, 2)["samples"].shape == (2, 4, 16, 8)
    assert run("LatentUpscale", LATENT, "bislerp", 0, 256, "disabled")["samples"].shape[2:] == (32, 48)
    assert run("LatentUpscaleBy", LATENT, "bicubic", 1.5)["samples"].shape[2:] == (24, 36)
    assert run("LatentCrop", LATENT, 64, 64, 9999, 0)["samples"].shape[2:] == (8, 8)


def test_a_noise_mask_keeps_the_latent() -> None:
    masked = run("SetLatentNoiseMask", LATENT, torch.ones(8, 8))
    assert masked["noise_mask"].shape == (1, 1, 8, 8) and masked["samples"] is LATENT["samples"]


@pytest.mark.parametrize(
    ("index", "length", "found"), [(-1, 2, [3]), (-9, 2, [0, 1]), (9, 1, [3]), (1, 2, [1, 2])]
)
def test_places_in_a_batch(index: int, length: int, found: list[int]) -> None:
    images = run("ImageFromBatch", torch.arange(4.0).view(4, 1, 1, 1), index, length)
    latent = run("LatentFromBatch", {"samples": torch.arange(4.0).view(4, 1, 1, 1)}, index, length)
    assert images.flatten().tolist() == latent["samples"].flatten().tolist() == latent["batch_index"] == found


def test_sides_of_a_multiple() -> None:
    image = run("ImageScaleToTotalPixels", torch.rand(1, 100, 150, 3), "area", 0.01, 8)
    assert tuple(image.shape) == (1, 80, 128, 3)
