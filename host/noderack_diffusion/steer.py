"""The places in a U-Net's forward pass where something may look in, or change what passes."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn


class Attention(Protocol):
    """An attention layer as it is seen from outside."""

    heads: int
    to_q: nn.Linear
    to_k: nn.Linear
    to_v: nn.Linear
    to_out: nn.Sequential

    def __call__(self, x: Tensor, context: Tensor | None = None, value: Tensor | None = None) -> Tensor:
        """Attention of x to context, whose values may come from elsewhere."""


class Steer:
    """Does nothing at any of them. One object serves one pass."""

    def at(self, place: str, index: int) -> None:
        """A stage begins: "input", "middle" or "output", counted from 0."""

    def block(self, index: int) -> None:
        """A transformer block of the stage begins."""

    def transformed(self) -> None:
        """A transformer, all its blocks, is through."""

    def embedding(self, emb: Tensor, width: int) -> Tensor:
        """The time embedding, before labels are added."""
        return emb

    def entered(self, h: Tensor) -> Tensor:
        """The state after an input stage, before it is kept for the second half."""
        return h

    def after_skip(self, h: Tensor) -> Tensor:
        """The same after it was kept."""
        return h

    def middle(self, h: Tensor, **seen: Tensor | None) -> Tensor:
        """The state between the halves, with what the network was given."""
        return h

    def joining(self, h: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
        """The second half's state and the skip that it is joined with."""
        return h, skip

    def attend(self, which: int, layer: Attention, x: Tensor, context: Tensor | None) -> Tensor:
        """Attention to itself (1) or to the text (2)."""
        return layer(x, context)

    def between(self, x: Tensor) -> Tensor:
        """A transformer block's state between its two attentions."""
        return x
