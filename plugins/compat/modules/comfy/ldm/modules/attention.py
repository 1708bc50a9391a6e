"""`comfy.ldm.modules.attention`: attention as packs call it, and the layers that do it."""

from __future__ import annotations

from typing import Any

from noderack_compat.missing import gap
from noderack_diffusion.unet import CrossAttention, FeedForward, SpatialTransformer
from noderack_diffusion.unet import TransformerBlock as BasicTransformerBlock
from torch import Tensor
from torch.nn import functional as F

from comfy.ldm.util import default, exists

__getattr__ = gap(__name__)
__all__ = [
    "BasicTransformerBlock",
    "CrossAttention",
    "FeedForward",
    "SpatialTransformer",
    "default",
    "exists",
]


def optimized_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    heads: int,
    mask: Tensor | None = None,
    attn_precision: Any = None,
    skip_reshape: bool = False,
    skip_output_reshape: bool = False,
    **_: Any,
) -> Tensor:
    """Attention. q, k, v are `[B, N, heads * D]`, or `[B, heads, N, D]` with `skip_reshape`."""
    if not skip_reshape:
        q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    if mask is not None and mask.ndim < 4:
        mask = mask[None, None] if mask.ndim == 2 else mask[:, None]
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return out if skip_output_reshape else out.transpose(1, 2).flatten(2)


attention_basic = attention_pytorch = attention_split = attention_sub_quad = optimized_attention
optimized_attention_masked = optimized_attention


def optimized_attention_for_device(device: Any, mask: bool = False, small_input: bool = False) -> Any:
    return optimized_attention


def wrap_attn(func: Any) -> Any:
    """An attention function that the options of a pass may replace."""

    def attend(*args: Any, **kwargs: Any) -> Any:
        override = (kwargs.get("transformer_options") or {}).get("optimized_attention_override")
        return func(*args, **kwargs) if override is None else override(func, *args, **kwargs)

    return attend


# By name, for packs that offer a choice of them; packs add their own.
REGISTERED_ATTENTION_FUNCTIONS: dict[str, Any] = {
    "pytorch": attention_pytorch,
    "basic": attention_basic,
    "split": attention_split,
    "sub_quad": attention_sub_quad,
}


def register_attention_function(name: str, func: Any) -> None:
    """Adds an attention function; a name that is taken stays as it is."""
    REGISTERED_ATTENTION_FUNCTIONS.setdefault(name, func)


def get_attention_function(name: str, default: Any = ...) -> Any:
    """The function of that name ("optimized" is the one in use); raises KeyError without a default."""
    if name == "optimized":
        return optimized_attention
    if name not in REGISTERED_ATTENTION_FUNCTIONS and default is ...:
        raise KeyError(f"no attention function is called {name}")
    return REGISTERED_ATTENTION_FUNCTIONS.get(name, default)
