"""What attention makes of a text, kept while the same text is asked about: it is constant over a run."""

import weakref
from dataclasses import dataclass

import torch
from torch import Tensor, nn

MOST = 4
"""Texts that are kept at once; a run with areas or changing weights asks about several in turn."""


class Same:
    """Recognises a tensor: the very object, and not written to since."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor, self._version = weakref.ref(tensor), tensor._version

    def __call__(self, tensor: Tensor) -> bool:
        """Whether it is this one."""
        return self._tensor() is tensor and self._version == tensor._version

    def gone(self) -> bool:
        """Whether nobody holds it any more."""
        return self._tensor() is None


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    text: Same
    weights: tuple[Same, Same]
    keys: Tensor
    values: Tensor


class SeenText:
    """Keys and values of the texts that were last asked about, by the very tensor that brought them.

    They are forgotten when that tensor is gone, or has changed, or the layers have other weights or hooks.
    """

    def __init__(self) -> None:
        self._made: list[_Made] = []

    def __deepcopy__(self, memo: object) -> "SeenText":
        return SeenText()

    def of(self, text: Tensor, to_k: nn.Module, to_v: nn.Module) -> tuple[Tensor, Tensor]:
        """``to_k(text)`` and ``to_v(text)``."""
        if torch.is_grad_enabled() or text.is_inference() or not (_plain(to_k) and _plain(to_v)):
            return to_k(text), to_v(text)
        k, v = to_k.weight, to_v.weight
        assert isinstance(k, Tensor) and isinstance(v, Tensor)
        for made in self._made:
            if made.text(text) and made.weights[0](k) and made.weights[1](v):
                return made.keys, made.values
        new = _Made(Same(text), (Same(k), Same(v)), to_k(text), to_v(text))
        self._made = [*(m for m in self._made if not m.text.gone()), new][-MOST:]
        return new.keys, new.values

    def forget(self) -> None:
        """Keep nothing."""
        self._made = []


def _plain(layer: nn.Module) -> bool:
    """Whether a layer is a matrix and nothing more (packs replace and hook layers)."""
    hooked = layer._forward_hooks or layer._forward_pre_hooks or "forward" in layer.__dict__
    return isinstance(layer, nn.Linear) and not hooked and not layer.weight.is_inference()
