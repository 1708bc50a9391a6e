"""ControlLoRAs: a ControlNet whose body is that of the model it steers, changed by low-rank matrices."""

from dataclasses import dataclass, field
from typing import Any, cast

import torch

from noderack_diffusion.adapters import Lora
from noderack_diffusion.control import Control, ControlNet
from noderack_diffusion.errors import MismatchError
from noderack_diffusion.patch import Patch, PatchSet
from noderack_diffusion.store import Store
from noderack_diffusion.weights import Live, Piece

MARK = "lora_controlnet"
_HINT = "input_hint_block.0.weight"


@dataclass(frozen=True, eq=False)
class ControlLora(Control):
    """The handle: a file, of which a network is made for each model that it steers."""

    store: Store = field(kw_only=True)

    def weights(self, base: Any) -> tuple[Live, PatchSet]:
        """The model's weights as it has them, with the file's on top."""
        if base is None or base.spec.unet is None:
            raise MismatchError("a ControlLoRA takes most of its weights from the model that it steers")
        shared, key = base.live.shared, f"control:{self.store.key}"
        if key not in shared:
            shared[key] = self._made(base)
        live = cast(Live, shared[key])
        names = live.pieces.keys() - self.store.header.keys()
        changed = base.patches | base.changes.weights
        own = (p for p in changed.patches if p.parameter in names)
        return live, PatchSet((*own, *self._low_rank(live)))

    def _made(self, base: Any) -> Live:
        """Every weight of the ControlNet: the file's, and the model's where the file has none."""
        config, hint = base.spec.unet, self.store.header[_HINT].shape[1]
        with torch.device("meta"):
            wanted = dict(ControlNet(config, hint).named_parameters())
        pieces = {name: Piece(self.store, name) for name in wanted if name in self.store.header}
        pieces |= {n: base.live.pieces[n] for n in wanted if n not in pieces and n in base.live.pieces}
        return Live(
            lambda: ControlNet(config, hint),
            pieces,
            key=f"{self.store.key}:{base.live.key}",
            dtype=base.live.dtype,
            device=base.live.device,
        )

    def _low_rank(self, live: Live) -> list[Patch]:
        found = []
        for name in self.store.header:
            stem = name.removesuffix(".up")
            if stem != name and f"{stem}.weight" in live.pieces:
                parts = {part: self.store.tensor(f"{stem}.{part}") for part in ("up", "down")}
                found.append(Patch(f"{stem}.weight", Lora(parts, 1.0), f"{self.store.key}:{stem}"))
        return found
