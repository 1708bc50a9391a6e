"""What packs find below a CLIP: its encoders, each with a tokenizer, by the names of their families."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from noderack_diffusion.tokens import END, START, clip_tokenizer

if TYPE_CHECKING:
    from noderack_diffusion.textenc import Clip, Tower


class Encoder:
    """One text encoder. Options hold until they are reset."""

    def __init__(self, clip: "Clip", tower: "Tower") -> None:
        self.clip, self.tower = clip, tower
        self.layer_idx: int | None = None
        self.special_tokens = {"start": START, "end": END, "pad": tower.recipe.pad}
        self.max_length = tower.positions

    @property
    def transformer(self) -> nn.Module:
        """The network, with the handle's patches on it."""
        return self.clip.network(self.tower)

    @property
    def num_layers(self) -> int:
        layers: int = self.clip.network(self.tower).config.layers
        return layers

    def set_clip_options(self, options: Mapping[str, Any]) -> None:
        """``layer``: which one is read, counted from the end."""
        self.layer_idx = options.get("layer", self.layer_idx)

    def reset_clip_options(self) -> None:
        self.layer_idx = None

    def encode_token_weights(self, token_weight_pairs: Sequence[Sequence[Any]]) -> tuple[Tensor, Tensor]:
        """Chunks of (id or vector, weight) -> ``[1, 77 k, width]``, and the pooled vector."""
        from noderack_diffusion.patching.text import as_tokens

        clip = self.clip if self.layer_idx is None else self.clip.with_layer(self.layer_idx)
        return clip.encode_tower(self.tower, as_tokens({"": token_weight_pairs})[""])


class Large(Encoder):
    """OpenCLIP's encoder of SDXL."""


class Encoders:
    """The encoders of a CLIP, as ``clip_l``, ``clip_g`` or ``clip_h``; options go to all of them."""

    def __init__(self, clip: "Clip") -> None:
        self.clip = clip
        self._each: dict[str, Encoder] = {}
        for tower in clip.towers:
            kind = Large if tower.recipe.name == "g" else Encoder
            self._each[f"clip_{tower.recipe.name}"] = kind(clip, tower)
        self.tokenizers = TOKENIZERS.get(type(self), Tokenizers)(clip)
        self.dtypes = {tower.live.dtype for tower in clip.towers}

    def __getattr__(self, name: str) -> Any:
        each = self.__dict__.get("_each", {})
        if name in each:
            return each[name]
        raise AttributeError(f"these text encoders have no {name}; they have {', '.join(each)}")

    @property
    def clip_name(self) -> str:
        return next(iter(self._each)).removeprefix("clip_")

    def clip_layer(self, layer_idx: int | None) -> None:
        self.set_clip_options({"layer": layer_idx})

    def set_clip_options(self, options: Mapping[str, Any]) -> None:
        for encoder in self._each.values():
            encoder.set_clip_options(options)

    def reset_clip_options(self) -> None:
        for encoder in self._each.values():
            encoder.reset_clip_options()

    def encode_token_weights(
        self, token_weight_pairs: Mapping[str, Sequence[Sequence[Any]]]
    ) -> tuple[Tensor, Tensor | None]:
        """All encoders side by side, and the pooled vector."""
        from noderack_diffusion.patching.text import as_tokens

        layer = next(iter(self._each.values())).layer_idx
        clip = self.clip if layer is None else self.clip.with_layer(layer)
        return clip.encode_tokens(as_tokens(token_weight_pairs))

    def modules(self) -> list[nn.Module]:
        """All modules of all networks."""
        return [module for encoder in self._each.values() for module in encoder.transformer.modules()]

    def named_modules(self) -> list[tuple[str, nn.Module]]:
        """The same, by their names."""
        return [
            (f"{name}.transformer.{path}", module)
            for name, encoder in self._each.items()
            for path, module in encoder.transformer.named_modules()
        ]

    def state_dict(self) -> dict[str, Tensor]:
        """Weights by name."""
        return self.clip.get_sd()

    def to(self, *_: Any, **__: Any) -> "Encoders":
        """Weights are placed by the core."""
        return self


class PlainEncoders(Encoders):
    """Of a family with one encoder."""


class BothEncoders(Encoders):
    """SDXL's two."""


class RefinerEncoders(Encoders):
    """The one of SDXL's refiner."""


class TowerTokenizer:
    """The tokenizer of one encoder."""

    start_token, end_token = START, END
    pad_with_end = True
    embedding_identifier = "embedding:"

    def __init__(self, clip: "Clip", tower: "Tower") -> None:
        self.clip, self.tower = clip, tower
        self.tokenizer = clip_tokenizer()
        self.max_length, self.embedding_size = tower.positions, tower.width
        self.pad_token = tower.recipe.pad
        self.pad_with_end = self.pad_token == END
        self.embedding_key = f"clip_{tower.recipe.name}"

    def tokenize_with_weights(self, text: str, return_word_ids: bool = False, **told: Any) -> Any:
        """Chunks of (id or vector, weight[, number of the word])."""
        found = self.clip.tokenize(text, return_word_ids, **told)
        return found[self.tower.recipe.name]

    def untokenize(self, token_weight_pair: Sequence[Any]) -> list[tuple[Any, str]]:
        """Each with its text."""
        return [(pair, self.tokenizer.text([pair[0]])) for pair in token_weight_pair]

    def state_dict(self) -> dict[str, Any]:
        return {}


class Tokenizers:
    """The tokenizers of a CLIP, as ``clip_l`` and so on."""

    def __init__(self, clip: "Clip") -> None:
        self.clip = clip
        for tower in clip.towers:
            setattr(self, f"clip_{tower.recipe.name}", TowerTokenizer(clip, tower))

    def tokenize_with_weights(self, text: str, return_word_ids: bool = False, **told: Any) -> Any:
        """By encoder: chunks of (id or vector, weight[, number of the word])."""
        return self.clip.tokenize(text, return_word_ids, **told)

    def untokenize(self, token_weight_pair: Sequence[Any]) -> list[tuple[Any, str]]:
        """Each with its text."""
        return TowerTokenizer(self.clip, self.clip.towers[0]).untokenize(token_weight_pair)

    def state_dict(self) -> dict[str, Any]:
        return {}


class BothTokenizers(Tokenizers):
    """SDXL's."""


KINDS: dict[str, type[Encoders]] = {"gl": BothEncoders, "g": RefinerEncoders, "l": PlainEncoders}
"""By the names of the encoders; any other set is as one of a single encoder."""
TOKENIZERS: dict[type, type[Tokenizers]] = {BothEncoders: BothTokenizers, RefinerEncoders: BothTokenizers}
