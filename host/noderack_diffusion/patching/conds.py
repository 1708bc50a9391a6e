"""Conditioning as packs see it while sampling: dicts, evaluated many at a time.

Packs call these themselves, with some dicts changed or other options, to look at predictions of their own.
"""

import math
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from noderack_diffusion import areas
from noderack_diffusion.guide import Condition, Guide
from noderack_diffusion.patch import PatchSet
from noderack_diffusion.patching import wrap
from noderack_diffusion.patching.changes import Options
from noderack_diffusion.sigma import Parametrisation

NAMES = {"concat": "c_concat", "control_text": "crossattn_controlnet"}
"""Extras whose name in packs' dicts is another."""
Cond = dict[str, Any]


class Carried:
    """A tensor that a conditioning entry gives the network, with what is needed to join several."""

    def __init__(self, cond: Any) -> None:
        self.cond = cond

    def _copy_with(self, cond: Any) -> "Carried":
        return type(self)(cond)

    def process_cond(self, batch_size: int, **_: Any) -> "Carried":
        """The same for a batch."""
        rows = self.cond.shape[0]
        fits = self.cond.repeat(-(-batch_size // rows), *[1] * (self.cond.dim() - 1))[:batch_size]
        return self._copy_with(fits)

    def can_concat(self, other: "Carried") -> bool:
        """Whether both fit into one batch."""
        return bool(self.cond.shape == other.cond.shape)

    def concat(self, others: "Sequence[Carried]") -> Tensor:
        """All of them in one batch."""
        return torch.cat([self.cond, *(other.cond for other in others)])

    def size(self) -> list[int]:
        """The shape."""
        return list(self.cond.shape)


class CarriedPlace(Carried):
    """One that has a place in the picture, and is cropped with an area."""

    def process_cond(self, batch_size: int, area: Any = None, **_: Any) -> Carried:
        if area is not None:
            return self._copy_with(areas.crop(self.cond, tuple(area))).process_cond(batch_size)
        return super().process_cond(batch_size)


class CarriedText(Carried):
    """Text, which may be of different length."""

    def can_concat(self, other: Carried) -> bool:
        one, two = self.cond.shape, other.cond.shape
        if one[0] != two[0] or one[2] != two[2]:
            return False
        return bool(math.lcm(one[1], two[1]) // min(one[1], two[1]) <= 4)


def dict_of(condition: Condition) -> Cond:
    """A Condition as packs see it; what the conditioning list said beside is kept."""
    models: dict[str, Carried] = {"c_crossattn": CarriedText(condition.context)}
    for name, value in condition.extras.items():
        kind = CarriedPlace if value.dim() == 4 else Carried
        models[NAMES.get(name, name)] = kind(value)
    found: Cond = {**condition.entry, "cross_attn": condition.context, "model_conds": models}
    found.update(uuid=uuid.uuid4(), strength=condition.strength)
    own = {"area": condition.area, "mask": condition.mask}
    for name, told in {**own, "control": condition.control, "gligen": condition.places}.items():
        found.pop(name, None)
        if told is not None:
            found[name] = told
    found.pop("mask_strength", None)
    if condition.first != math.inf:
        found["timestep_start"] = condition.first
    if condition.last:
        found["timestep_end"] = condition.last
    if condition.default:
        found["default"] = True
    return found


def condition_of(found: Cond) -> Condition:
    """The Condition that a dict says, whoever changed it."""
    models = dict(found.get("model_conds", {}))
    text = models.pop("c_crossattn", None)
    back = {packs: name for name, packs in NAMES.items()}
    extras = {back.get(name, name): held.cond for name, held in models.items() if torch.is_tensor(held.cond)}
    mask = found.get("mask")
    return Condition(
        context=found["cross_attn"] if text is None else text.cond,
        extras=extras,
        area=tuple(found["area"]) if found.get("area") is not None else None,
        mask=None if mask is None else mask * found.get("mask_strength", 1.0),
        strength=float(found.get("strength", 1.0)),
        first=float(found.get("timestep_start", math.inf)),
        last=float(found.get("timestep_end", 0.0)),
        control=found.get("control"),
        places=found.get("gligen"),
        default=bool(found.get("default", False)),
        hooks=found.get("hooks") if hasattr(found.get("hooks"), "patches") else None,
        entry=found,
    )


@dataclass(frozen=True, slots=True)
class _Under:
    """A model under given options, as guidance sees it."""

    inner: Any
    options: Options
    patches: PatchSet | None = None
    wants_sides: ClassVar[bool] = True

    @property
    def target(self) -> Any:
        """The handle whose weights are used."""
        return self.inner.handle

    def with_patches(self, patches: PatchSet) -> "_Under":
        """The same with further patches on the weights."""
        return replace(self, patches=patches)

    @property
    def param(self) -> Parametrisation:
        return self.inner.handle.param  # type: ignore[no-any-return]

    def predict(self, x: Tensor, sigma: Tensor, context: Tensor, **extras: Any) -> Tensor:
        network_extras = {name: value for name, value in extras.items() if value is not None}
        handle = self.inner.handle
        if self.patches is None:
            return handle.predict_under(self.options, x, sigma, context, **network_extras)  # type: ignore[no-any-return]
        with _at_work(self.inner, handle.with_patches(self.patches)) as other:
            return other.predict_under(self.options, x, sigma, context, **network_extras)  # type: ignore[no-any-return]

    def extras(self, *_: Any, **__: Any) -> dict[str, Tensor]:
        return {}


@contextmanager
def _at_work(inner: Any, handle: Any) -> Iterator[Any]:
    """Another handle in place of the one that samples, as long as one call takes."""
    before = inner.handle, inner.working
    inner.handle, inner.working = handle, True
    try:
        yield handle
    finally:
        inner.handle, inner.working = before


def calc_cond_batch(
    model: Any, conds: Sequence[Sequence[Cond] | None], x_in: Tensor, timestep: Tensor, model_options: Options
) -> list[Tensor]:
    """The clean latent that each list asks for (zeros for None). ``model`` is what ``handle.model`` gives."""
    inside = model_options.get("transformer_options", {})
    run = wrap.wrapped(wrap.CALC_COND_BATCH, inside, None, _calculated)
    out: list[Tensor] = run(model, conds, x_in, timestep, model_options)
    return out


def _calculated(
    model: Any, conds: Sequence[Sequence[Cond] | None], x_in: Tensor, timestep: Tensor, model_options: Options
) -> list[Tensor]:
    for callback in model.handle.get_all_callbacks("on_prepare_state"):
        callback(model.handle, timestep, model_options)
    sides = [[condition_of(cond) for cond in side or ()] for side in conds]
    told = model_options.get("transformer_options", {}).get("sample_sigmas")
    sigmas = () if told is None else tuple(float(s) for s in told)
    return Guide(_Under(model, model_options), sigmas=sigmas).predict(sides, x_in, float(timestep.max()))


def cfg_function(
    model: Any,
    cond_pred: Tensor,
    uncond_pred: Tensor,
    cond_scale: float,
    x: Tensor,
    timestep: Tensor,
    model_options: Options,
    cond: Any = None,
    uncond: Any = None,
) -> Tensor:
    """Guidance as the options say: one function for the formula, any number for what comes after."""
    told = {
        "model": model,
        "model_options": model_options,
        "input": x,
        "sigma": timestep,
        "cond_scale": cond_scale,
        "cond_denoised": cond_pred,
        "uncond_denoised": uncond_pred,
    }
    own = model_options.get("sampler_cfg_function")
    if own is None:
        clean = uncond_pred + (cond_pred - uncond_pred) * cond_scale
    else:
        clean = x - own(
            {
                **told,
                "cond": x - cond_pred,
                "uncond": x - uncond_pred,
                "timestep": timestep,
                "input_cond": cond,
                "input_uncond": uncond,
            }
        )
    for after in model_options.get("sampler_post_cfg_function", ()):
        clean = after({**told, "denoised": clean, "cond": cond, "uncond": uncond})
    return clean


def sampling_function(
    model: Any,
    x: Tensor,
    timestep: Tensor,
    uncond: Any,
    cond: Any,
    cond_scale: float,
    model_options: Options,
    seed: int | None = None,
) -> Tensor:
    """The clean latent of a guided step. At scale 1 the side without the prompt is not evaluated."""
    skip = math.isclose(cond_scale, 1.0) and not model_options.get("disable_cfg1_optimization", False)
    conds = [cond, None if skip else uncond]
    told = {"conds": conds, "input": x, "sigma": timestep, "model": model, "model_options": model_options}
    own = model_options.get("sampler_calc_cond_batch_function")
    out = own(told) if own else calc_cond_batch(model, conds, x, timestep, model_options)
    for before in model_options.get("sampler_pre_cfg_function", ()):
        out = before({**told, "conds_out": out, "cond_scale": cond_scale, "timestep": timestep})
    return cfg_function(
        model, out[0], out[1], cond_scale, x, timestep, model_options, cond=cond, uncond=conds[1]
    )


@dataclass(frozen=True, slots=True, eq=False)
class OptionCfg:
    """Classifier-free guidance under options; a guider as samplers are driven by."""

    inner: Any
    positive: list[Cond]
    negative: list[Cond]
    scale: float
    options: Options

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """The clean latent."""
        timestep = torch.full((x.shape[0],), sigma, dtype=torch.float32, device=x.device)
        return sampling_function(
            self.inner, x, timestep, self.negative, self.positive, self.scale, self.options
        )

    def both(self, x: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """The clean latent, and the one of the negative side alone."""
        options, kept = watched(self.options)
        clean = replace(self, options=options)(x, sigma)
        return clean, kept[-1]


def watched(options: Options) -> tuple[Options, list[Tensor]]:
    """The options, and a list to which each step adds the clean latent without the prompt."""
    kept: list[Tensor] = []

    def keep(told: Options) -> Tensor:
        kept.append(told["uncond_denoised"])
        clean: Tensor = told["denoised"]
        return clean

    after = [*options.get("sampler_post_cfg_function", ()), keep]
    return {**options, "sampler_post_cfg_function": after, "disable_cfg1_optimization": True}, kept
