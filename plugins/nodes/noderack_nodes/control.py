"""ControlNets: a picture that steers what a conditioning asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from noderack_nodes.places import model_names, model_path
from noderack_nodes.sockets import (
    CONDITIONING,
    CONTROL_NET,
    IMAGE,
    VAE,
    Conditioning,
    Inputs,
    Mappings,
    Node,
    number,
)

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor

_STRENGTH = number(1.0, 0.0, 10.0)
_PART = {"low": 0.0, "high": 1.0, "step": 0.001}


class ControlNetLoader(Node):
    """A ControlNet file, in the original names or in diffusers'."""

    RETURN_TYPES = ("CONTROL_NET",)
    CATEGORY = "loaders"
    FUNCTION = "load_controlnet"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The ControlNets in the model folders now."""
        return {"required": {"control_net_name": (model_names("controlnet"),)}}

    def load_controlnet(self, control_net_name: str) -> tuple[Any]:
        """The file is mapped into memory, not copied."""
        from noderack_diffusion.control_load import load_controlnet

        return (load_controlnet(model_path("controlnet", control_net_name)),)


class ControlNetApply(Node):
    """Steers one conditioning; the other side of the guidance follows it."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "conditioning": CONDITIONING,
            "control_net": CONTROL_NET,
            "image": IMAGE,
            "strength": _STRENGTH,
        }
    }
    RETURN_TYPES = ("CONDITIONING",)
    CATEGORY = "conditioning/controlnet"
    FUNCTION = "apply_controlnet"

    def apply_controlnet(
        self, conditioning: Conditioning, control_net: Any, image: Tensor, strength: float
    ) -> tuple[Conditioning]:
        """At strength 0 the conditioning as it came."""
        if strength == 0:
            return (conditioning,)
        steered = _steered(conditioning, control_net, image, (strength, 0.0, 1.0))
        return ([[text, {**options, "control_apply_to_uncond": True}] for text, options in steered],)


class ControlNetApplyAdvanced(Node):
    """Steers both sides of the guidance for a part of the way."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "positive": CONDITIONING,
            "negative": CONDITIONING,
            "control_net": CONTROL_NET,
            "image": IMAGE,
            "strength": _STRENGTH,
            "start_percent": number(0.0, **_PART),
            "end_percent": number(1.0, **_PART),
        },
        "optional": {"vae": VAE},
    }
    RETURN_TYPES = ("CONDITIONING", "CONDITIONING")
    RETURN_NAMES = ("positive", "negative")
    CATEGORY = "conditioning/controlnet"
    FUNCTION = "apply_controlnet"

    def apply_controlnet(
        self,
        positive: Conditioning,
        negative: Conditioning,
        control_net: Any,
        image: Tensor,
        strength: float,
        start_percent: float,
        end_percent: float,
        vae: Any = None,
    ) -> tuple[Conditioning, Conditioning]:
        """`vae` is for ControlNets of families whose hint is a latent; those here read the picture."""
        if strength == 0:
            return positive, negative
        how = (strength, start_percent, end_percent)
        made: dict[int, Any] = {}  # one control for all who came with the same one before
        one, other = (_steered(side, control_net, image, how, made) for side in (positive, negative))
        return one, other


def _steered(
    conditioning: Conditioning,
    control_net: Any,
    image: Tensor,
    how: tuple[float, float, float],
    made: dict[int, Any] | None = None,
) -> Conditioning:
    """Every entry with this control after those that it has; entries which share one can be batched."""
    made = {} if made is None else made
    found = []
    for text, options in conditioning:
        before = options.get("control")
        if id(before) not in made:
            made[id(before)] = control_net.given(image, *how).after(before)
        found.append([text, {**options, "control": made[id(before)], "control_apply_to_uncond": False}])
    return found


NODES: Mappings = {n.__name__: n for n in (ControlNetLoader, ControlNetApply, ControlNetApplyAdvanced)}
NAMES = {
    "ControlNetLoader": "Load ControlNet Model",
    "ControlNetApply": "Apply ControlNet (OLD)",
    "ControlNetApplyAdvanced": "Apply ControlNet",
}
