"""FreeU: neutral values change nothing, and its two parts do what they say."""

import pytest
import torch
from noderack_diffusion.freeu import freeu


@pytest.mark.parametrize("second", [True, False])
def test_neutral_changes_nothing(second: bool) -> None:
    h, skip = torch.randn(2, 8, 6, 4), torch.randn(2, 5, 6, 4)
    hook = freeu(2, (1.0, 1.0), (1.0, 1.0), second=second)
    got_h, got_skip = hook(h, skip)
    assert torch.allclose(got_h, h) and torch.allclose(got_skip, skip, atol=1e-5)


def test_strengthens_half_and_damps_the_mean() -> None:
    h, skip = torch.rand(1, 8, 8, 8), torch.ones(1, 5, 8, 8)
    got_h, got_skip = freeu(2, (1.5, 1.0), (0.2, 1.0), second=False)(h, skip)
    assert torch.allclose(got_h[:, :4], h[:, :4] * 1.5) and got_h[:, 4:].equal(h[:, 4:])
    assert torch.allclose(got_skip, skip * 0.2, atol=1e-6)
    narrow = torch.rand(1, 3, 8, 8)
    assert freeu(2, (1.5, 1.0), (0.2, 1.0))(narrow, skip)[0] is narrow
