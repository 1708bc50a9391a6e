"""The built-in nodes: a pack like any other, found by its entry point.

Importing it makes the classes and nothing else: torch, Pillow and the core come in when a node runs.
"""

from typing import Any

from noderack_nodes import (
    adapters,
    animation,
    attention,
    compositing,
    conditioning,
    control,
    corrections,
    encode,
    filters,
    fitting,
    formula,
    guidance,
    guided_pictures,
    hook_conditioning,
    hook_keyframes,
    hooks,
    image,
    image_edit,
    image_effects,
    image_size,
    latent,
    latent_batch,
    latent_files,
    latent_operations,
    loaders,
    logic,
    mask,
    merging,
    persons,
    pieces,
    primitive,
    samplers,
    sampling,
    sampling_custom,
    saving,
    schedules,
    speed,
    strings,
    tiles,
    weighting,
)

_SUBJECTS = (
    loaders,
    adapters,
    encode,
    weighting,
    conditioning,
    guided_pictures,
    persons,
    control,
    sampling,
    sampling_custom,
    samplers,
    schedules,
    guidance,
    hooks,
    hook_keyframes,
    hook_conditioning,
    corrections,
    attention,
    speed,
    merging,
    latent,
    latent_batch,
    latent_files,
    latent_operations,
    pieces,
    tiles,
    image,
    image_edit,
    image_size,
    filters,
    image_effects,
    compositing,
    animation,
    mask,
    primitive,
    strings,
    logic,
    formula,
    fitting,
    saving,
)

NODE_CLASS_MAPPINGS: dict[str, type[Any]] = {
    name: node for subject in _SUBJECTS for name, node in subject.NODES.items()
}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    name: shown for subject in _SUBJECTS for name, shown in subject.NAMES.items()
}
