"""MODEL in, MODEL out: what the network attends to, in how many pieces, and how large it draws."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from noderack_nodes.guidance import ModelChange
from noderack_nodes.sockets import (
    CLIP,
    CONDITIONING,
    MODEL,
    Conditioning,
    Inputs,
    Mappings,
    Node,
    combo,
    flag,
    integer,
    number,
)

if TYPE_CHECKING:
    import torch

    from noderack_nodes.sockets import Tensor

_METHODS = ("bicubic", "nearest-exact", "bilinear", "area", "bislerp")
_FACTOR = number(1.0, 0.0, 10.0)
_ATTENTION = {"q": _FACTOR, "k": _FACTOR, "v": _FACTOR, "out": _FACTOR}
_MIDDLE = ("middle", 0)


class SelfAttentionGuidance(ModelChange):
    """Guides away from what the model sees where its own attention blurs (Hong et al., 2023)."""

    EXPERIMENTAL = True
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": MODEL,
            "scale": number(0.5, -2.0, 5.0),
            "blur_sigma": number(2.0, 0.0, 10.0, 0.1),
        }
    }
    CATEGORY = "_for_testing"

    def patch(self, model: Any, scale: float, blur_sigma: float) -> tuple[Any]:
        """One more evaluation a step, without the prompt; latents of four cells or less stay as they are."""
        from noderack_diffusion.ops import attention
        from noderack_diffusion.patching.conds import calc_cond_batch
        from noderack_diffusion.sag import degraded, scores

        seen: list[Tensor] = []

        def recorded(q: Tensor, k: Tensor, v: Tensor, told: dict[str, Any], **_: Any) -> Tensor:
            sides = told["cond_or_uncond"]
            if 1 in sides:
                rows, at = len(q) // len(sides), sides.index(1)
                part = slice(rows * at, rows * (at + 1))
                seen[:] = [scores(q[part], k[part], told["n_heads"])]
            return attention(q, k, v, told["n_heads"])

        def corrected(told: dict[str, Any]) -> Tensor:
            clean: Tensor = told["denoised"]
            plain, x = told["uncond_denoised"], told["input"]
            if min(clean.shape[2:]) <= 4 or not seen:
                return clean
            worse = degraded(plain, seen[0].to(plain), blur_sigma)
            noisy = worse + x - plain
            (answer,) = calc_cond_batch(
                told["model"], [told["uncond"]], noisy, told["sigma"], told["model_options"]
            )
            return clean + (worse - answer) * scale

        changed = model.clone()
        changed.set_model_sampler_post_cfg_function(corrected, disable_cfg1_optimization=True)
        changed.set_model_attn1_replace(recorded, *_MIDDLE, 0)
        return (changed,)


class PerpNeg(ModelChange):
    """Guides away only from what the negative does not share with the positive."""

    DEPRECATED = True
    EXPERIMENTAL = True
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": MODEL,
            "empty_conditioning": CONDITIONING,
            "neg_scale": number(1.0, 0.0, 100.0),
        }
    }
    CATEGORY = "_for_testing"

    def patch(self, model: Any, empty_conditioning: Conditioning, neg_scale: float) -> tuple[Any]:
        """`empty_conditioning` is the empty prompt; one more evaluation a step."""
        from noderack_diffusion.guide import prepare
        from noderack_diffusion.guiders import without_parallel
        from noderack_diffusion.patching.conds import calc_cond_batch, dict_of

        def formula(told: dict[str, Any]) -> Tensor:
            x: Tensor = told["input"]
            yes, no = told["cond_denoised"], told["uncond_denoised"]
            _, ready = prepare(told["model"].handle, [[], empty_conditioning], x)
            empty = [dict_of(one) for one in ready]
            (nothing,) = calc_cond_batch(told["model"], [empty], x, told["sigma"], told["model_options"])
            away = without_parallel(yes, no, nothing, told["cond_scale"], neg_scale)
            return x - away

        changed = model.clone()
        changed.set_model_sampler_cfg_function(formula)
        return (changed,)


class HyperTile(ModelChange):
    """Attention of each tile of the picture to itself alone, for speed at large sizes."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": MODEL,
            "tile_size": integer(256, 1, 2048),
            "swap_size": integer(2, 1, 128),
            "max_depth": integer(0, 0, 10),
            "scale_depth": flag(False),
        }
    }
    CATEGORY = "model_patches/unet"

    def patch(
        self, model: Any, tile_size: int, swap_size: int, max_depth: int, scale_depth: bool
    ) -> tuple[Any]:
        """Tiles of `tile_size` pixels or a little more, of one of `swap_size` sizes by chance; down to the
        level `max_depth`, whose tiles are as large in cells (or, with `scale_depth`, larger by the level).
        """
        cells = max(32, tile_size) // 8
        cut: list[tuple[int, int, int, int]] = []

        def tiled(q: Tensor, k: Tensor, v: Tensor, told: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
            cut.clear()
            found = _level(q.shape[1], told["original_shape"], max_depth)
            if found is None:
                return q, k, v
            depth, high, wide = found
            least, chance = cells * (2**depth if scale_depth else 1), _chance(told)
            down, across = (_pieces(side, least, swap_size, chance) for side in (high, wide))
            if down * across == 1:
                return q, k, v
            cut.append((down, across, high, wide))
            q, k, v = (_cut(t, *cut[0]) for t in (q, k, v))
            return q, k, v

        def whole(out: Tensor, told: dict[str, Any]) -> Tensor:
            return _joined(out, *cut[0]) if cut else out

        changed = model.clone()
        changed.set_model_attn1_patch(tiled)
        changed.set_model_attn1_output_patch(whole)
        return (changed,)


class TomePatchModel(ModelChange):
    """Lets tokens that are alike go through self-attention as one (Bolya & Hoffman, 2023)."""

    INPUTS: ClassVar[Inputs] = {"required": {"model": MODEL, "ratio": number(0.3, 0.0, 1.0)}}
    CATEGORY = "model_patches/unet"

    def patch(self, model: Any, ratio: float) -> tuple[Any]:
        """`ratio` of the tokens are merged, in the U-Net's widest level."""
        from noderack_diffusion.tome import Merging, merging

        now: list[Merging] = []

        def fewer(q: Tensor, k: Tensor, v: Tensor, told: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
            now.clear()
            high, wide = told["original_shape"][-2:]
            found = merging(q, high, wide, ratio, _chance(told)) if q.shape[1] == high * wide else None
            if found is None:
                return q, k, v
            now.append(found)
            return found.merge(q), k, v

        def all_again(out: Tensor, told: dict[str, Any]) -> Tensor:
            return now[0].unmerge(out) if now else out

        changed = model.clone()
        changed.set_model_attn1_patch(fewer)
        changed.set_model_attn1_output_patch(all_again)
        return (changed,)


class PatchModelAddDownscale(ModelChange):
    """Draws the first steps small within the U-Net, so that large pictures stay of one piece."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": MODEL,
            "block_number": integer(3, 1, 32, 1),
            "downscale_factor": number(2.0, 0.1, 9.0, 0.001),
            "start_percent": number(0.0, 0.0, 1.0, 0.001),
            "end_percent": number(0.35, 0.0, 1.0, 0.001),
            "downscale_after_skip": flag(True),
            "downscale_method": combo(*_METHODS),
            "upscale_method": combo(*_METHODS),
        }
    }
    CATEGORY = "model_patches/unet"

    def patch(
        self,
        model: Any,
        block_number: int,
        downscale_factor: float,
        start_percent: float,
        end_percent: float,
        downscale_after_skip: bool,
        downscale_method: str,
        upscale_method: str,
    ) -> tuple[Any]:
        """Smaller from the input stage `block_number` on, for a part of the way; grown again where the second
        half meets what is larger.
        """
        from noderack_nodes.resize import resize

        percent = model.param.times.percent
        first, last = percent(start_percent), percent(end_percent)

        def smaller(h: Tensor, told: dict[str, Any]) -> Tensor:
            if told["block"][1] != block_number or not last <= float(told["sigmas"][0]) <= first:
                return h
            high, wide = (round(side * (1.0 / downscale_factor)) for side in h.shape[-2:])
            return resize(h, wide, high, downscale_method)

        def larger(h: Tensor, skip: Tensor, told: dict[str, Any]) -> tuple[Tensor, Tensor]:
            if h.shape[2:] == skip.shape[2:]:
                return h, skip
            return resize(h, skip.shape[-1], skip.shape[-2], upscale_method), skip

        changed = model.clone()
        if downscale_after_skip:
            changed.set_model_input_block_patch_after_skip(smaller)
        else:
            changed.set_model_input_block_patch(smaller)
        changed.set_model_output_block_patch(larger)
        return (changed,)


class UNetSelfAttentionMultiply(ModelChange):
    """Makes the parts of self-attention stronger or weaker."""

    EXPERIMENTAL = True
    INPUTS: ClassVar[Inputs] = {"required": {"model": MODEL, **_ATTENTION}}
    CATEGORY = "_for_testing/attention_experiments"
    layer: ClassVar[str] = "attn1"

    def patch(self, model: Any, q: float, k: float, v: float, out: float) -> tuple[Any]:
        """Factors of weights."""
        leaves = {"to_q": q, "to_k": k, "to_v": v, "to_out.0": out}
        return (_scaled(model, {f"{self.layer}.{leaf}": factor for leaf, factor in leaves.items()}),)


class UNetCrossAttentionMultiply(UNetSelfAttentionMultiply):
    """Makes the parts of attention to the text stronger or weaker."""

    EXPERIMENTAL = True
    layer = "attn2"


class UNetTemporalAttentionMultiply(ModelChange):
    """Makes attention within pictures, and along time, stronger or weaker, in models that have both."""

    EXPERIMENTAL = True
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": MODEL,
            "self_structural": _FACTOR,
            "self_temporal": _FACTOR,
            "cross_structural": _FACTOR,
            "cross_temporal": _FACTOR,
        }
    }
    CATEGORY = "_for_testing/attention_experiments"

    def patch(
        self,
        model: Any,
        self_structural: float,
        self_temporal: float,
        cross_structural: float,
        cross_temporal: float,
    ) -> tuple[Any]:
        """Factors of what attention gives. Models of pictures alone have nothing along time."""
        structural = {"attn1.to_out.0": self_structural, "attn2.to_out.0": cross_structural}
        temporal = {"attn1.to_out.0": self_temporal, "attn2.to_out.0": cross_temporal}
        within = _scaled(model, structural, lambda name: ".time_stack." not in name)
        return (_scaled(within, temporal, lambda name: ".time_stack." in name),)


class CLIPAttentionMultiply(Node):
    """Makes the parts of a text encoder's attention stronger or weaker."""

    EXPERIMENTAL = True
    INPUTS: ClassVar[Inputs] = {"required": {"clip": CLIP, **_ATTENTION}}
    RETURN_TYPES = ("CLIP",)
    CATEGORY = "_for_testing/attention_experiments"

    def run(self, clip: Any, q: float, k: float, v: float, out: float) -> tuple[Any]:
        """Factors of weights."""
        leaves = {"q_proj": q, "k_proj": k, "v_proj": v, "out_proj": out}
        return (_scaled(clip, {f"self_attn.{leaf}": factor for leaf, factor in leaves.items()}),)


def _scaled(handle: Any, factors: dict[str, float], which: Any = lambda name: True) -> Any:
    from noderack_diffusion.merging import scaled

    def factor(name: str) -> float:
        stem = name.removesuffix(".weight").removesuffix(".bias")
        ends = (value for leaf, value in factors.items() if stem.endswith(f".{leaf}"))
        return next(ends, 1.0) if which(name) else 1.0

    return scaled(handle, factor)


def _chance(told: dict[str, Any]) -> torch.Generator:
    """Chances that differ from step to step and not from run to run."""
    import torch

    return torch.Generator().manual_seed(round(float(told["sigmas"][0]) * 1e6))


def _level(tokens: int, shape: list[int], deepest: int) -> tuple[int, int, int] | None:
    """The level of the U-Net that has so many tokens, with its height and width."""
    high, wide = shape[-2:]
    for depth in range(deepest + 1):
        if tokens == high * wide / 4**depth:
            return depth, math.isqrt(tokens * high // wide), math.isqrt(tokens * wide // high)
    return None


def _pieces(side: int, least: int, choices: int, chance: torch.Generator) -> int:
    """Into how many equal parts a side is cut, none below `least`; one of the finest `choices` ways."""
    import torch

    sizes = [n for n in range(min(least, side), side + 1) if side % n == 0][:choices]
    at = int(torch.randint(len(sizes), (1,), generator=chance)) if len(sizes) > 1 else 0
    return side // sizes[at]


def _cut(x: Tensor, down: int, across: int, high: int, wide: int) -> Tensor:
    """[B, high * wide, C] -> [B * down * across, tokens of a tile, C]."""
    tiles = x.view(len(x), down, high // down, across, wide // across, -1)
    return tiles.transpose(2, 3).reshape(len(x) * down * across, -1, x.shape[-1])


def _joined(x: Tensor, down: int, across: int, high: int, wide: int) -> Tensor:
    tiles = x.view(-1, down, across, high // down, wide // across, x.shape[-1])
    return tiles.transpose(2, 3).reshape(-1, high * wide, x.shape[-1])


NODES: Mappings = {
    node.__name__: node
    for node in (
        *(SelfAttentionGuidance, PerpNeg, HyperTile, TomePatchModel, PatchModelAddDownscale),
        *(UNetSelfAttentionMultiply, UNetCrossAttentionMultiply, UNetTemporalAttentionMultiply),
        CLIPAttentionMultiply,
    )
}
NAMES = {
    "SelfAttentionGuidance": "Self-Attention Guidance",
    "PerpNeg": "Perp-Neg (DEPRECATED by PerpNegGuider)",
    "PatchModelAddDownscale": "PatchModelAddDownscale (Kohya Deep Shrink)",
}
