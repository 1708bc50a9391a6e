"""Latents changed cell by cell: functions for them as values, applied to a latent or to guidance."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from noderack_nodes.guidance import ModelChange
from noderack_nodes.sockets import LATENT, MODEL, Inputs, Latent, Mappings, Node, integer, number

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor

_OPERATION = ("LATENT_OPERATION",)
Operation: TypeAlias = "Callable[..., Tensor]"
"""Called with the latent [B, C, h, w] as `latent`, gives one like it."""


class LatentOperation(Node):
    """Gives a function of a latent."""

    RETURN_TYPES = ("LATENT_OPERATION",)
    CATEGORY = "latent/advanced/operations"
    FUNCTION = "op"


class LatentOperationTonemapReinhard(LatentOperation):
    """Makes the strongest cells weaker, as Reinhard's tone mapping does with light."""

    EXPERIMENTAL = True
    INPUTS: ClassVar[Inputs] = {"required": {"multiplier": number(1.0, 0.0, 100.0)}}

    def op(self, multiplier: float) -> tuple[Operation]:
        """Each cell's length bends towards `multiplier` times what lies five deviations above the mean."""

        def toned(latent: Tensor, **_: Any) -> Tensor:
            length: Tensor = latent.norm(dim=1, keepdim=True) + 1e-10
            axes = tuple(range(1, latent.dim()))
            mean, spread = length.mean(dim=axes, keepdim=True), length.std(dim=axes, keepdim=True)
            top = (spread * 5 + mean) * multiplier
            part = length / top
            shorter: Tensor = latent / length * (part / (part + 1.0) * top)
            return shorter

        return (toned,)


class LatentOperationSharpen(LatentOperation):
    """Unsharp masking of the direction of each cell's vector; its length stays."""

    EXPERIMENTAL = True
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "sharpen_radius": integer(9, 1, 31, 1),
            "sigma": number(1.0, 0.1, 10.0, 0.1),
            "alpha": number(0.1, 0.0, 5.0),
        }
    }

    def op(self, sharpen_radius: int, sigma: float, alpha: float) -> tuple[Operation]:
        """`alpha` says how much; `sigma` counts in radii."""
        from noderack_nodes.filters import convolved, gaussian

        kernel = gaussian(sharpen_radius, sigma) * -(alpha * 10)
        kernel[sharpen_radius, sharpen_radius] += 1.0 - kernel.sum()

        def sharpened(latent: Tensor, **_: Any) -> Tensor:
            length: Tensor = latent.norm(dim=1, keepdim=True) + 1e-6
            return length * convolved((latent / length).movedim(1, -1), kernel).movedim(-1, 1)

        return (sharpened,)


class LatentApplyOperation(Node):
    """A function applied to a latent."""

    EXPERIMENTAL = True
    INPUTS: ClassVar[Inputs] = {"required": {"samples": LATENT, "operation": _OPERATION}}
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "latent/advanced/operations"

    def run(self, samples: Latent, operation: Operation) -> tuple[Latent]:
        """The rest of the LATENT stays."""
        return ({**samples, "samples": operation(latent=samples["samples"])},)


class LatentApplyOperationCFG(ModelChange):
    """A function applied at every step to what the prompt adds."""

    EXPERIMENTAL = True
    INPUTS: ClassVar[Inputs] = {"required": {"model": MODEL, "operation": _OPERATION}}
    CATEGORY = "latent/advanced/operations"

    def patch(self, model: Any, operation: Operation) -> tuple[Any]:
        """Before guidance; without a side that has no prompt, to the clean latent itself."""

        def changed_before(told: dict[str, Any]) -> list[Any]:
            yes, *others = told["conds_out"]
            if len(others) != 1:
                return [operation(latent=yes), *others]
            return [operation(latent=yes - others[0]) + others[0], *others]

        changed = model.clone()
        changed.set_model_sampler_pre_cfg_function(changed_before)
        return (changed,)


NODES: Mappings = {
    node.__name__: node
    for node in (
        *(LatentOperationTonemapReinhard, LatentOperationSharpen),
        *(LatentApplyOperation, LatentApplyOperationCFG),
    )
}
NAMES: dict[str, str] = {}
