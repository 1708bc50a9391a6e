"""How an adapter file met a model, in names and in a sentence."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

NEAREST_FOR = 5
_BASES = ("modelspec.architecture", "ss_base_model_version")
"""Metadata that tells what an adapter was trained on."""
_MARKS: Mapping[str, str] = {
    "double_blocks": "Flux",
    "single_transformer_blocks": "Flux",
    "joint_blocks": "Stable Diffusion 3",
    "transformer.transformer_blocks": "a transformer such as Flux, Stable Diffusion 3 or Qwen-Image",
    "blocks.0.self_attn": "Wan",
    "blocks_0_self_attn": "Wan",
    "lora_te2_": "SDXL",
    "text_encoder_2.": "SDXL",
}
"""What stands in the names of changes for models of other families."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """How an adapter met a model."""

    file: str
    matched: tuple[str, ...] = ()
    """Stems that found their parameter."""
    unmatched: Mapping[str, str] | None = None
    """Stems that found none, each with the nearest name that the model has ("" if nothing is near)."""
    mismatched: Mapping[str, str] | None = None
    """Stems whose tensors are broken or do not fit the parameter's shape, with the reason."""
    zero: tuple[str, ...] = ()
    """Stems that change nothing, because a factor is all zero."""
    elsewhere: int = 0
    """How many stems belong to the other part (text encoder, or network)."""
    algorithms: tuple[str, ...] = ()
    made_for: str = ""
    """What the file says that it was trained on."""
    beside: int = 0
    """How many changes are applied beside their layer when it runs, not in its weight."""
    strange: tuple[str, ...] = ()
    """Tensors of the file that are no part of any change that is known here."""

    def sentence(self) -> str:
        """The whole of it in one sentence."""
        all_of = len({*self.matched, *(self.unmatched or ()), *(self.mismatched or ())})
        said = [f"{self.file}: {len(self.matched)} of {all_of} changes apply"]
        if self.beside:
            said.append(f"{self.beside} beside their layers, the weights stay as they are")
        if self.zero:
            said.append(f"{len(self.zero)} are all zero and change nothing")
        if self.unmatched:
            stem, near = next(iter(self.unmatched.items()))
            said.append(
                f"{len(self.unmatched)} name nothing here (as {stem!r}"
                + (f", near {near!r})" if near else ")")
            )
        if self.made_for and not self.matched:
            said.append(f"it was made for {self.made_for}")
        if self.mismatched:
            said.append(f"{len(self.mismatched)} do not fit ({next(iter(self.mismatched.values()))})")
        if self.strange:
            said.append(f"{len(self.strange)} tensors are of no known kind (as {self.strange[0]!r})")
        return "; ".join(said)


def made_for(metadata: Mapping[str, str], lost: Iterable[str]) -> str:
    """What an adapter was trained on: what its metadata says, else what its names look like."""
    told = next((metadata[name] for name in _BASES if metadata.get(name)), None)
    names = "\n".join(lost)
    return told or next((family for mark, family in _MARKS.items() if mark in names), "")


def nearest(lost: Sequence[str], known: Iterable[str]) -> dict[str, str]:
    """For the first names that were not found, the name that is most like each."""
    found = dict.fromkeys(lost, "")
    for stem in lost[:NEAREST_FOR]:
        found[stem] = next(iter(difflib.get_close_matches(stem, known, n=1, cutoff=0.6)), "")
    return found
