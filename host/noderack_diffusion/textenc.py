"""The handle that a CLIP socket carries: one or more text towers, the patches on them, and how a prompt is
read.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from noderack_diffusion import activations
from noderack_diffusion.clip import ClipConfig, ClipOutput, ClipText
from noderack_diffusion.errors import UnknownNameError
from noderack_diffusion.patch import PatchSet
from noderack_diffusion.patching.text import Spoken
from noderack_diffusion.prompt import Token, tokenize
from noderack_diffusion.spec import TowerRecipe
from noderack_diffusion.tokens import END, START, clip_tokenizer
from noderack_diffusion.weighting import EVENING, WAYS
from noderack_diffusion.weights import Live

Chunks = Sequence[Sequence[Token]]
Embeddings = Callable[[str, str, int], "Tensor | None"]
"""(name, tower, width) -> the vectors of a textual inversion, or None if there is none of that name."""


class HookedText(Protocol):
    """Changes of a text encoder's weights that follow a run."""

    def clip_patches(self, target: "Clip", percent: float = 0.0) -> PatchSet:
        """What is on the weights for a text that is used from ``percent`` (0..1) of the run on."""

    def spans(self) -> list[tuple[float, float]]:
        """The parts of a run in which nothing changes."""


@dataclass(frozen=True, eq=False)
class Tower:
    """One text tower and how its family uses it."""

    recipe: TowerRecipe
    live: Live
    width: int
    positions: int


