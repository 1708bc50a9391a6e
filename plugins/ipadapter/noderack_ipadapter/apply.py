"""Pictures to what an adapter reads, and an adapter onto a model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from noderack_diffusion.vision import normalised
from torch import Tensor
from torch.nn import functional as F

from noderack_ipadapter.attend import Attend, Picture
from noderack_ipadapter.files import Adapter, IPAdapterError
from noderack_ipadapter.weighing import carries_composition, layers, places, strength


def _subtracted(seen: Tensor) -> Tensor:
    return seen[:1] - seen[1:].mean(dim=0, keepdim=True) if len(seen) > 1 else seen


def _normed(seen: Tensor) -> Tensor:
    return torch.mean(seen / seen.norm(dim=0, keepdim=True), dim=0, keepdim=True)


COMBINE: Mapping[str, Callable[[Tensor], Tensor]] = {
    "concat": lambda seen: seen,
    "add": lambda seen: seen.sum(dim=0, keepdim=True),
    "subtract": _subtracted,
    "average": lambda seen: seen.mean(dim=0, keepdim=True),
    "norm average": _normed,
    "max": lambda seen: seen.amax(dim=0, keepdim=True),
    "min": lambda seen: seen.amin(dim=0, keepdim=True),
}
"""Ways to make one of what was seen in several pictures; concat keeps them side by side."""


def see(adapter: Adapter, vision: Any, image: Tensor, mask: Tensor | None = None) -> Tensor:
    """Pictures ``[B, H, W, 3]`` as an adapter wants them: ``[B, D]``, or ``[B, p, D]`` of all patches.

    Outside of ``mask [m, H, W]`` they are even grey.
    """
    _by_clip(adapter)
    size = vision.config.size
    pixels = normalised(image, size, crop=True)
    if mask is not None:
        small = F.interpolate(mask[:, None].float(), (size, size), mode="bilinear", align_corners=False)
        pixels = pixels * small[:1].to(pixels)
    seen = vision.encode_pixels(pixels)
    found: Tensor = seen.penultimate_hidden_states if adapter.of_patches else seen.image_embeds
    return found


def _by_clip(adapter: Adapter) -> None:
    if adapter.of_faces:
        raise IPAdapterError(
            f"{adapter.name} is an IP-Adapter of faces (FaceID), which reads what a face recognition model "
            "makes of a face: use IPAdapterFaceID (with the package insightface, which Noderack does not "
            "bring), or NoderackFaceID with vectors that another node made"
        )


def see_nothing(adapter: Adapter, vision: Any, like: Tensor) -> Tensor:
    """What stands for no picture: zeros, or what CLIP sees in even grey where all patches are asked for."""
    if not adapter.of_patches:
        return torch.zeros_like(like)
    if vision is None:
        raise IPAdapterError(f"{adapter.name} needs a CLIP vision model to know what no picture looks like")
    size = vision.config.size
    found: Tensor = vision.encode_pixels(torch.zeros(1, 3, size, size)).penultimate_hidden_states
    return found.expand(len(like), -1, -1)


def tower_of(adapter: Adapter, given: Any) -> Any:
    """The image tower to look with; raises IPAdapterError where there is none."""
    found = adapter.vision if given is None else given
    if found is None:
        raise IPAdapterError(
            "connect a CLIP vision model, or load the adapter with IPAdapterUnifiedLoader, which brings one"
        )
    return found


@dataclass(frozen=True, slots=True)
class Wish:
    """How an adapter is to be put on."""

    weight: float | Sequence[float] = 1.0
    """One for all, or one for each picture of the batch, the last again where there are too few."""
    kind: str = "linear"
    start: float = 0.0
    end: float = 1.0
    scaling: str = "V only"
    composition: float = 1.0
    """The weight of the composition, for the type "style and composition"."""
    each: bool = False
    """One picture of the prompt for each picture of the batch, instead of all for all."""
    boost: float | None = None
    """For the precise types: how strongly the rest is held against the side without the prompt."""


def put_on(
    model: Any,
    adapter: Adapter,
    wanted: Tensor,
    unwanted: Tensor,
    wish: Wish,
    mask: Tensor | None = None,
    composition: Tensor | None = None,
) -> Any:
    """A model that also attends to what was seen; ``mask [m, H, W]`` says where.

    With ``composition``, the layers that carry it attend to what was seen in that picture.
    """
    yes, no = (_tokens(adapter, seen, each=wish.each) for seen in (wanted, unwanted))
    other = None if composition is None else _tokens(adapter, composition, each=wish.each)
    return put_tokens(model, adapter, yes, no, wish, mask, other)


def put_tokens(
    model: Any,
    adapter: Adapter,
    yes: Tensor,
    no: Tensor,
    wish: Wish,
    mask: Tensor | None = None,
    composition: Tensor | None = None,
) -> Any:
    """The same for tokens that were made already."""
    at = places(model.live.pieces)
    _fit(model, adapter, at)
    sigma = model.get_model_object("model_sampling").percent_to_sigma
    held: dict[str, Any] = {
        "scaling": wish.scaling,
        "first": float(sigma(wish.start)),
        "last": float(sigma(wish.end)),
    }
    made = model.clone()
    replaced = made.model_options["transformer_options"].get("patches_replace", {}).get("attn2", {})
    where, weight = layers(at), wish.weight
    if isinstance(weight, Sequence):
        held["frames"] = _frames(weight, wish.kind)
        weight = 1.0
    for place, (k, v) in zip(at, adapter.layers, strict=True):
        force = strength(wish.kind, where[place], weight, wish.composition, wish.boost)
        if not force.wanted and not force.against:
            continue
        composed = composition is not None and carries_composition(where[place])
        tokens = composition if composition is not None and composed else yes
        picture = Picture(tokens, no, k, v, force, mask=mask, **held)
        before = replaced.get(place)
        made.set_model_attn2_replace(
            before.also(picture) if isinstance(before, Attend) else Attend((picture,)), *place
        )
    return made


def _frames(weights: Sequence[float], kind: str) -> Tensor:
    """``[frames, 1, 1]``; raises IPAdapterError where another weight stands beside these."""
    if not weights or "and composition" in kind:
        raise IPAdapterError(
            f"{kind!r} takes one weight, and a list of weights needs at least one: give a number"
        )
    return torch.tensor([float(weight) for weight in weights])[:, None, None]


def _tokens(adapter: Adapter, seen: Tensor, *, each: bool) -> Tensor:
    with torch.no_grad():
        tokens: Tensor = adapter.projector(seen.float())
    return tokens if each else tokens.reshape(1, -1, tokens.shape[-1])


def _fit(model: Any, adapter: Adapter, at: list[Any]) -> None:
    if len(at) != len(adapter.layers):
        raise IPAdapterError(
            f"{adapter.name} is for a model with {len(adapter.layers)} layers that read text, this one has "
            f"{len(at)}: take the adapter for {model.spec.family.title}"
        )
    width = model.spec.unet.context
    if adapter.context != width:
        raise IPAdapterError(f"{adapter.name} is {adapter.context} wide, the model's text {width}")
