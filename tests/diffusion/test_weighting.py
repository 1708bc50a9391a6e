"""What weights in a prompt do, way by way, against the formulas; hidden words against transformers' mask."""

import math
from typing import Any

import pytest
import torch
import transformers
from noderack_diffusion.clip import ClipConfig, ClipText
from noderack_diffusion.errors import UnknownNameError
from noderack_diffusion.prompt import Token, tokenize
from noderack_diffusion.spec import TowerRecipe
from noderack_diffusion.textenc import Clip, Tower, empty
from noderack_diffusion.tokens import END, clip_tokenizer
from noderack_diffusion.weighting import EVENING, WAYS, weights_of
from noderack_diffusion.weights import Live
from torch import Tensor

CONFIG = ClipConfig(width=32, layers=2, heads=2, inner=48, positions=77)


class Piece:
    """A weight that is at hand."""

    def __init__(self, value: Tensor) -> None:
        self.value = value

    def dims(self) -> tuple[int, ...]:
        return tuple(self.value.shape)

    def read(self) -> Tensor:
        return self.value


def clip_of(config: ClipConfig) -> Clip:
    torch.manual_seed(1)
    pieces: Any = {name: Piece(torch.randn(p.shape) * 0.3) for name, p in ClipText(config).named_parameters()}
    live = Live(lambda: ClipText(config), pieces, key="weighting")
    recipe = TowerRecipe("l", (), layer=-1, final_norm=True, pad=END)
    return Clip((Tower(recipe, live, config.width, config.positions),))


@pytest.fixture(scope="module")
def clip() -> Clip:
    return clip_of(CONFIG)


def chunks(text: str) -> list[list[Token]]:
    return tokenize(text, clip_tokenizer())


def run(clip: Clip, rows: Any, hidden: Tensor | None = None) -> Tensor:
    out = clip._run(clip.towers[0], rows, hidden)
    return out.hidden.detach()


def states(clip: Clip, way: str, text: str) -> Tensor:
    return clip.with_weighting(way).encode(text)[0]


def hide(text: str, weight: float) -> Tensor:
    return weights_of(chunks(text)) == weight


@pytest.mark.parametrize("way", WAYS)
def test_a_prompt_without_weights_is_the_same_in_all_ways(way: str, clip: Clip) -> None:
    text = "a cat " * 40
    plain, pooled = clip.encode(text)
    said, same = clip.with_weighting(way).encode(text)
    assert torch.equal(said, plain) and pooled is not None and same is not None and torch.equal(same, pooled)


@pytest.mark.parametrize("way", WAYS)
def test_weights_change_words_and_leave_the_pooled_vector(way: str, clip: Clip) -> None:
    text = "a (red:0.5) cat and " + "a dog " * 40
    said, pooled = clip.with_weighting(way).encode(text)
    plain, same = clip.encode("a red cat and " + "a dog " * 40)
    assert said.shape == plain.shape == (1, 154, 32) and not torch.allclose(said, plain, atol=1e-4)
    assert pooled is not None and same is not None and torch.allclose(pooled, same, atol=1e-6)


def test_words_move_away_from_the_prompt_without_them(clip: Clip) -> None:
    text = "a (red car:1.5) and a (dog:0.6)"
    rows, weights = chunks(text), weights_of(chunks(text))
    plain = run(clip, rows)
    wanted = 0.6 * plain + 0.4 * run(clip, rows, hide(text, 0.6))
    for place in (weights[0] == 1.5).nonzero().flatten().tolist():
        hidden = torch.zeros_like(weights, dtype=torch.bool)
        hidden[0, place] = True
        wanted[0, place] += 0.5 * (plain - run(clip, rows, hidden))[0, place]
    assert torch.allclose(states(clip, "comfy++", text), wanted.reshape(1, -1, 32), atol=1e-5)


def test_a1111_scales_states_and_keeps_each_chunks_mean(clip: Clip) -> None:
    text = "a (red:1.4) cat"
    plain, weights = run(clip, chunks(text)), weights_of(chunks(text))
    moved = plain * weights[..., None]
    wanted = moved * plain.mean() / moved.mean()
    said = states(clip, "A1111", text)
    assert torch.allclose(said, wanted, atol=1e-5)
    assert math.isclose(float(said.mean()), float(plain.mean()), abs_tol=1e-6)


