"""A CLIP as packs call it: tokens as tuples, weights added to a copy, the encoders beneath by their names."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from noderack_diffusion.errors import MismatchError
from noderack_diffusion.patch import PatchSet
from noderack_diffusion.patching import weights
from noderack_diffusion.patching.encoders import KINDS, Encoders, Tokenizers
from noderack_diffusion.prompt import Token

if TYPE_CHECKING:
    from noderack_diffusion.textenc import Chunks, Clip, Tower

Pairs = Mapping[str, Sequence[Sequence[Sequence[Any]]]]
"""By tower: chunks of (id or vector, weight), or of these and the number of a word."""


class Spoken:
    """The methods that packs call on a CLIP."""

    if TYPE_CHECKING:
        towers: tuple[Tower, ...]
        patches: PatchSet
        layer: int | None
        hooks: Any
        scheduled: bool
        hooks_to_conds: bool

    @property
    def _own(self) -> "Clip":
        return cast("Clip", self)

    def clone(self, *_: Any, **__: Any) -> "Clip":
        """The same, to be changed apart."""
        return replace(self._own)

    def clip_layer(self, layer_idx: int) -> None:
        """Reads the encoders at that layer from now on."""
        object.__setattr__(self, "layer", layer_idx)

    @property
    def layer_idx(self) -> int | None:
        return self.layer

    def encode_from_tokens(self, tokens: Pairs, return_pooled: Any = False, return_dict: bool = False) -> Any:
        """The text ``[1, 77 k, D]``; with its pooled vector, or both in a dict, if asked for."""
        if return_pooled == "unprojected":
            raise MismatchError("no text encoder here gives its pooled vector before the projection")
        clip = self._own
        hooks = self.hooks
        patched = clip if hooks is None else clip.with_patches(hooks.clip_patches(clip))
        tensor, pooled = patched.encode_tokens(as_tokens(tokens))
        if return_dict:
            return self.add_hooks_to_dict({"cond": tensor, "pooled_output": pooled})
        return (tensor, pooled) if return_pooled else tensor

    def encode_from_tokens_scheduled(
        self,
        tokens: Pairs,
        unprojected: bool = False,
        add_dict: Mapping[str, Any] | None = None,
        show_pbar: bool = True,
    ) -> list[list[Any]]:
        """A CONDITIONING, each entry with ``add_dict``; several where hooks change during the run."""
        if unprojected:
            self.encode_from_tokens(tokens, "unprojected")
        return self._own.conditioning(as_tokens(tokens), **(add_dict or {}))

    def add_hooks_to_dict(self, pooled_dict: dict[str, Any]) -> dict[str, Any]:
        if self.apply_hooks_to_conds:
            pooled_dict["hooks"] = self.hooks
        return pooled_dict

    @property
    def apply_hooks_to_conds(self) -> Any:
        """The hooks that go on with what is encoded."""
        return self.hooks if self.hooks_to_conds else None

    @property
    def use_clip_schedule(self) -> bool:
        return self.scheduled

    def add_patches(
        self, patches: Mapping[Any, Any], strength_patch: float = 1.0, strength_model: float = 1.0
    ) -> list[Any]:
        """Changes of weights, by ``<tower>.<parameter>``; gives the keys that named one."""
        known = {f"{t.recipe.name}.{name}": None for t in self.towers for name in t.live.pieces}
        made, used = weights.patches(patches, known, strength_patch, strength_model)
        object.__setattr__(self, "patches", self.patches | PatchSet(tuple(made)))
        return used

    @property
    def cond_stage_model(self) -> Encoders:
        """The encoders, one object for as long as the handle lives."""
        found = self.__dict__.get("_encoders")
        if found is None:
            names = "".join(sorted(tower.recipe.name for tower in self.towers))
            found = KINDS.get(names, KINDS["l"])(self._own)
            self.__dict__["_encoders"] = found
        return cast(Encoders, found)

    @property
    def tokenizer(self) -> Tokenizers:
        return self.cond_stage_model.tokenizers

    @property
    def patcher(self) -> "Patcher":
        """What packs load, move and patch."""
        return Patcher(self._own)

    def load_model(self, tokens: Any = None) -> "Patcher":
        """Nothing to load: weights are placed as they are used."""
        return self.patcher

    def get_sd(self) -> dict[str, Tensor]:
        """All weights by name, as this handle has them."""
        return self.patcher.model_state_dict()

    def get_key_patches(self) -> dict[str, list[Any]]:
        return self.patcher.get_key_patches()

    def set_tokenizer_option(self, option_name: str, value: Any) -> None:
        """CLIP's tokenizer has none that a prompt would change."""

    def is_dynamic(self) -> bool:
        return False


class Patcher:
    """A CLIP seen as the holder of its weights."""

    is_clip = True

    def __init__(self, clip: "Clip") -> None:
        self.clip = clip
        self.model_options: dict[str, Any] = {}

    @property
    def model(self) -> Encoders:
        return self.clip.cond_stage_model

    @property
    def load_device(self) -> torch.device:
        device: torch.device = self.clip.towers[0].live.device
        return device

    @property
    def offload_device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def forced_hooks(self) -> Any:
        return self.clip.hooks

    def current_loaded_device(self) -> torch.device:
        return self.load_device

    def clone(self, *_: Any, **__: Any) -> "Patcher":
        return Patcher(self.clip.clone())

    def is_clone(self, other: Any) -> bool:
        """Whether both are over the same weights."""
        mine, theirs = ([t.live for t in getattr(p, "clip", self.clip).towers] for p in (self, other))
        return hasattr(other, "clip") and mine == theirs

    def add_patches(self, *given: Any, **named: Any) -> list[Any]:
        return self.clip.add_patches(*given, **named)

    def get_key_patches(self, filter_prefix: str | None = None) -> dict[str, list[Any]]:
        state = self.model_state_dict(filter_prefix)
        return {name: [(value, lambda weight, **_: weight)] for name, value in state.items()}

    def model_state_dict(self, filter_prefix: str | None = None) -> dict[str, Tensor]:
        """Weights by ``<tower>.<parameter>``."""
        found = {
            f"{tower.recipe.name}.{name}": value
            for tower in self.clip.towers
            for name, value in self.clip.network(tower).state_dict().items()
        }
        return {name: value for name, value in found.items() if name.startswith(filter_prefix or "")}

    def model_size(self) -> int:
        return sum(value.nelement() * value.element_size() for value in self.model_state_dict().values())

    def get_model_object(self, name: str) -> Any:
        from noderack_diffusion.patching.places import get_at

        return get_at(self.model, name)

    def unpatch_hooks(self, *_: Any) -> None:
        """Hooks here change no weights in place."""


def as_tokens(tokens: Pairs) -> "dict[str, Chunks]":
    """Chunks of tuples as the core has them."""
    return {name: [[_token(row) for row in chunk] for chunk in chunks] for name, chunks in tokens.items()}


def _token(row: Sequence[Any]) -> Token:
    return row if isinstance(row, Token) else Token(*row[:3])
