"""`comfy.ops`: torch's layers, whose weights packs load themselves or have cast to the input's dtype."""

from __future__ import annotations

from typing import Any

import torch
from noderack_compat.missing import gap
from torch import nn

__getattr__ = gap(__name__)


def cast_to(
    weight: Any,
    dtype: Any = None,
    device: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
    **_: Any,
) -> Any:
    return weight.to(device=device, dtype=dtype, non_blocking=non_blocking, copy=copy)


def cast_to_input(weight: Any, input: Any, non_blocking: bool = False, copy: bool = True) -> Any:
    return weight.to(device=input.device, dtype=input.dtype, non_blocking=non_blocking, copy=copy)


def cast_bias_weight(
    s: Any, input: Any = None, dtype: Any = None, device: Any = None, bias_dtype: Any = None, **_: Any
) -> tuple[Any, Any]:
    """A layer's weight and bias as they are wanted, changed by the functions that packs put on it."""
    dtype = dtype or (input.dtype if input is not None else None)
    device = device or (input.device if input is not None else None)
    weight, bias = s.weight, getattr(s, "bias", None)
    weight = None if weight is None else weight.to(device=device, dtype=dtype)
    bias = None if bias is None else bias.to(device=device, dtype=bias_dtype or dtype)
    for function in getattr(s, "weight_function", ()):
        weight = function(weight)
    for function in getattr(s, "bias_function", ()):
        bias = function(bias)
    return weight, bias


def uncast_bias_weight(s: Any, weight: Any, bias: Any, offload_stream: Any = None) -> None:
    """Nothing to do: casts are new tensors."""


class CastWeightBiasOp:
    """What layers have for casting."""

    comfy_cast_weights = False
    weight_function: Any = ()
    bias_function: Any = ()


class _Casting(CastWeightBiasOp):
    """A layer of torch that is not initialised, and casts where it is asked to."""

    def reset_parameters(self) -> None:
        """Weights come from files."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if not (self.comfy_cast_weights or self.weight_function or self.bias_function):
            return super().forward(*args, **kwargs)  # type: ignore[misc]
        return self.forward_comfy_cast_weights(*args, **kwargs)

    def forward_comfy_cast_weights(self, input: Any, *args: Any, **kwargs: Any) -> Any:
        """The layer's own pass, with weights as the input wants them."""
        weight, bias = cast_bias_weight(self, input)
        layer: Any = self
        given = {"weight": weight, **({"bias": bias} if bias is not None else {})}
        kind: Any = next(c for c in type(self).__mro__ if c.__module__.startswith("torch."))
        kept = {name: layer._parameters.pop(name) for name in given}
        try:
            for name, value in given.items():
                layer.__dict__[name] = value
            return kind.forward(self, input, *args, **kwargs)
        finally:
            for name, value in kept.items():
                layer.__dict__.pop(name, None)
                layer._parameters[name] = value


class disable_weight_init:
    """Layers that are not initialised."""

    class Linear(_Casting, nn.Linear):
        pass

    class Conv1d(_Casting, nn.Conv1d):
        pass

    class Conv2d(_Casting, nn.Conv2d):
        pass

    class Conv3d(_Casting, nn.Conv3d):
        pass

    class ConvTranspose1d(_Casting, nn.ConvTranspose1d):
        pass

    class ConvTranspose2d(_Casting, nn.ConvTranspose2d):
        pass

    class GroupNorm(_Casting, nn.GroupNorm):
        pass

    class LayerNorm(_Casting, nn.LayerNorm):
        pass

    class RMSNorm(_Casting, nn.RMSNorm):
        pass

    class Embedding(_Casting, nn.Embedding):
        def forward(self, input: Any, out_dtype: Any = None) -> Any:
            found = nn.Embedding.forward(self, input)
            return found if out_dtype is None else found.to(out_dtype)

    @classmethod
    def conv_nd(cls, dims: int, *args: Any, **kwargs: Any) -> Any:
        """A convolution of two or three axes."""
        return {2: cls.Conv2d, 3: cls.Conv3d}[dims](*args, **kwargs)


class manual_cast(disable_weight_init):
    """The same layers, which always cast."""


for _name in [
    name for name in vars(disable_weight_init) if isinstance(getattr(disable_weight_init, name), type)
]:
    _base = getattr(disable_weight_init, _name)
    setattr(manual_cast, _name, type(_name, (_base,), {"comfy_cast_weights": True, "__module__": __name__}))


def pick_operations(weight_dtype: Any, compute_dtype: Any, *_: Any, **__: Any) -> Any:
    """The layers for weights of one dtype computed in another."""
    same = compute_dtype is None or weight_dtype == compute_dtype
    return disable_weight_init if same else manual_cast


scaled_dot_product_attention = torch.nn.functional.scaled_dot_product_attention