@dataclass(frozen=True, eq=False)
class Clip(Spoken):
    """Text encoders. Handles are values: ``with_patches`` and ``with_layer`` give another one."""

    towers: tuple[Tower, ...]
    pooled_from: int = 0
    patches: PatchSet = field(default_factory=PatchSet)
    layer: int | None = None
    embeddings: Embeddings | None = None
    hooks: HookedText | None = None
    scheduled: bool = False
    """Whether a text is encoded anew for each part of a run in which the hooks' strength differs."""
    hooks_to_conds: bool = True
    weighting: str = "comfy"
    """What weights in a prompt do: a key of ``weighting.WAYS``."""
    evening: str = "none"
    """What is done to them before: a key of ``weighting.EVENING``."""

    @property
    def key(self) -> str:
        """Names what it computes: files, patches, layer."""
        return ":".join(
            [
                *(t.live.key for t in self.towers),
                self.patches.key,
                str(self.layer),
                self.weighting,
                self.evening,
            ]
        )

    def with_hooks(
        self, hooks: HookedText | None, *, to_conds: bool = True, scheduled: bool = False
    ) -> "Clip":
        """These encoders under changes of weights that go on (``to_conds``) with what is encoded."""
        return replace(self, hooks=hooks, hooks_to_conds=to_conds, scheduled=scheduled)

    def conditioning(self, tokens: Mapping[str, Chunks], **told: Any) -> list[list[Any]]:
        """A CONDITIONING: an entry with the text, its pooled vector and what else is ``told``; one for each
        part of the run where hooks of these encoders are scheduled.
        """
        if self.hooks is None:
            tensor, pooled = self.encode_tokens(tokens)
            return [[tensor, {"pooled_output": pooled, **told}]]
        beside = {**told, "hooks": self.hooks} if self.hooks_to_conds else told
        if not self.scheduled:
            tensor, pooled = self.with_patches(self.hooks.clip_patches(self)).encode_tokens(tokens)
            return [[tensor, {"pooled_output": pooled, **beside}]]
        made = []
        for start, end in self.hooks.spans():
            tensor, pooled = self.with_patches(self.hooks.clip_patches(self, start)).encode_tokens(tokens)
            part = {"clip_start_percent": start, "clip_end_percent": end}
            made.append([tensor, {"pooled_output": pooled, **beside, **part}])
        return made

    def with_patches(self, patches: PatchSet) -> "Clip":
        """These encoders with ``patches`` (named ``<tower>.<parameter>``) after those they have."""
        return replace(self, patches=self.patches | patches)

    def with_layer(self, layer: int) -> "Clip":
        """These encoders, read at ``layer`` (-1 the last, -2 the one before ...): "clip skip"."""
        return replace(self, layer=layer)

    def with_weighting(self, way: str, evening: str = "none") -> "Clip":
        """These encoders, where weights in a prompt do something else. Raises UnknownNameError."""
        for kind, name, known in (("weighting", way, WAYS), ("normalisation", evening, EVENING)):
            if name not in known:
                raise UnknownNameError(f"{kind} of prompts", name, tuple(known))
        return replace(self, weighting=way, evening=evening)

    def with_embeddings(self, embeddings: Embeddings | None) -> "Clip":
        """These encoders, with textual inversions to be found by ``embedding:name``."""
        return replace(self, embeddings=embeddings)

    def network(self, tower: Tower) -> ClipText:
        """A tower's network with this handle's patches on it."""
        return cast(ClipText, tower.live.use(self._on(tower)))

    def _on(self, tower: Tower) -> PatchSet:
        """What is put on a tower's weights."""
        return self.patches.below(f"{tower.recipe.name}.")

    def tokenize(
        self, text: str, return_word_ids: bool = False, *, weights: bool = True, **_: Any
    ) -> dict[str, list[list[Any]]]:
        """The chunks of a prompt, by tower name: tokens, which are pairs; triples if their groups are asked
        for as well.
        """
        found: dict[str, list[list[Any]]] = {
            t.recipe.name: self._chunks(t, text, weights) for t in self.towers
        }
        if not return_word_ids:
            return found
        return {
            name: [[(t.value, t.weight, t.group) for t in chunk] for chunk in chunks]
            for name, chunks in found.items()
        }

    def _chunks(self, tower: Tower, text: str, weights: bool) -> list[list[Token]]:
        find = self.embeddings
        lookup = None if find is None else lambda name: find(name, tower.recipe.name, tower.width)
        pad, length = tower.recipe.pad, tower.positions
        return tokenize(text, clip_tokenizer(), lookup, pad=pad, length=length, weights=weights)

    def encode(self, text: str) -> tuple[Tensor, Tensor | None]:
        """A prompt as ``[1, 77 k, D]`` for the network, and its pooled vector ``[1, P]``, both fp32 on the
        CPU.
        """
        return self.encode_tokens(self.tokenize(text))

    def encode_tokens(self, tokens: Mapping[str, Chunks]) -> tuple[Tensor, Tensor | None]:
        """As ``encode``, from the chunks of each tower (they may come from different texts)."""
        outputs = [self.encode_tower(tower, tokens[tower.recipe.name]) for tower in self.towers]
        length = min(hidden.shape[1] for hidden, _ in outputs)
        joined = torch.cat([hidden[:, :length] for hidden, _ in outputs], dim=-1)
        return joined, outputs[self.pooled_from][1]

    @torch.no_grad()
    def encode_tower(self, tower: Tower, chunks: Chunks) -> tuple[Tensor, Tensor]:
        """What one tower makes of its chunks: ``[1, 77 k, width]``, and its pooled vector."""
        recipe, pooled = tower.recipe, list[Tensor]()

        def run(rows: Chunks, hidden: Tensor | None) -> Tensor:
            out = self._run(tower, rows, hidden)
            pooled.append(out.pooled[:1].float().cpu())
            return out.hidden.float().cpu()

        if not any(token.weight != 1.0 for chunk in chunks for token in chunk):
            return run(chunks, None).flatten(0, 1)[None], pooled[0]
        even = EVENING[self.evening](chunks)
        states = WAYS[self.weighting](even, run, empty(recipe.pad, len(chunks[0])))
        said = pooled[0] if self.weighting == "comfy" else self._pooled(tower, chunks)
        return states.flatten(0, 1)[None], said

    def _pooled(self, tower: Tower, chunks: Chunks) -> Tensor:
        """The pooled vector of a prompt, which no weights change."""
        return self._run(tower, chunks[:1], None).pooled.float().cpu()

    def _run(self, tower: Tower, rows: Chunks, hidden: Tensor | None) -> ClipOutput:
        recipe, live = tower.recipe, tower.live
        ends = torch.tensor([_end(row) for row in rows])
        layer = recipe.layer if self.layer is None else self.layer

        def run(network: nn.Module) -> ClipOutput:
            text = cast(ClipText, network)
            vectors = torch.stack([_vectors(text, row, recipe.pad, live.device) for row in rows])
            out: ClipOutput = text(
                vectors, end=ends, layer=layer, final_norm=recipe.final_norm, hidden=hidden
            )
            return out

        if "config" not in live.shared:
            live.shared["config"] = self.network(tower).config
        need = activations.tower(cast(ClipConfig, live.shared["config"]), len(rows), len(rows[0]))
        return live.run(self._on(tower), need * live.dtype.itemsize, run)


def empty(pad: int, length: int) -> list[Token]:
    """The chunk of an empty prompt."""
    return [Token(START), Token(END), *[Token(pad)] * (length - 2)]


def _vectors(network: ClipText, row: Sequence[Token], pad: int, device: torch.device) -> Tensor:
    """The vectors of one chunk; an embedding of another width is left out and padding added at the end."""
    width = network.config.width
    fits = [t.value for t in row if not isinstance(t.value, Tensor) or t.value.shape[-1] == width]
    fits += [pad] * (len(row) - len(fits))
    ids = torch.tensor([pad if isinstance(v, Tensor) else v for v in fits], device=device)
    vectors = network.embed(ids)
    for place, value in enumerate(fits):
        if isinstance(value, Tensor):
            vectors[place] = value.to(vectors)
    return vectors


def _end(row: Sequence[Token]) -> int:
    """The place of the first end token."""
    places = (i for i, token in enumerate(row) if not isinstance(token.value, Tensor) and token.value == END)
    return next(places, len(row) - 1)
