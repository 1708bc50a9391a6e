"""`comfy.sampler_helpers`: conditioning lists as dicts, masks as latents are."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from typing import Any

import torch
from noderack_compat.missing import gap
from noderack_diffusion.sampling_run import fit_mask

__getattr__ = gap(__name__)


def prepare_mask(noise_mask: Any, shape: Any, device: Any) -> Any:
    """A mask of any size as a latent of `shape` has it."""
    return fit_mask(noise_mask, torch.zeros(()).expand(tuple(shape))).to(device)


def convert_cond(cond: Any) -> list[dict[str, Any]]:
    """Each entry as one dict."""
    found = []
    for tensor, options in cond:
        row = {**options, "model_conds": options.get("model_conds", {}), "uuid": uuid.uuid4()}
        if tensor is not None:
            row["cross_attn"] = tensor
        found.append(row)
    return found


def get_additional_models(conds: Any, dtype: Any = None) -> tuple[list[Any], int]:
    """Control networks of packs and the like, and the memory that they want."""
    found: list[Any] = []
    for rows in conds.values() if isinstance(conds, dict) else conds:
        for row in rows:
            getter = getattr(row.get("control"), "get_models", None)
            found += getter() if getter else []
    return list(dict.fromkeys(found)), 0


class Loaded:
    """A model at work, until it is put away: by its pack, or when the pack drops it after an error."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._work = ExitStack()
        self.inner = self._work.enter_context(model.at_work())

    def close(self) -> None:
        self._work.close()

    __del__ = close


def prepare_sampling(
    model: Any, noise_shape: Any, conds: Any, model_options: Any = None, **_: Any
) -> tuple[Any, Any, list[Loaded]]:
    """The inner model at work, the conditionings, and what `cleanup_models` is given after the run."""
    loaded = Loaded(model)
    return loaded.inner, conds, [loaded]


def cleanup_models(conds: Any, models: Any) -> None:
    """Puts away what `prepare_sampling` set to work, and ends control networks of packs."""
    for model in models:
        model.close()
    cleanup_additional_models(
        row["control"] for rows in conds.values() for row in rows if row.get("control") is not None
    )


def cleanup_additional_models(models: Any) -> None:
    for model in models:
        if hasattr(model, "cleanup"):
            model.cleanup()
