"""What a GUIDER socket carries for packs: how predictions are made of several conditionings, and a run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from noderack_diffusion.guide import prepare
from noderack_diffusion.patching import wrap
from noderack_diffusion.patching.changes import copied
from noderack_diffusion.patching.conds import condition_of, dict_of, sampling_function
from noderack_diffusion.sampling_run import fit_mask


class CFGGuider:
    """Classifier-free guidance. Packs inherit from it and override `predict_noise`."""

    def __init__(self, model_patcher: Any) -> None:
        self.model_patcher = model_patcher
        self.model_options: dict[str, Any] = model_patcher.model_options
        self.original_conds: dict[str, list[Any]] = {}
        self.cfg = 1.0
        self.inner_model: Any = None
        self.conds: dict[str, Any] = {}

    def set_conds(self, positive: Any, negative: Any) -> None:
        """Two conditioning lists."""
        self.inner_set_conds({"positive": positive, "negative": negative})

    def set_cfg(self, cfg: float) -> None:
        """The scale of guidance."""
        self.cfg = cfg

    def inner_set_conds(self, conds: dict[str, Any]) -> None:
        """Any number of conditioning lists, by name; "positive" first."""
        for name, rows in conds.items():
            self.original_conds[name] = [
                {**row[1], "cross_attn": row[0]} if isinstance(row, list | tuple) else dict(row)
                for row in rows
            ]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.outer_predict_noise(*args, **kwargs)

    def outer_predict_noise(
        self, x: Tensor, timestep: Tensor, model_options: Any = None, seed: int | None = None
    ) -> Tensor:
        """A step, inside the wrappers that there are for it."""
        options = self.model_options if model_options is None else model_options
        run = self._wrapped(wrap.PREDICT_NOISE, self.predict_noise, options)
        clean: Tensor = run(x, timestep, options, seed)
        return clean

    def predict_noise(
        self, x: Tensor, timestep: Tensor, model_options: Any = None, seed: int | None = None
    ) -> Tensor:
        """The clean latent of a step."""
        return sampling_function(
            self.inner_model,
            x,
            timestep,
            self.conds.get("negative"),
            self.conds.get("positive"),
            self.cfg,
            model_options=self.model_options if model_options is None else model_options,
            seed=seed,
        )

    def _wrapped(self, kind: str, function: Any, options: dict[str, Any]) -> Any:
        return wrap.wrapped(kind, options.get("transformer_options", {}), self, function)

    def _made_ready(
        self, latent: Tensor, mask: Tensor | None, seed: int | None
    ) -> dict[str, list[dict[str, Any]]]:
        """The conditionings for latents of this size, as dicts."""
        names = list(self.original_conds)
        lists = [[[row.get("cross_attn"), row] for row in self.original_conds[name]] for name in names]
        ready = prepare(self.model_patcher, lists, latent, mask, seed)
        return {name: [dict_of(one) for one in rows] for name, rows in zip(names, ready, strict=True)}

    def inner_sample(
        self,
        noise: Tensor,
        latent_image: Tensor,
        device: Any,
        sampler: Any,
        sigmas: Tensor,
        denoise_mask: Any,
        callback: Any,
        disable_pbar: bool,
        seed: int | None,
        **_: Any,
    ) -> Tensor:
        """The walk of a sampler, in the network's latents."""
        self.conds = self._made_ready(latent_image, denoise_mask, seed)
        self._prepare_controls(sigmas)
        if torch.count_nonzero(latent_image) > 0:
            latent_image = self.inner_model.process_latent_in(latent_image)
        options = copied(self.model_options)
        options.setdefault("transformer_options", {})["sample_sigmas"] = sigmas
        given = {"model_options": options, "seed": seed}
        run = wrap.wrapped(wrap.SAMPLER_SAMPLE, options["transformer_options"], sampler, sampler.sample)
        x = run(self, sigmas, given, callback, noise, latent_image, denoise_mask, disable_pbar)
        out: Tensor = self.inner_model.process_latent_out(x.to(torch.float32))
        return out

    def _prepare_controls(self, sigmas: Tensor) -> None:
        """Control networks of packs hear that a run begins."""
        percent = self.model_patcher.param.times.percent
        for rows in self.conds.values():
            for row in rows:
                begin = getattr(condition_of(row).control, "pre_run", None)
                if begin is not None:
                    begin(self.inner_model, percent)

    def outer_sample(
        self,
        noise: Tensor,
        latent_image: Tensor,
        sampler: Any,
        sigmas: Tensor,
        denoise_mask: Any = None,
        callback: Any = None,
        disable_pbar: bool = False,
        seed: int | None = None,
        **more: Any,
    ) -> Tensor:
        """The walk with the model at work."""
        device = self.model_patcher.load_device
        noise, latent_image = (t.to(device, torch.float32) for t in (noise, latent_image))
        with torch.no_grad(), self.model_patcher.at_work() as inner:
            self.inner_model = inner
            return self.inner_sample(
                noise,
                latent_image,
                device,
                sampler,
                sigmas.to(device),
                denoise_mask,
                callback,
                disable_pbar,
                seed,
                **more,
            )

    def sample(
        self,
        noise: Tensor,
        latent_image: Tensor,
        sampler: Any,
        sigmas: Tensor,
        denoise_mask: Any = None,
        callback: Any = None,
        disable_pbar: bool = False,
        seed: int | None = None,
    ) -> Tensor:
        """A whole run: latents as the autoencoder has them, in and out."""
        if len(sigmas) == 0:
            return latent_image
        if denoise_mask is not None:
            denoise_mask = fit_mask(denoise_mask, latent_image).to(self.model_patcher.load_device)
        self.conds = {name: [dict(row) for row in rows] for name, rows in self.original_conds.items()}
        own = self.model_options
        self.model_options = self.model_patcher.changes.sampling_options(own)
        try:
            run = self._wrapped(wrap.OUTER_SAMPLE, self.outer_sample, self.model_options)
            out: Tensor = run(
                noise, latent_image, sampler, sigmas, denoise_mask, callback, disable_pbar, seed
            )
        finally:
            self.model_options = own
        return out.to(latent_image.device)
