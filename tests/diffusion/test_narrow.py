"""Weights in eight bits: how near they are, and that rounding by chance keeps means."""

from pathlib import Path

import pytest
import torch
from noderack_diffusion.checkpoint import VARIABLE, load_checkpoint, load_model
from noderack_diffusion.errors import UnknownNameError
from noderack_diffusion.narrow import FORMATS, Scaled, narrowed, parameter_of, widened

TINY = Path(__file__).parents[2] / "plugins" / "tiny" / "models" / "noderack-shapes.safetensors"
FLOATS = (torch.float8_e4m3fn, torch.float8_e5m2)


def finite(form: torch.dtype) -> torch.Tensor:
    """Every number that the format has, in order."""
    every = torch.arange(256, dtype=torch.uint8).view(form).float()
    return every[every.isfinite()].unique()


@pytest.mark.parametrize("shape", [(7, 12), (5, 3, 3, 3), (4, 1)])
@pytest.mark.parametrize("chance", [None, "blocks.0.weight"])
def test_whole_numbers_with_a_scale_for_each_row(shape: tuple[int, ...], chance: str | None) -> None:
    torch.manual_seed(0)
    weight = torch.randn(shape) * torch.logspace(-4, 4, shape[0]).view(-1, *[1] * (len(shape) - 1))
    weight[1] = 0.0
    kept = narrowed(weight, torch.int8, chance)
    assert isinstance(kept, Scaled) and kept.dtype == torch.int8 and parameter_of(kept) is kept
    step = weight.abs().flatten(1).amax(1).view(kept.scale.shape) / 127
    off = (widened(kept, torch.float32) - weight).abs()
    assert (off <= step * (0.5001 if chance is None else 1.0001)).all()
    assert widened(kept, torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize("form", FLOATS)
def test_a_number_that_the_format_has_stays(form: torch.dtype) -> None:
    every = finite(form)
    assert narrowed(every, form, "any").float().equal(every)
    assert narrowed(torch.tensor([1e6, -1e6]), form, "any").float().abs().eq(every.max()).all()


@pytest.mark.parametrize("form", FLOATS)
def test_others_become_one_of_their_two_neighbours(form: torch.dtype) -> None:
    every = finite(form)
    value = torch.cat([torch.randn(4000) * scale for scale in (1e-3, 0.1, 10.0)]).clamp(every[0], every[-1])
    above = every[torch.searchsorted(every, value).clamp(max=len(every) - 1)]
    below = every[(torch.searchsorted(every, value, right=True) - 1).clamp(min=0)]
    found = narrowed(value, form, "any").float()
    assert ((found == above) | (found == below)).all()


@pytest.mark.parametrize("form", FORMATS.values())
def test_the_mean_stays_and_the_name_decides(form: torch.dtype) -> None:
    weight = torch.full((1, 20000), 0.3)
    weight[0, 0] = 1.0
    found = narrowed(weight, form, "a.weight")
    assert abs(float(widened(found, torch.float32)[0, 1:].mean()) - 0.3) < 1e-3
    assert torch.equal(found, narrowed(weight, form, "a.weight"))
    assert not torch.equal(found, narrowed(weight, form, "b.weight"))


def test_the_environment_says_how_denoising_models_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "int8")
    found = load_checkpoint(TINY)
    assert found.model.live.stored == torch.int8 and found.clip is not None and found.vae is not None
    assert found.vae.live.stored is found.clip.towers[0].live.stored is None
    assert load_model(TINY, stored="e5m2").live.stored == torch.float8_e5m2
    monkeypatch.setenv(VARIABLE, "int4")
    with pytest.raises(UnknownNameError, match=r"int4.*default, e4m3fn, e5m2, int8"):
        load_model(TINY)
