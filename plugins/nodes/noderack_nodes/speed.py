"""MODEL in, MODEL out: faster by leaving steps out, or computed in another number format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from noderack_nodes.guidance import ModelChange
from noderack_nodes.sockets import MODEL, Inputs, Mappings, choice, flag, number

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor

_PERCENT = {"start_percent": number(0.15, 0.0, 1.0), "end_percent": number(0.95, 0.0, 1.0)}
_KEY = "noderack-reuse"
_CHANNELS = 4
"""Of a latent; what goes beside it into some networks is constant."""


class LazyCache(ModelChange):
    """Leaves out steps that would change little, guidance and all."""

    EXPERIMENTAL = True
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": MODEL,
            "reuse_threshold": number(0.2, 0.0, 3.0),
            **_PERCENT,
            "verbose": flag(False),
        }
    }
    CATEGORY = "advanced/debug/model"
    KIND: ClassVar[str] = "predict_noise"

    def patch(
        self,
        model: Any,
        reuse_threshold: float,
        start_percent: float,
        end_percent: float,
        verbose: bool = False,
    ) -> tuple[Any]:
        """A higher threshold leaves out more; `verbose` says how many steps were left out."""
        from noderack_diffusion.reuse import Reuse

        percent = model.param.times.percent
        limits = reuse_threshold, percent(start_percent), percent(end_percent)
        runs: list[Reuse] = []

        def one_run(following: Any, *args: Any, **more: Any) -> Any:
            runs[:] = [Reuse(*limits)]
            try:
                return following(*args, **more)
            finally:
                _tell(runs.pop(), verbose)

        def one_step(following: Any, x: Tensor, *args: Any, **more: Any) -> Any:
            if not runs:
                return following(x, *args, **more)
            return self.reused(runs[0], lambda: following(x, *args, **more), x, *args)

        changed = model.clone()
        changed.add_wrapper_with_key("outer_sample", _KEY, one_run)
        changed.add_wrapper_with_key(self.KIND, _KEY, one_step)
        return (changed,)

    @staticmethod
    def reused(state: Any, run: Any, x: Tensor, sigma: Tensor, *_: Any) -> Tensor:
        """A whole guided step."""
        out: Tensor = state.step(x, float(sigma[0]), run)
        return out


class EasyCache(LazyCache):
    """Leaves out passes of the network that would change little."""

    EXPERIMENTAL = True
    KIND = "diffusion_model"

    @staticmethod
    def reused(state: Any, run: Any, x: Tensor, sigma: Tensor, *more: Any) -> Tensor:
        """A pass of the network; those of other conditionings in the same step follow the first."""
        told = more[-1]
        sides = tuple(told["cond_or_uncond"])
        out: Tensor = state.step(x[:, :_CHANNELS], float(told["sigmas"][0]), run, sides, len(x) // len(sides))
        return out


class ModelComputeDtype(ModelChange):
    """Computes in another number format."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"model": MODEL, "dtype": choice("default", "fp32", "fp16", "bf16")}
    }
    CATEGORY = "advanced/debug/model"

    def patch(self, model: Any, dtype: str) -> tuple[Any]:
        """fp16 is not computed with on a processor, nor bf16 where it has no instructions for it."""
        import torch

        known = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
        return (model.in_dtype(known[dtype]) if dtype in known else model,)


def _tell(state: Any, verbose: bool) -> None:
    if verbose:
        import logging

        logging.getLogger(__name__).warning("%d steps were left out", state.skipped)


class ModelAttentionBackend(ModelChange):
    """Which attention a model computes with; here there is torch's, whatever a workflow names."""

    INPUTS: ClassVar[Inputs] = {"required": {"model": MODEL, "attention": choice("pytorch attention")}}
    CATEGORY = "model/patch"

    @classmethod
    def VALIDATE_INPUTS(cls, attention: str) -> bool:
        """Any name: others give the same numbers, faster on some machines."""
        return True

    def patch(self, model: Any, attention: str) -> tuple[Any]:
        """The model as it is."""
        return (model,)


_ALL = (EasyCache, LazyCache, ModelComputeDtype, ModelAttentionBackend)
NODES: Mappings = {node.__name__: node for node in _ALL}
NAMES: dict[str, str] = {}
