"""MODEL in, MODEL out: guidance corrected before or after its two sides are joined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from noderack_nodes.guidance import ModelChange
from noderack_nodes.sockets import MODEL, Inputs, Mappings, flag, integer, number

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor

_MODEL: Inputs = {"required": {"model": MODEL}}


class Correction(ModelChange):
    """Gives a model whose guidance is corrected."""

    INPUTS: ClassVar[Inputs] = _MODEL
    RETURN_NAMES: ClassVar[tuple[str, ...]] = ("patched_model",)
    CATEGORY = "advanced/guidance"


class CFGZeroStar(Correction):
    """Scales the side without the prompt to fit the other best."""

    def patch(self, model: Any) -> tuple[Any]:
        """After guidance."""
        from noderack_diffusion.corrections import zero_star

        def corrected(told: dict[str, Any]) -> Tensor:
            return zero_star(*_both(told), told["input"], told["cond_scale"])

        return (_after(model, corrected),)


class CFGNorm(Correction):
    """Keeps guidance from making the latent longer than the prompt asks for."""

    EXPERIMENTAL = True
    INPUTS: ClassVar[Inputs] = {
        "required": {"model": MODEL, "strength": number(1.0, 0.0, 100.0)},
        "optional": {"pre_cfg": flag(False)},
    }

    def patch(self, model: Any, strength: float, pre_cfg: bool = False) -> tuple[Any]:
        """After guidance, where `strength` scales the result; or instead of it, on the noise (`pre_cfg`)."""
        from noderack_diffusion.corrections import norm_kept, norm_limited

        if pre_cfg:

            def formula(told: dict[str, Any]) -> Tensor:
                return norm_kept(told["cond"], told["uncond"], told["cond_scale"], strength)

            changed = model.clone()
            changed.set_model_sampler_cfg_function(formula)
            return (changed,)

        def corrected(told: dict[str, Any]) -> Tensor:
            return norm_limited(told["denoised"], told["cond_denoised"], strength)

        return (_after(model, corrected),)


class Mahiro(Correction):
    """Guidance that goes more in the direction of the prompt than away from its absence."""

    EXPERIMENTAL = True
    CATEGORY = "_for_testing"

    def patch(self, model: Any) -> tuple[Any]:
        """After guidance."""
        from noderack_diffusion.corrections import leaping

        def corrected(told: dict[str, Any]) -> Tensor:
            return leaping(*_both(told), told["cond_scale"])

        return (_after(model, corrected),)


class TCFG(Correction):
    """Takes from the side without the prompt what does not bear on it."""

    def patch(self, model: Any) -> tuple[Any]:
        """Before guidance."""
        from noderack_diffusion.corrections import undamped

        def corrected(told: dict[str, Any]) -> list[Any]:
            yes, no, *more = told["conds_out"]
            guided = None not in told["conds"][:2]
            return [yes, undamped(yes, no, told["input"]) if guided else no, *more]

        return (_before(model, corrected),)


class APG(ModelChange):
    """Guidance of bounded length, its part along the prompt weighed apart."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": MODEL,
            "eta": number(1.0, -10.0, 10.0),
            "norm_threshold": number(5.0, 0.0, 50.0, 0.1),
            "momentum": number(0.0, -5.0, 1.0),
        }
    }
    CATEGORY = "sampling/custom_sampling"

    def patch(self, model: Any, eta: float, norm_threshold: float, momentum: float) -> tuple[Any]:
        """`eta` weighs the part along the prompt; a threshold or momentum of 0 is off."""
        from noderack_diffusion.corrections import Projected

        projected = Projected(eta, norm_threshold, momentum)

        def corrected(told: dict[str, Any]) -> list[Any]:
            yes, no, *more = told["conds_out"]
            return [projected(yes, no, float(told["sigma"].max()), told["cond_scale"]), no, *more]

        return (_before(model, corrected),)


class PerturbedAttentionGuidance(ModelChange):
    """Guides away from what the network sees with a middle that looks at itself alone (Ahn et al., 2024)."""

    INPUTS: ClassVar[Inputs] = {"required": {"model": MODEL, "scale": number(3.0, 0.0, 100.0, round=0.01)}}
    CATEGORY = "model_patches/unet"

    def patch(self, model: Any, scale: float) -> tuple[Any]:
        """One more evaluation a step; none at scale 0."""
        from noderack_diffusion.patching.changes import merged
        from noderack_diffusion.patching.conds import calc_cond_batch

        blind = {"patches_replace": {"attn1": {("middle", 0): lambda q, k, v, options, mask=None: v}}}

        def corrected(told: dict[str, Any]) -> Tensor:
            options = merged(told["model_options"], {"transformer_options": blind})
            (seen,) = calc_cond_batch(told["model"], [told["cond"]], told["input"], told["sigma"], options)
            guided: Tensor = told["denoised"] + (told["cond_denoised"] - seen) * scale
            return guided

        return (_after(model, corrected) if scale else model,)


