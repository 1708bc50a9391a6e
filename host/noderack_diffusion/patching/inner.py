"""``handle.model``: the network with all that belongs to it, as packs see it."""

import enum
from typing import Any

import torch
from torch import Tensor, nn

from noderack_diffusion.labels import LABELS
from noderack_diffusion.patching import wrap
from noderack_diffusion.patching.changes import Options
from noderack_diffusion.patching.measure import seen
from noderack_diffusion.patching.steering import OptionSteer
from noderack_diffusion.spec import LatentFormat, ModelSpec


class ModelType(enum.Enum):
    """What a network predicts."""

    EPS = 1
    V_PREDICTION = 2
    V_PREDICTION_EDM = 3
    STABLE_CASCADE = 4
    EDM = 5
    FLOW = 6
    V_PREDICTION_CONTINUOUS = 7
    FLUX = 8
    IMG_TO_IMG = 9
    FLOW_COSMOS = 10


_TYPES = {"eps": ModelType.EPS, "v": ModelType.V_PREDICTION, "edm": ModelType.EDM, "flow": ModelType.FLOW}


class Latents:
    """A family's latents as packs ask for them."""

    latent_dimensions = 2
    latent_rgb_factors: list[list[float]] | None = None
    latent_rgb_factors_bias: list[float] | None = None
    taesd_decoder_name: str | None = None

    def __init__(self, form: LatentFormat) -> None:
        self.latent_channels, self.scale_factor, self.shift_factor = form.channels, form.scale, form.shift
        self.spacial_downscale_ratio = form.factor
        self._form = form

    @property
    def form_of_family(self) -> LatentFormat:
        """The numbers that tell one family's latents from another's."""
        return self._form

    def process_in(self, latent: Tensor) -> Tensor:
        """From the autoencoder's latents to the network's."""
        return self._form.into(latent)

    def process_out(self, latent: Tensor) -> Tensor:
        """And back."""
        return self._form.back(latent)


class Config:
    """What kind of model it is, as packs ask for it."""

    def __init__(self, spec: ModelSpec) -> None:
        unet = spec.unet
        self.spec = spec
        self.latent_format = Latents(spec.family.latent)
        self.unet_config: dict[str, Any] = {} if unet is None else _unet_config(unet)
        self.unet_extra_config: dict[str, Any] = {}
        self.manual_cast_dtype: torch.dtype | None = None
        self.sampling_settings: dict[str, Any] = {}
        self.memory_usage_factor = 2.0

    def get_model(self, *_: Any) -> "BaseModel":
        raise NotImplementedError("models are made from files: use comfy.sd.load_checkpoint_guess_config")


class SD15Config(Config):
    """Of Stable Diffusion 1."""


class SD20Config(Config):
    """Of Stable Diffusion 2."""


class SD21UnclipConfig(SD20Config):
    """Of the one that takes pictures."""


class SDXLConfig(Config):
    """Of Stable Diffusion XL."""


class SDXLRefinerConfig(Config):
    """Of its refiner."""


CONFIGS: dict[str, type[Config]] = {
    "sd1": SD15Config,
    "sd2": SD20Config,
    "sd2_unclip": SD21UnclipConfig,
    "sdxl": SDXLConfig,
    "sdxl_refiner": SDXLRefinerConfig,
}
"""By the family's name."""


def _unet_config(unet: Any) -> dict[str, Any]:
    return {
        "in_channels": unet.in_channels,
        "out_channels": unet.out_channels,
        "model_channels": unet.width,
        "context_dim": unet.context,
        "adm_in_channels": unet.adm or None,
        "channel_mult": [level.mult for level in unet.levels],
        "num_res_blocks": [len(level.down) for level in unet.levels],
        "transformer_depth": [depth for level in unet.levels for depth in level.down],
        "transformer_depth_output": [depth for level in unet.levels for depth in level.up],
        "transformer_depth_middle": unet.middle,
        "use_linear_in_transformer": unet.linear_proj,
        "num_heads": unet.heads or -1,
        "num_head_channels": unet.head_dim or -1,
        "image_size": 32,
    }


