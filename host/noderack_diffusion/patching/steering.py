"""Transformer options: functions in a dict that look into the network or change what passes."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from noderack_diffusion.ops import attention
from noderack_diffusion.patching.changes import Options
from noderack_diffusion.steer import Attention, Steer

Function = Callable[..., Any]


class OptionSteer(Steer):
    """Calls the functions of ``options["patches"]`` and ``options["patches_replace"]`` where they belong.

    ``options`` also tells them where the pass is: "block", "block_index" and what the caller put there.
    """

    def __init__(self, options: Options, shape: list[int]) -> None:
        self.options = options
        self._patches: dict[str, list[Function]] = options.get("patches", {})
        self._replaced: dict[str, dict[Any, Function]] = options.get("patches_replace", {})
        options.update(original_shape=shape, transformer_index=0)

    def at(self, place: str, index: int) -> None:
        self.options["block"] = (place, index)

    def block(self, index: int) -> None:
        self.options["block_index"] = index

    def transformed(self) -> None:
        self.options["transformer_index"] += 1

    def embedding(self, emb: Tensor, width: int) -> Tensor:
        for function in self._patches.get("emb_patch", ()):
            emb = function(emb, width, self.options)
        return emb

    def entered(self, h: Tensor) -> Tensor:
        return self._each("input_block_patch", h, self.options)

    def after_skip(self, h: Tensor) -> Tensor:
        return self._each("input_block_patch_after_skip", h, self.options)

    def middle(self, h: Tensor, **seen: Tensor | None) -> Tensor:
        for function in self._patches.get("middle_block_after_patch", ()):
            h = function({"h": h, **seen, "transformer_options": self.options})["h"]
        return h

    def joining(self, h: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
        for function in self._patches.get("output_block_patch", ()):
            h, skip = function(h, skip, self.options)
        return h, skip

    def attend(self, which: int, layer: Attention, x: Tensor, context: Tensor | None) -> Tensor:
        name, told = f"attn{which}", self._told(layer, x)
        value = None
        changed = self._patches.get(f"{name}_patch", ())
        if changed:
            context = value = x if context is None else context
        for function in changed:
            x, context, value = function(x, context, value, told)
        replaced = self._replacement(name)
        override = self.options.get("optimized_attention_override")
        if replaced is None and override is None:
            out = layer(x, context, value)
        else:
            source = x if context is None else context
            q, k, v = layer.to_q(x), layer.to_k(source), layer.to_v(source if value is None else value)
            if replaced is not None:
                mixed = replaced(q, k, v, told)
            else:
                assert override is not None
                mixed = override(attention, q, k, v, layer.heads, transformer_options=self.options)
            out = layer.to_out(mixed)
        return self._each(f"{name}_output_patch", out, told)

    def between(self, x: Tensor) -> Tensor:
        if "middle_patch" not in self._patches:
            return x
        return self._each("middle_patch", x, self._context())

    def _each(self, name: str, x: Tensor, told: Options) -> Tensor:
        for function in self._patches.get(name, ()):
            x = function(x, told)
        return x

    def _replacement(self, name: str) -> Function | None:
        """The function for this very block, or the one for all blocks of its stage."""
        table = self._replaced.get(name)
        if not table:
            return None
        stage = self.options["block"]
        return table.get((*stage, self.options.get("block_index", 0))) or table.get(stage)

    def _context(self) -> Options:
        return {key: value for key, value in self.options.items() if not key.startswith("patches")}

    def _told(self, layer: Attention, x: Tensor) -> Options:
        width = layer.to_q.out_features
        return {
            **self._context(),
            "n_heads": layer.heads,
            "dim_head": width // layer.heads,
            "attn_precision": None,
        }