class RenormCFG(ModelChange):
    """Guidance that makes the clean latent no longer than the prompt alone does; none early in the run."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": MODEL,
            "cfg_trunc": number(100, 0.0, 100.0),
            "renorm_cfg": number(1.0, 0.0, 100.0),
        }
    }
    CATEGORY = "advanced/model"

    def patch(self, model: Any, cfg_trunc: float, renorm_cfg: float) -> tuple[Any]:
        """No guidance from sigma `cfg_trunc` up; at most `renorm_cfg` times the length (0: any)."""

        def formula(told: dict[str, Any]) -> Tensor:
            import torch

            x: Tensor = told["input"]
            yes: Tensor = told["cond_denoised"]
            no: Tensor = told["uncond_denoised"]
            if float(told["timestep"][0]) >= cfg_trunc:
                return x - yes
            guided: Tensor = no + told["cond_scale"] * (yes - no)
            if renorm_cfg > 0:
                axes = tuple(range(1, yes.dim()))
                most, length = (torch.linalg.vector_norm(t, dim=axes, keepdim=True) for t in (yes, guided))
                guided = guided * (most * renorm_cfg / length).clamp(max=1.0)
            return x - guided

        changed = model.clone()
        changed.set_model_sampler_cfg_function(formula)
        return (changed,)


class EpsilonScaling(ModelChange):
    """Takes the predicted noise for a little too strong (Ning et al., 2024)."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"model": MODEL, "scaling_factor": number(1.005, 0.5, 1.5, 0.001, display="number")}
    }
    CATEGORY = "model_patches/unet"

    def patch(self, model: Any, scaling_factor: float) -> tuple[Any]:
        """After guidance, the noise is divided by the factor."""

        def corrected(told: dict[str, Any]) -> Tensor:
            x: Tensor = told["input"]
            clean: Tensor = told["denoised"]
            return x - (x - clean) / scaling_factor

        return (_after(model, corrected),)


class TemporalScoreRescaling(ModelChange):
    """More or less detail, by how strong the predicted noise is taken to be late in a run."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": MODEL,
            "tsr_k": number(0.95, 0.01, 100.0, 0.001, display="number"),
            "tsr_sigma": number(1.0, 0.01, 100.0, 0.001, display="number"),
        }
    }
    RETURN_NAMES: ClassVar[tuple[str, ...]] = ("patched_model",)
    CATEGORY = "model_patches/unet"

    def patch(self, model: Any, tsr_k: float, tsr_sigma: float) -> tuple[Any]:
        """`tsr_k` below 1 gives more detail, above 1 smoother pictures; `tsr_sigma` says how early."""
        from noderack_diffusion.corrections import rescored

        flow = model.param.flow

        def corrected(told: dict[str, Any]) -> Tensor:
            clean: Tensor = told["denoised"]
            sigma = float(told["sigma"].flatten()[0])
            alpha = 1.0 - sigma if flow else 1.0
            if sigma == 0.0 or alpha == 0.0:
                return clean
            return rescored(clean, told["input"], sigma, alpha, tsr_k, tsr_sigma**2)

        return (_after(model, corrected) if tsr_k != 1 else model,)


class FreSca(ModelChange):
    """Guidance whose rough and fine parts are weighed apart."""

    EXPERIMENTAL = True
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": MODEL,
            "scale_low": number(1.0, 0, 10),
            "scale_high": number(1.25, 0, 10),
            "freq_cutoff": integer(20, 1, 10000, 1),
        }
    }
    CATEGORY = "_for_testing"

    def patch(self, model: Any, scale_low: float, scale_high: float, freq_cutoff: int) -> tuple[Any]:
        """`freq_cutoff` frequencies each way count as low; a latent of less than twice that has no others."""
        from noderack_diffusion.corrections import by_frequency

        def corrected(told: dict[str, Any]) -> list[Any]:
            yes, *others = told["conds_out"]
            if not others or None in told["conds"][:2]:
                return [yes, *others]
            return [others[0] + by_frequency(yes - others[0], scale_low, scale_high, freq_cutoff), *others]

        return (_before(model, corrected),)


class NAGuidance(ModelChange):
    """Leads away from the negative prompt within attention, so that it counts without guidance too."""

    EXPERIMENTAL = True
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": MODEL,
            "nag_scale": number(5.0, 0.0, 50.0, 0.1),
            "nag_alpha": number(0.5, 0.0, 1.0),
            "nag_tau": number(1.5, 1.0, 10.0),
        }
    }
    CATEGORY = "advanced/guidance"

    def patch(self, model: Any, nag_scale: float, nag_alpha: float, nag_tau: float) -> tuple[Any]:
        """`nag_scale` leads, `nag_tau` bounds, `nag_alpha` mixes; it counts at cfg 1 too."""
        import torch
        from noderack_diffusion.corrections import normalized

        def led(out: Tensor, told: dict[str, Any]) -> Tensor:
            sides = told.get("cond_or_uncond") or []
            if 0 not in sides or 1 not in sides:
                return out
            parts = list(out.chunk(len(sides)))
            at = sides.index(0)
            parts[at] = normalized(parts[at], parts[sides.index(1)], nag_scale, nag_alpha, nag_tau)
            return torch.cat(parts)

        changed = model.clone()
        changed.set_model_attn1_output_patch(led)
        changed.disable_model_cfg1_optimization()
        return (changed,)


class CFGOverride(ModelChange):
    """Another scale of guidance for a part of the run."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": MODEL,
            "cfg": number(1.0, 0.0, 100.0, 0.1, round=0.01),
            "start_percent": number(0.0, 0.0, 1.0, 0.001),
            "end_percent": number(1.0, 0.0, 1.0, 0.001),
        }
    }
    CATEGORY = "sampling/custom_sampling/guiders"

    def patch(self, model: Any, cfg: float, start_percent: float, end_percent: float) -> tuple[Any]:
        """Of several, the one nearest the sampler counts. At 1 the negative prompt is not asked."""
        percent = model.param.times.percent
        first, last = percent(start_percent), percent(end_percent)

        def step(following: Any, x: Tensor, sigma: Tensor, *more: Any, **named: Any) -> Any:
            guider, level = following.class_obj, float(sigma.flatten()[0])
            if not last <= level <= first:
                return following(x, sigma, *more, **named)
            before, guider.cfg = guider.cfg, cfg
            try:
                return following(x, sigma, *more, **named)
            finally:
                guider.cfg = before

        changed = model.clone()
        changed.add_wrapper("predict_noise", step)
        return (changed,)


