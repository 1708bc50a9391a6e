"""What adapter files call the parameters of a model: every known spelling of each, in one dictionary.

Underscored names cannot be parsed back (``to_out_0``, ``proj_in``), so they never are: all spellings of the
parameters that a model has are generated, and the file's names looked up.
"""

from collections.abc import Iterable, Iterator, Mapping

from noderack_diffusion import names
from noderack_diffusion.unet import UNetConfig

TOWER_ALIASES: Mapping[str, tuple[str, ...]] = {
    "l": ("lora_te_", "lora_te1_"),
    "g": ("lora_te2_", "lora_prior_te_"),
    "h": ("lora_te_", "lora_te1_"),
}
_DOTTED_TOWERS: Mapping[str, tuple[str, ...]] = {
    "l": ("text_encoder.", "text_encoders.clip_l.transformer."),
    "g": ("text_encoder_2.", "text_encoders.clip_g.transformer."),
    "h": ("text_encoder.", "text_encoders.clip_h.transformer."),
}
_FLAT = ("lora_unet_", "oft_unet_", "lycoris_", "lora_transformer_")
"""What stands before a module's name with underscores."""
TEXT_MARKS = ("lora_te", "text_encoder", "text_model.", "lora_prior_te_", "clip_l.", "clip_g.")
"""How names of text parameters begin, whatever the model."""


def is_text(stem: str) -> bool:
    """Whether a module's name is one of a text encoder, whatever the model."""
    return stem.removeprefix("base_model.model.").startswith(TEXT_MARKS)


def unet_aliases(config: UNetConfig, parameters: Iterable[str]) -> dict[str, str]:
    """Spelling -> parameter, for all parameters of a U-Net."""
    there = set(parameters)
    found: dict[str, str] = {}
    for name in there:
        path = name.removesuffix(".weight")
        found[f"diffusion_model.{path}"] = name
        if name.endswith(".weight"):
            found.update((f"{prefix}{_flat(path)}", name) for prefix in ("lora_unet_", "oft_unet_"))
            found[path] = name
    for theirs, ours in names.unet_modules(config):
        if f"{ours}.weight" in there:
            found.update((spelling, f"{ours}.weight") for spelling in _diffusers(theirs))
    return found


def _flat(path: str) -> str:
    return path.replace(".", "_")


def _diffusers(path: str) -> Iterator[str]:
    for one in _also(path):
        yield from (f"{prefix}{_flat(one)}" for prefix in _FLAT)
        old = one.replace(".to_", ".processor.to_").replace("to_out.0", "to_out")
        for prefix in ("", "unet.", "base_model.model.", "unet.base_model.model."):
            yield from (f"{prefix}{spelling}" for spelling in (one, old))


def _also(path: str) -> Iterator[str]:
    yield path
    if path.startswith("add_embedding"):
        yield path.replace("add_embedding", "class_embedding")


def tower_aliases(tower: str, parameters: Iterable[str], *, alone: bool) -> dict[str, str]:
    """Spelling -> ``<tower>.<parameter>``, for one text tower; ``alone`` if the model has no other."""
    flat, dotted = TOWER_ALIASES.get(tower, ()), _DOTTED_TOWERS.get(tower, ())
    if alone:
        flat, dotted = (*flat, "lora_te_", "lora_te1_"), (*dotted, "text_encoder.", "base_model.model.", "")
    found: dict[str, str] = {}
    for name in parameters:
        path, target = name.removesuffix(".weight"), f"{tower}.{name}"
        found.update((prefix + path, target) for prefix in dotted)
        if name.endswith(".weight"):
            found.update((prefix + _flat(path), target) for prefix in flat)
    return found
