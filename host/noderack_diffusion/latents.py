"""Whether a latent is one that a model can sample from."""

import torch
from torch import Tensor

from noderack_diffusion.errors import MismatchError
from noderack_diffusion.model import Model


def fitting(model: Model, latent: Tensor) -> Tensor:
    """``latent`` as the model can take it: an empty one gets as many channels as the model has.

    Raises MismatchError that says what it is and what the model wants.
    """
    family = model.spec.family
    wants, found = family.latent.channels, list(latent.shape)
    if latent.dim() != 4:
        raise MismatchError(f"the latent is {found}; one of a picture is [pictures, {wants}, height, width]")
    if not latent.numel():
        raise MismatchError(f"the latent is {found} and holds nothing; make it at least one cell large")
    if not latent.is_floating_point():
        latent = latent.to(torch.float32)
    if latent.shape[1] == wants:
        return latent
    if latent.any():
        raise MismatchError(
            f"the latent has {latent.shape[1]} channels, {family.title} wants {wants}: it was made for "
            "another model; decode it with its own VAE and encode the picture with this model's"
        )
    return latent.new_zeros(latent.shape[0], wants, *latent.shape[2:])