class DifferentialDiffusion(ModelChange):
    """A mask's grey says when its place begins to change (Levin & Fried, 2023)."""

    EXPERIMENTAL = True
    INPUTS: ClassVar[Inputs] = {
        "required": {"model": MODEL},
        "optional": {"strength": number(1.0, 0.0, 1.0)},
    }
    CATEGORY = "_for_testing"

    def patch(self, model: Any, strength: float = 1.0) -> tuple[Any]:
        """`strength` below 1 mixes the mask as it came in."""

        def changed(sigma: Tensor, mask: Tensor, extra_options: dict[str, Any]) -> Tensor:
            measured, sigmas = extra_options["model"].inner_model.model_sampling, extra_options["sigmas"]
            last = max(float(sigmas[-1]), float(measured.sigma_min))
            levels = sigmas.new_tensor([float(sigmas[0]), float(sigma[0]), last])
            first, now, end = (float(time) for time in measured.timestep(levels))
            open_now = (mask >= (now - end) / (first - end)).to(mask.dtype)
            return strength * open_now + (1.0 - strength) * mask

        changing = model.clone()
        changing.set_model_denoise_mask_function(changed)
        return (changing,)


def _both(told: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    return told["denoised"], told["cond_denoised"], told["uncond_denoised"]


def _after(model: Any, function: Any) -> Any:
    changed = model.clone()
    changed.set_model_sampler_post_cfg_function(function)
    return changed


def _before(model: Any, function: Any) -> Any:
    changed = model.clone()
    changed.set_model_sampler_pre_cfg_function(function)
    return changed


NODES: Mappings = {
    node.__name__: node
    for node in (
        *(CFGZeroStar, CFGNorm, Mahiro, TCFG, APG),
        *(PerturbedAttentionGuidance, DifferentialDiffusion, RenormCFG),
        *(TemporalScoreRescaling, FreSca, NAGuidance, CFGOverride),
    )
} | {"Epsilon Scaling": EpsilonScaling}
NAMES = {
    "Mahiro": "Mahiro is so cute that she deserves a better guidance function!! (。・ω・。)",
    "TCFG": "Tangential Damping CFG",
    "TemporalScoreRescaling": "TSR - Temporal Score Rescaling",
    "CFGOverride": "CFG Override",
    "NAGuidance": "Normalized Attention Guidance",
    "APG": "Adaptive Projected Guidance",
    "DifferentialDiffusion": "Differential Diffusion",
}
