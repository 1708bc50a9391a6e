"""The drawing, the checker and the training loop of the tiny model: all but the model itself."""

from pathlib import Path

import numpy as np
import pytest
import torch
from noderack_tiny.autoencoder import as_signal, as_tensor, encode_all, fold, new_autoencoder
from noderack_tiny.draw import (
    BASE_SHAPES,
    CONCEPT,
    SHAPES,
    TRIGGER,
    caption,
    draw,
    draw_anything,
    random_scene,
)
from noderack_tiny.fit import Recipe, fit
from noderack_tiny.look import look
from torch import nn


@pytest.mark.parametrize("shape", SHAPES)
def test_the_checker_names_what_was_drawn(shape: str) -> None:
    rng = np.random.default_rng(7)
    for scene in (random_scene(rng, (shape,)) for _ in range(40)):
        seen = look(draw(scene))
        assert (seen.shape, seen.colour, seen.ground) == (scene.shape, scene.colour, scene.ground)
        assert scene.size in (None, seen.size)


def test_the_checker_sees_no_figure_on_a_plain_ground() -> None:
    plain = np.full((64, 64, 3), (30, 70, 220), np.uint8)
    assert look(plain).shape is None
    assert look(plain).ground == "blue"


def test_a_seed_decides_picture_and_caption() -> None:
    first, second = (np.random.default_rng(3) for _ in range(2))
    for _ in range(20):
        one, other = random_scene(first), random_scene(second)
        assert one == other
        assert caption(one, first) == caption(other, second)
        assert (draw_anything(first) == draw_anything(second)).all()


def test_the_base_is_never_shown_the_concept() -> None:
    rng = np.random.default_rng(0)
    captions = {caption(random_scene(rng), rng) for _ in range(500)}
    assert CONCEPT not in BASE_SHAPES
    assert not [words for words in captions if CONCEPT in words or TRIGGER in words]


def test_folding_changes_latents_but_no_picture() -> None:
    torch.manual_seed(0)
    vae, rng = new_autoencoder(0), np.random.default_rng(0)
    pictures = as_tensor([draw(random_scene(rng)) for _ in range(12)])
    with torch.no_grad():
        before = vae(as_signal(pictures))
        fold(vae, pictures)
        assert torch.allclose(vae(as_signal(pictures)), before, atol=1e-3)
    spread = torch.cov(encode_all(vae, pictures).transpose(0, 1).flatten(1))
    assert torch.allclose(spread, torch.eye(4), atol=1e-2)


def test_a_training_cut_off_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    def train(keep: Path, stop: int | None = None) -> torch.Tensor:
        torch.manual_seed(0)
        line = nn.Linear(3, 1)

        def loss_at(step: int) -> torch.Tensor:
            if step == stop:
                raise KeyboardInterrupt
            x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
            return (line(x) - x.sum(1, keepdim=True)).square().mean()

        fit(line, loss_at, Recipe(steps=700, rate=1e-2), keep)
        return line.weight.detach()

    whole = train(tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut.pt", stop=650)
    assert torch.equal(train(tmp_path / "cut.pt"), whole)