class BaseModel(nn.Module):
    """One per weights; all handles over them share it. ``handle`` is the one that is at work."""

    def __init__(self, handle: Any) -> None:
        super().__init__()
        self.handle = handle
        self.working = False  # whether a run is under way, whose handle counts
        self.model_config = CONFIGS.get(handle.spec.family.name, Config)(handle.spec)
        self.latent_format = self.model_config.latent_format
        self.model_type = _TYPES.get(handle.param.kind, ModelType.EPS)
        self.adm_channels = handle.spec.unet.adm if handle.spec.unet else 0
        self.memory_usage_factor = 2.0
        self.manual_cast_dtype: torch.dtype | None = None
        self.concat_keys: tuple[str, ...] = ()

    @property
    def current_patcher(self) -> Any:
        """The handle that is at work."""
        return self.handle

    @property
    def diffusion_model(self) -> Any:
        """The network, with that handle's weights."""
        return self.handle.network()

    @property
    def model_sampling(self) -> Any:
        """How noise is measured under that handle."""
        return seen(self.handle.param)

    @property
    def device(self) -> torch.device:
        device: torch.device = self.handle.device
        return device

    def get_dtype(self) -> torch.dtype:
        """The dtype it computes in."""
        dtype: torch.dtype = self.handle.dtype
        return dtype

    get_dtype_inference = get_dtype

    def process_latent_in(self, latent: Tensor) -> Tensor:
        return self._latents().process_in(latent)

    def process_latent_out(self, latent: Tensor) -> Tensor:
        return self._latents().process_out(latent)

    def _latents(self) -> Latents:
        """What packs may have put in their place, unless the handle at work has latents of its own."""
        own: LatentFormat = self.handle.spec.family.latent
        return self.latent_format if own == self.model_config.spec.family.latent else Latents(own)

    def scale_latent_inpaint(self, sigma: Any, noise: Tensor, latent_image: Tensor, **_: Any) -> Tensor:
        """What is kept of a picture, at a noise level."""
        noised: Tensor = self.model_sampling.noise_scaling(sigma, noise, latent_image)
        return noised

    def encode_adm(self, **given: Any) -> Tensor | None:
        """The label vector that a conditioning entry and a latent ("noise") mean, where there is one."""
        spec, positive = self.model_config.spec, given.get("prompt_type") != "negative"
        latent = given.get("noise")
        size = (given.get("height", 1024) // 8, given.get("width", 1024) // 8)
        like = latent if latent is not None else torch.zeros(()).expand(1, 4, *size)
        return LABELS[spec.family.label](given, like, positive, spec)

    def memory_required(self, input_shape: Any, cond_shapes: Any = None) -> float:
        """Bytes for one pass, roughly."""
        area = input_shape[0]
        for side in input_shape[2:]:
            area *= side
        return float(area * 4 * 50 * self.memory_usage_factor)

    def is_adm(self) -> bool:
        return self.adm_channels > 0

    def state_dict(self, *_: Any, **__: Any) -> dict[str, Any]:  # type: ignore[override]
        """The network's weights under their names in a handle."""
        return {f"diffusion_model.{name}": value for name, value in self.diffusion_model.state_dict().items()}

    def apply_model(
        self,
        x: Tensor,
        t: Tensor,
        c_concat: Tensor | None = None,
        c_crossattn: Tensor | None = None,
        control: Any = None,
        transformer_options: Options | None = None,
        **more: Any,
    ) -> Tensor:
        """The clean latent of ``x`` at the noise levels ``t``."""
        inside = {} if transformer_options is None else transformer_options
        run = wrap.wrapped(wrap.APPLY_MODEL, inside, self, self._apply_model)
        out: Tensor = run(x, t, c_concat, c_crossattn, control, inside, **more)
        return out

    def _apply_model(
        self,
        x: Tensor,
        t: Tensor,
        c_concat: Tensor | None = None,
        c_crossattn: Tensor | None = None,
        control: Any = None,
        transformer_options: Options | None = None,
        **more: Any,
    ) -> Tensor:
        handle, dtype = self.handle, self.get_dtype()
        given = handle.param.input(x, t)
        if c_concat is not None:
            given = torch.cat([given, c_concat.to(given)], dim=1)
        time = handle.param.times.time(t).float()
        context = None if c_crossattn is None else c_crossattn.to(x.device, dtype)
        inside = dict(transformer_options or {})
        run = wrap.wrapped(wrap.DIFFUSION_MODEL, inside, self.diffusion_model, self._network)
        out = run(given.to(dtype), time, context, more.get("y"), control, inside)
        clean: Tensor = handle.param.clean(x, out.float(), t)
        return clean

    def _network(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Any = None,
        y: Any = None,
        control: Any = None,
        transformer_options: Options | None = None,
        **_: Any,
    ) -> Tensor:
        options = {} if transformer_options is None else transformer_options
        steer = OptionSteer(options, list(x.shape))
        skip = self.handle.hooks.skip
        rest = {"y": y, "control": control, "skip_hook": skip, "steer": steer}

        def run(network: Any) -> Tensor:
            found: Tensor = network(x, timesteps, context, **rest)
            return found

        text = context if isinstance(context, Tensor) else None
        residuals = control if isinstance(control, dict) else None
        beside = getattr(control, "lives", ())
        out: Tensor = self.handle.through(x, text, run, residuals, beside, steered=True)
        return out


class SDXL(BaseModel):
    """Stable Diffusion XL."""


class SDXLRefiner(BaseModel):
    """Its refiner."""


class SD21UNCLIP(BaseModel):
    """Stable Diffusion 2 that takes pictures."""


KINDS: dict[str, type[BaseModel]] = {"sdxl": SDXL, "sdxl_refiner": SDXLRefiner, "sd2_unclip": SD21UNCLIP}
"""Families whose class packs ask for; all others are a BaseModel."""


def inner_of(handle: Any) -> BaseModel:
    """The one object that all handles over the same weights share."""
    live = handle.live
    found = live.shared.get("inner")
    if found is None:
        found = live.shared["inner"] = KINDS.get(handle.spec.family.name, BaseModel)(handle)
    inner: BaseModel = found
    return inner
