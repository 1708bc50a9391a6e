"""The handle that a MODEL socket carries: a network, the patches on it, and how its output is read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from noderack_diffusion import activations
from noderack_diffusion.concat import beside
from noderack_diffusion.control import Steering
from noderack_diffusion.devices import pick_dtype
from noderack_diffusion.errors import MismatchError
from noderack_diffusion.guiders import Hooks
from noderack_diffusion.labels import LABELS
from noderack_diffusion.patch import PatchSet
from noderack_diffusion.patching.changes import Changes
from noderack_diffusion.patching.handle import Patchable
from noderack_diffusion.patching.names import open_to_names
from noderack_diffusion.preview import Window
from noderack_diffusion.sigma import Parametrisation
from noderack_diffusion.spec import LatentFormat, ModelSpec
from noderack_diffusion.unet import UNet
from noderack_diffusion.weights import Live

Result = TypeVar("Result")


@open_to_names
@dataclass(frozen=True, eq=False)
class Model(Patchable):
    """A denoising model. Handles are values: ``with_patches`` gives another one over the same weights
    file. What packs put on a clone of one is in ``changes``.
    """

    spec: ModelSpec
    live: Live
    param: Parametrisation
    patches: PatchSet = field(default_factory=PatchSet)
    hooks: Hooks = field(default_factory=Hooks)
    changes: Changes = field(default_factory=Changes, repr=False)
    window: Window | None = field(default=None, repr=False)
    """Shows latents while they are sampled; None where the file holds no autoencoder."""

    @property
    def key(self) -> str:
        """Names what it computes: the file and the patches."""
        return f"{self.live.key}:{self._weights().key}"

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.live.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype it computes in."""
        return self.live.dtype

    def with_patches(self, patches: PatchSet) -> "Model":
        """This model with ``patches`` after those it has."""
        return self._but(patches=self.patches | patches)

    def without_patches(self) -> "Model":
        """The model of the file."""
        return self._but(patches=PatchSet(), changes=Changes())

    def with_parametrisation(self, param: Parametrisation) -> "Model":
        """This model, its output read another way (v-prediction, other noise levels ...)."""
        return self._but(param=param)

    def with_latents(self, form: LatentFormat) -> "Model":
        """This model over latents that lie otherwise."""
        return self._but(spec=replace(self.spec, family=replace(self.spec.family, latent=form)))

    def in_dtype(self, dtype: torch.dtype) -> "Model":
        """This model, computed in another dtype where the device is good at it (``pick_dtype``)."""
        return self._but(live=self.live.in_dtype(pick_dtype(self.device, dtype)))

    def with_hooks(self, hooks: Hooks) -> "Model":
        """This model, its answers combined another way."""
        return self._but(hooks=hooks)

    def _but(self, **other: Any) -> "Model":
        return replace(self, **{"changes": self.changes.copy(), **other})

    def through(
        self,
        x: Tensor,
        context: Tensor | None,
        work: Callable[[UNet], Result],
        control: Mapping[str, Sequence[Tensor | None]] | None = None,
        beside: Sequence[Live] = (),
        *,
        steered: bool = False,
    ) -> Result:
        """What ``work`` makes of the network, with room for what it makes of a batch like ``x`` and a text,
        beside the residuals of ``control``, which came from the networks ``beside``.
        """
        config, need = self.spec.unet, 0
        if config is not None:
            tokens = 0 if context is None else context.shape[1]
            size = x.shape[-2], x.shape[-1]
            need = activations.unet(config, x.shape[0], size, tokens, steered) * self.dtype.itemsize
        for rows in (control or {}).values():
            need += sum(row.numel() * row.element_size() for row in rows if row is not None)
        return self.live.run(self._weights(), need, cast("Callable[[nn.Module], Result]", work), beside)

    def network(self) -> UNet:
        """The network with exactly this handle's patches on it."""
        return cast(UNet, self.live.use(self._weights()))

    def predict(
        self,
        x: Tensor,
        sigma: Tensor,
        context: Tensor,
        *,
        y: Tensor | None = None,
        concat: Tensor | None = None,
        control: Any = None,
        places: Any = None,
        control_text: Tensor | None = None,
        sides: Sequence[int] = (),
    ) -> Tensor:
        """The clean latent of ``x [B, C, h, w]`` at ``sigma [B]`` given ``context [B, n, D]``, in fp32.

        ``y [B, n]`` is the label vector, ``concat [B, c, h, w]`` goes beside the input's channels; ``sides``
        says which conditioning list each equal part of the batch is of.
        """
        foreign = control is not None and not isinstance(control, Steering)
        if self.changes.steers or foreign or places is not None:
            options, labels = self.changes.sampling_options(), {} if y is None else {"y": y}
            given = {"control": control, "concat": concat, "places": places, "control_text": control_text}
            return self.predict_under(options, x, sigma, context, sides=sides, **given, **labels)
        dtype = self.dtype
        self._fits(context)
        scaled = self.param.input(x, sigma)
        if concat is not None:
            scaled = torch.cat([scaled, concat.to(scaled)], dim=1)
        time = self.param.times.time(sigma).float()
        told = {"context": context, "y": y, "base": self, "text": control_text}
        steer = control and control.residuals(self.param, scaled, sigma, **told)
        text, skip = context.to(x.device, dtype), self.hooks.skip

        def run(network: UNet) -> Tensor:
            found: Tensor = network(scaled.to(dtype), time, text, y=y, control=steer, skip_hook=skip)
            return found

        out = self.through(x, text, run, steer, control.lives(self) if control else ())
        return self.param.clean(x, out.float(), sigma)

    def _fits(self, context: Tensor) -> None:
        config = self.spec.unet
        if config is not None and context.shape[-1] != config.context:
            raise MismatchError(
                f"the prompt was encoded for another model: it is {context.shape[-1]} wide, "
                f"{self.spec.family.title} here wants {config.context}; use this checkpoint's text encoder"
            )

    def extras(
        self, entry: Mapping[str, Any], latent: Tensor, *, positive: bool, mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """What beside the text one conditioning entry gives the network."""
        config, form = self.spec.unet, self.spec.family.latent
        y = LABELS[self.spec.family.label](entry, latent, positive, self.spec)
        extra = config.in_channels - form.channels if config else 0
        found = {"y": y, "concat": beside(extra, entry, latent, mask, form)}
        found["control_text"] = entry.get("cross_attn_controlnet")
        return {name: value.to(latent.device) for name, value in found.items() if value is not None}
