"""`nodes`: the built-in node classes under their names, and the tables that packs read and write."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from noderack_compat import extras, finder
from noderack_compat.missing import BuiltIn, gap
from noderack_nodes import NODE_CLASS_MAPPINGS as _BUILT_IN
from noderack_nodes import NODE_DISPLAY_NAME_MAPPINGS as _NAMES
from noderack_upscale import NODE_CLASS_MAPPINGS as _UPSCALE

finder.install()
_missing = gap(__name__)

MAX_RESOLUTION = 16384
# Nodes of packs are added as those load: packs find each other here.
NODE_CLASS_MAPPINGS: dict[str, Any] = BuiltIn(extras.callable_as_there({**_BUILT_IN, **_UPSCALE}))
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = dict(_NAMES)
EXTENSION_WEB_DIRS: dict[str, str] = {}
LOADED_MODULE_DIRS: dict[str, str] = {}


def __getattr__(name: str) -> Any:
    """A built-in node class by its type, such as `nodes.KSampler`."""
    return NODE_CLASS_MAPPINGS[name] if name in NODE_CLASS_MAPPINGS else _missing(name)


def get_module_name(module_path: str) -> str:
    """The name that a pack's folder or file goes by."""
    path = PurePath(module_path)
    return path.stem if path.suffix == ".py" else path.name


def interrupt_processing(value: bool = True) -> None:
    import comfy.model_management

    comfy.model_management.interrupt_current_processing(value)


def before_node_execution() -> None:
    import comfy.model_management

    comfy.model_management.throw_exception_if_processing_interrupted()


def common_ksampler(
    model: Any,
    seed: int,
    steps: int,
    cfg: float,
    sampler_name: str,
    scheduler: str,
    positive: Any,
    negative: Any,
    latent: dict[str, Any],
    denoise: float = 1.0,
    disable_noise: bool = False,
    start_step: int | None = None,
    last_step: int | None = None,
    force_full_denoise: bool = False,
) -> tuple[dict[str, Any]]:
    """One sampling run over a LATENT, as the sampler nodes do it."""
    import latent_preview
    from comfy.sample import prepare_noise, sample

    clean = latent["samples"]
    samples = sample(
        model,
        torch_like(clean) if disable_noise else prepare_noise(clean, seed, latent.get("batch_index")),
        steps,
        cfg,
        sampler_name,
        scheduler,
        positive,
        negative,
        clean,
        denoise=denoise,
        disable_noise=disable_noise,
        start_step=start_step,
        last_step=last_step,
        force_full_denoise=force_full_denoise,
        noise_mask=latent.get("noise_mask"),
        callback=latent_preview.prepare_callback(model, steps),
        seed=seed,
    )
    return ({**latent, "samples": samples},)


def torch_like(latent: Any) -> Any:
    """No noise, for a latent of that size."""
    import torch

    return torch.zeros_like(latent)
