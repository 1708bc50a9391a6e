"""Merging, extracting and saving: each is what its words say, to the bit where nothing is computed."""

from pathlib import Path

import pytest
import torch
from noderack_diffusion.checkpoint import load_model
from noderack_diffusion.errors import MismatchError
from noderack_diffusion.lora import load_lora, patches_for
from noderack_diffusion.merging import add, blend, block_ratio
from noderack_diffusion.model import Model
from noderack_diffusion.saving import extract_lora, save_checkpoint
from noderack_diffusion.unet import Level, UNet, UNetConfig
from safetensors.torch import save_file

CONFIG = UNetConfig(width=32, levels=(Level(1, (1,), (1, 1)), Level(2, (0,), (0, 0))), context=16)


def model(folder: Path, seed: int, config: UNetConfig = CONFIG) -> Model:
    torch.manual_seed(seed)
    path = folder / f"{seed}.safetensors"
    save_file({f"model.diffusion_model.{k}": v for k, v in UNet(config).state_dict().items()}, path)
    return load_model(path, device="cpu")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Model]:
    folder = tmp_path_factory.mktemp("merge")
    return model(folder, 1), model(folder, 2)


def weights(m: Model) -> dict:
    return {k: v.clone() for k, v in m.network().state_dict().items()}


def test_blend_and_add(two: tuple[Model, Model]) -> None:
    one, other = two
    a, b = weights(one), weights(other)
    half = weights(blend(one, other, lambda name: 0.5))
    summed = weights(add(one, other, -0.25))
    parts = weights(blend(one, other, block_ratio(1.0, 0.0, 0.5)))
    for k in a:
        assert torch.allclose(half[k], (a[k] + b[k]) / 2, atol=1e-6)
        assert torch.allclose(summed[k], a[k] - b[k] / 4, atol=1e-6)
        if k.startswith("input_blocks."):
            assert parts[k].equal(a[k])
        if k.startswith("middle_block."):
            assert torch.allclose(parts[k], b[k], atol=1e-6)
    assert all(v.equal(a[k]) for k, v in weights(one).items())


def test_models_of_different_shape_are_refused(two: tuple[Model, Model], tmp_path: Path) -> None:
    wide = UNetConfig(width=64, levels=CONFIG.levels, context=16)
    with pytest.raises(MismatchError, match="different shape"):
        blend(two[0], model(tmp_path, 3, wide), lambda name: 0.5)


def test_a_lora_extracted_at_full_rank_is_the_difference(two: tuple[Model, Model], tmp_path: Path) -> None:
    one, other = two
    save_file(extract_lora(one, other, 512), tmp_path / "diff.safetensors")
    patches, report = patches_for(load_lora(tmp_path / "diff.safetensors"), one, 1.0)
    assert not report.unmatched and not report.mismatched
    a, b = weights(one.with_patches(patches)), weights(other)
    assert all(torch.allclose(a[k], b[k], atol=1e-5) for k in patches.parameters())


def test_saved_and_loaded_again_is_the_same(two: tuple[Model, Model], tmp_path: Path) -> None:
    merged = blend(*two, lambda name: 0.5)
    save_checkpoint(tmp_path / "m.safetensors", merged, dtype=torch.float32)
    again = load_model(tmp_path / "m.safetensors", device="cpu")
    want = weights(merged)
    assert all(v.equal(want[k]) for k, v in weights(again).items())
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]