@pytest.mark.parametrize("weight", [0.25, 0.5, 0.9])
def test_compel_mixes_with_the_prompt_that_hides_the_word(weight: float, clip: Clip) -> None:
    text = f"a (red:{weight}) cat"
    whole, without = run(clip, chunks(text)), run(clip, chunks(text), hide(text, weight))
    parts = math.tan((1 - weight) * math.pi / 2)
    assert torch.allclose(states(clip, "compel", text), (whole + parts * without) / (1 + parts), atol=1e-5)
    up = "a (red:1.3) cat"
    assert torch.allclose(states(clip, "compel", up), states(clip, "comfy", up), atol=1e-5)


def test_down_weight_shows_a_word_in_its_share_of_a_mixture(clip: Clip) -> None:
    text = "a (red:0.7) cat"
    whole, without = run(clip, chunks(text)), run(clip, chunks(text), hide(text, 0.7))
    assert torch.allclose(states(clip, "down_weight", text), 0.7 * whole + 0.3 * without, atol=1e-5)
    assert torch.allclose(
        states(clip, "down_weight", "(a:1.5) (red:1.5) (cat:0.75)"),
        states(clip, "down_weight", "a red (cat:0.5)"),
        atol=1e-5,
    )
    everything = states(clip, "down_weight", "(a:1.5) (red:1.5) (cat:1.5)")
    assert torch.allclose(everything, states(clip, "comfy", "a red cat"), atol=1e-5)


def test_hidden_words_are_hidden_as_transformers_hides_them(clip: Clip) -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    config = transformers.CLIPTextConfig(**sizes, max_position_embeddings=77, hidden_act="quick_gelu")
    theirs = transformers.CLIPTextModel(config).eval()
    state = {k.removeprefix("text_model."): v for k, v in clip.network(clip.towers[0]).state_dict().items()}
    own = theirs.text_model if hasattr(theirs, "text_model") else theirs
    own.load_state_dict(state, strict=False)
    text = "a (red:0.5) cat"
    rows, hidden = chunks(text), hide(text, 0.5)
    ids = torch.tensor([[int(t.value) for t in row] for row in rows])
    with torch.no_grad():
        wanted = theirs(ids, attention_mask=(~hidden).long()).last_hidden_state
    assert hidden.sum() == 1
    assert torch.allclose(run(clip, rows, hidden)[~hidden], wanted[~hidden], atol=2e-5)


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ("none", [1.0, 1.5, 1.5, 1.5, 1.0]),
        ("mean", [0.7, 1.2, 1.2, 1.2, 0.7]),
        ("length", [1.0, 1.2887, 1.2887, 1.2887, 1.0]),
        ("length+mean", [0.8268, 1.1155, 1.1155, 1.1155, 0.8268]),
    ],
)
def test_long_words_and_many_weights(how: str, wanted: list[float]) -> None:
    rows = chunks("a (zbrqx:1.5) cat")
    assert sum(1 for t in rows[0] if t.weight == 1.5) == 3, "one word of three tokens"
    got = [token.weight for token in EVENING[how](rows)[0] if token.group]
    assert got == pytest.approx(wanted, abs=1e-3)


def test_vectors_of_an_embedding_count_as_one_word() -> None:
    rows = tokenize("(embedding:x:2)", clip_tokenizer(), lambda name: torch.zeros(4, 8))
    assert [t.weight for t in EVENING["length"](rows)[0] if t.group] == [1.5] * 4


def test_an_unknown_way_is_refused_by_name(clip: Clip) -> None:
    with pytest.raises(UnknownNameError, match="down_weight"):
        clip.with_weighting("down-weight")


def test_a_long_tower_reads_long_chunks() -> None:
    clip = clip_of(ClipConfig(width=32, layers=1, heads=2, inner=48, positions=248))
    said, _ = clip.encode("a cat " * 100)
    assert said.shape == (1, 248, 32) and clip.encode("a cat " * 130)[0].shape == (1, 496, 32)
    assert len(empty(END, 248)) == 248
