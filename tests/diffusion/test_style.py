"""The style adapter: the words it makes, by the same transformer written out; other files refused."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from noderack_diffusion.errors import UnknownModelError
from noderack_diffusion.style import load_style
from noderack_nodes import NODE_CLASS_MAPPINGS
from noderack_nodes.errors import NodeInputError
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

WIDTH, CONTEXT, WORDS, HEADS = 32, 24, 5, 4


def weights() -> dict[str, Tensor]:
    """Three blocks, as files of T2I's authors have them."""
    sizes = {
        "attn.in_proj_weight": (3 * WIDTH, WIDTH),
        "attn.in_proj_bias": (3 * WIDTH,),
        "attn.out_proj.weight": (WIDTH, WIDTH),
        "attn.out_proj.bias": (WIDTH,),
        "mlp.c_fc.weight": (4 * WIDTH, WIDTH),
        "mlp.c_fc.bias": (4 * WIDTH,),
        "mlp.c_proj.weight": (WIDTH, 4 * WIDTH),
        "mlp.c_proj.bias": (WIDTH,),
        **{f"ln_{n}.{leaf}": (WIDTH,) for n in (1, 2) for leaf in ("weight", "bias")},
    }
    chance = torch.Generator().manual_seed(1)
    named: dict[str, tuple[int, ...]] = {
        f"transformer_layes.{i}.{name}": size for i in range(3) for name, size in sizes.items()
    }
    named |= {f"ln_{end}.{leaf}": (WIDTH,) for end in ("pre", "post") for leaf in ("weight", "bias")}
    named |= {"style_embedding": (1, WORDS, WIDTH), "proj": (WIDTH, CONTEXT)}
    return {name: torch.randn(size, generator=chance) * 0.2 for name, size in named.items()}


def by_hand(w: dict[str, Tensor], seen: Tensor) -> Tensor:
    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (WIDTH,), w[f"{name}.weight"], w[f"{name}.bias"])

    x = norm(torch.cat([seen, w["style_embedding"].repeat(len(seen), 1, 1)], 1), "ln_pre")
    for i in range(3):
        at = f"transformer_layes.{i}"
        qkv = F.linear(norm(x, f"{at}.ln_1"), w[f"{at}.attn.in_proj_weight"], w[f"{at}.attn.in_proj_bias"])
        q, k, v = (t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in qkv.chunk(3, -1))  # type: ignore[no-untyped-call]
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + F.linear(mixed, w[f"{at}.attn.out_proj.weight"], w[f"{at}.attn.out_proj.bias"])
        wide = F.linear(norm(x, f"{at}.ln_2"), w[f"{at}.mlp.c_fc.weight"], w[f"{at}.mlp.c_fc.bias"])
        bent = wide * torch.sigmoid(1.702 * wide)
        x = x + F.linear(bent, w[f"{at}.mlp.c_proj.weight"], w[f"{at}.mlp.c_proj.bias"])
    return norm(x[:, -WORDS:], "ln_post") @ w["proj"]


def test_a_file_in_half_precision_is_computed_with_in_full(tmp_path: Path) -> None:
    halves = {name: value.half() for name, value in weights().items()}
    save_file(halves, tmp_path / "half.safetensors", {"noderack.config": '{"style": {"heads": 4}}'})
    seen = SimpleNamespace(last_hidden_state=torch.randn(1, 7, WIDTH))
    words = load_style(tmp_path / "half.safetensors", device="cpu", dtype=torch.float32).get_cond(seen)
    wanted = by_hand({name: value.float() for name, value in halves.items()}, seen.last_hidden_state)
    assert torch.allclose(words, wanted, atol=1e-5)


def test_the_words_of_a_picture(tmp_path: Path) -> None:
    save_file(weights(), tmp_path / "style.safetensors", {"noderack.config": '{"style": {"heads": 4}}'})
    style = load_style(tmp_path / "style.safetensors", device="cpu", dtype=torch.float32)
    seen = SimpleNamespace(last_hidden_state=torch.randn(1, 7, WIDTH))
    words = style.get_cond(seen)
    assert torch.allclose(words, by_hand(weights(), seen.last_hidden_state), atol=1e-5)
    node = NODE_CLASS_MAPPINGS["StyleModelApply"]()
    text = torch.randn(1, 3, CONTEXT)
    ((longer, options),) = node.apply_stylemodel([[text, {"a": 1}]], style, seen, 0.5, "multiply")[0]  # type: ignore[attr-defined]
    assert options == {"a": 1} and longer.shape == (1, 3 + WORDS, CONTEXT)
    assert longer[:, :3].equal(text) and torch.allclose(longer[:, 3:], words * 0.5)
    with pytest.raises(NodeInputError, match="choose strength_type multiply"):
        node.apply_stylemodel([], style, seen, 0.5, "attn_bias")  # type: ignore[attr-defined]


def test_another_file_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(UnknownModelError, match="is no style model known here"):
        load_style(tmp_path / "a.safetensors")
