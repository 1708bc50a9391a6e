"""Guidance: each way of combining predictions, by its formula, and what it costs in network calls."""

import pytest
import torch
from noderack_diffusion.concat import NOTHING, beside
from noderack_diffusion.guide import Guide, prepare
from noderack_diffusion.guiders import Cfg, DualCfg, Hooks, PerpNeg, rescaled
from noderack_diffusion.sigma import standard
from noderack_diffusion.spec import SD
from torch import Tensor


class Echo:
    """A model that answers with its context's first number."""

    param = standard()

    def __init__(self) -> None:
        self.calls: list[int] = []

    def predict(self, x: Tensor, sigma: Tensor, context: Tensor) -> Tensor:
        self.calls.append(x.shape[0])
        return torch.ones_like(x) * context[:, :1, :1, None]

    def extras(self, entry: dict, latent: Tensor, *, positive: bool, mask: object = None) -> dict:
        return {}


X = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(1))


def sides(model: Echo, *values: float) -> tuple:
    return prepare(model, [[[torch.full((1, 1, 1), v), {}]] for v in values], X)


def test_cfg_asks_for_both_at_once_and_for_one_at_scale_1() -> None:
    model = Echo()
    yes, no = sides(model, 3.0, 1.0)
    assert Cfg(Guide(model), yes, no, 5.0)(X, 2.0).unique().tolist() == [11.0]
    assert Cfg(Guide(model), yes, no, 1.0)(X, 2.0).unique().tolist() == [3.0]
    hooks = Hooks(after=(lambda clean, x, sigma: clean * 2,), always_both=True)
    assert Cfg(Guide(model), yes, no, 1.0, hooks)(X, 2.0).unique().tolist() == [6.0]
    assert model.calls == [2, 1, 2]


@pytest.mark.parametrize(
    ("nested", "want"), [(False, 1 + 2 * (3 - 1) + 4 * (7 - 3)), (True, 1 + 2 * (19 - 1))]
)
def test_dual(nested: bool, want: float) -> None:
    model = Echo()
    yes, middle, no = sides(model, 7.0, 3.0, 1.0)
    got = DualCfg(Guide(model), yes, middle, no, 4.0, 2.0, nested)(X, 2.0)
    assert got.unique().tolist() == [want] and model.calls == [3]


def test_perp_neg_ignores_what_points_along_the_positive() -> None:
    model = Echo()
    yes, no, empty = sides(model, 7.0, 3.0, 1.0)
    assert PerpNeg(Guide(model), yes, no, empty, 4.0)(X, 2.0).unique().tolist() == [25.0]


def test_rescaled_keeps_the_spread() -> None:
    torch.manual_seed(0)
    yes, no = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    x, sigma = torch.randn(2, 4, 8, 8), 2.0
    assert torch.allclose(rescaled(0.0)(yes, no, 7.0, x, sigma), no + 7 * (yes - no), atol=1e-4)
    unit = (sigma**2 + 1) ** 0.5 / sigma
    full = (x / 5 - rescaled(1.0)(yes, no, 7.0, x, sigma)) * unit
    want = (x / 5 - yes) * unit
    assert torch.allclose(full.std(dim=(1, 2, 3)), want.std(dim=(1, 2, 3)), rtol=1e-4)


def test_inpainting_models_see_the_mask_and_the_picture() -> None:
    latent, mask = torch.randn(2, 4, 8, 8), torch.zeros(1, 1, 64, 64)
    mask[..., 32:] = 1.0
    given = beside(5, {"concat_latent_image": latent[:1], "concat_mask": mask}, latent, None, SD)
    assert given.shape == (2, 5, 8, 8)
    assert given[:, 0].unique().tolist() == [0.0, 1.0] and given[1, 1:].equal(latent[0] * 0.18215)
    from_run = beside(5, {}, latent, mask, SD)
    assert from_run[:, 1:].equal(latent * 0.18215)
    nothing = beside(5, {}, latent, None, SD)
    assert nothing[0, :, 0, 0].tolist() == pytest.approx([1.0, *NOTHING])
    assert beside(0, {}, latent, mask, SD) is None
    other = beside(4, {"concat_latent_image": torch.randn(1, 4, 10, 12)}, latent, None, SD)
    assert other.shape == latent.shape


def test_a_default_fills_what_the_others_leave() -> None:
    model, mask = Echo(), torch.zeros(1, 4, 4)
    mask[:, :2] = 0.25
    ask = {"start_percent": 0.5}  # not yet at this sigma
    rows = [
        [torch.full((1, 1, 1), 8.0), {"mask": mask}],
        [torch.full((1, 1, 1), 5.0), {"default": True}],
        [torch.full((1, 1, 1), 9.0), ask],
    ]
    got = Guide(model).predict(prepare(model, [rows], X), X, 10.0)[0]
    assert got[:, :, :2].unique().tolist() == [0.25 * 8 + 0.75 * 5]
    assert got[:, :, 2:].unique().tolist() == [5.0]
    full = [rows[1], [torch.full((1, 1, 1), 2.0), {}]]
    assert Guide(model).predict(prepare(model, [full], X), X, 10.0)[0].unique().tolist() == [2.0]


def test_a_control_for_all_is_handed_to_the_other_side() -> None:
    one = torch.zeros(1, 1, 1)
    told = {"control": "a", "control_apply_to_uncond": True}
    bare, area = [one, {}], [one, {"area": (2, 2, 0, 0)}]
    _, no = prepare(Echo(), [[[one, told]], [bare, bare, area]], X)
    assert [c.control for c in no[:3]] == ["a", None, None]
    _, no = prepare(Echo(), [[[one, told]], [[one, {"control": "own"}], bare]], X)
    assert [c.control for c in no] == ["own", None]
    _, no = prepare(Echo(), [[[one, {"control": "a"}]], [bare]], X)
    assert no[0].control is None
