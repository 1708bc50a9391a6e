"""Model files that a workflow names: on nodes, at the root, in widgets, inside prompts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from noderack_host.workflow.graph import Node, mapping, sequence
from noderack_host.workflow.scope import flatten, with_components

if TYPE_CHECKING:
    from noderack_host.workflow.model import Workflow

_SUFFIXES = (
    *(".safetensors", ".ckpt", ".pth", ".pt", ".pt2", ".bin", ".sft", ".onnx", ".gguf", ".pkl", ".engine"),
    *(".torchscript", ".patch"),
)
_EMBEDDING = re.compile(r"embedding:([^\s,:()\[\]{}<>|]+)", re.IGNORECASE)
_LORA_TAG = re.compile(r"<lora:([^:<>\n]+)(?::[^<>\n]*)?>", re.IGNORECASE)
_READS_LORA_TAGS = re.compile(
    r"lora ?tag|loratag|wildcard|^PC(Lazy|TextEncode|ScheduleLoRA)|Power Prompt|^easy |^ttN |PromptControl",
    re.IGNORECASE,
)

# Folder by the name of the input, which the field uses alike in core and packs. First match counts.
_FOLDERS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), folder)
    for pattern, folder in (
        (r"^(base_|refiner_)?ckpt(_name|_path)?\d*$|checkpoint", "checkpoints"),
        (r"lora", "loras"),
        (r"^clip_vision|clipvision", "clip_vision"),
        (r"vae", "vae"),
        (r"^(unet|diffusion)(_name|_model)?$|unet_name", "diffusion_models"),
        (r"^clip_name\d?$|text_encoder|^t5_?name$|^clip_l|^clip_g", "text_encoders"),
        (r"control_?net|^cn_name|control_net_name", "controlnet"),
        (r"style_model", "style_models"),
        (r"gligen", "gligen"),
        (r"hypernetwork", "hypernetworks"),
        (r"upscale_?model", "upscale_models"),
        (r"ipadapter", "ipadapter"),
        (r"embedding", "embeddings"),
    )
)
_FOLDER_OF_TYPE: Mapping[str, str] = {
    "UpscaleModelLoader": "upscale_models",
    "CLIPVisionLoader": "clip_vision",
    "PhotoMakerLoader": "photomaker",
    "ModelPatchLoader": "model_patches",
    "AudioEncoderLoader": "audio_encoders",
    "LatentUpscaleModelLoader": "latent_upscale_models",
    "IPAdapterModelLoader": "ipadapter",
    "UnetLoaderGGUF": "diffusion_models",
    "CLIPLoaderGGUF": "text_encoders",
    "DualCLIPLoaderGGUF": "text_encoders",
    "UltralyticsDetectorProvider": "ultralytics",
    "SAMLoader": "sams",
    "ADE_AnimateDiffLoaderWithContext": "animatediff_models",
    "ADE_LoadAnimateDiffModel": "animatediff_models",
    "InstantIDModelLoader": "instantid",
    "PulidModelLoader": "pulid",
    "ImageOnlyCheckpointLoader": "checkpoints",
    "CheckpointLoaderSimple": "checkpoints",
    "unCLIPCheckpointLoader": "checkpoints",
    "CheckpointLoader": "checkpoints",
    "LoraLoader": "loras",
    "LoraLoaderModelOnly": "loras",
    "VAELoader": "vae",
    "UNETLoader": "diffusion_models",
    "CLIPLoader": "text_encoders",
    "DualCLIPLoader": "text_encoders",
    "TripleCLIPLoader": "text_encoders",
    "QuadrupleCLIPLoader": "text_encoders",
    "ControlNetLoader": "controlnet",
    "DiffControlNetLoader": "controlnet",
    "StyleModelLoader": "style_models",
    "GLIGENLoader": "gligen",
    "HypernetworkLoader": "hypernetworks",
    "LoadBackgroundRemovalModel": "background_removal",
    "FrameInterpolationModelLoader": "frame_interpolation",
    "LoadMoGeModel": "geometry_estimation",
    "LoadDA3Model": "geometry_estimation",
    "LoadMediaPipeFaceLandmarker": "detection",
}
# Loaders of packs whose values have no names: what their own name says, where it says one thing only.
_FOLDER_OF_LOADER: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), folder)
    for pattern, folder in (
        (r"lora", "loras"),
        (r"control_?net", "controlnet"),
        (r"vae", "vae"),
        (r"text_?encoder|t5|gemma", "text_encoders"),
        (r"checkpoint", "checkpoints"),
        (r"upscale", "upscale_models"),
        (r"transformer|unet|dit", "diffusion_models"),
    )
)
# First widget of core loaders, for graphs whose values have no names.
_INPUT_OF_TYPE: Mapping[str, tuple[str, ...]] = {
    "CheckpointLoaderSimple": ("ckpt_name",),
    "CheckpointLoader": ("config_name", "ckpt_name"),
    "unCLIPCheckpointLoader": ("ckpt_name",),
    "ImageOnlyCheckpointLoader": ("ckpt_name",),
    "LoraLoader": ("lora_name",),
    "LoraLoaderModelOnly": ("lora_name",),
    "VAELoader": ("vae_name",),
    "UNETLoader": ("unet_name",),
    "CLIPLoader": ("clip_name",),
    "DualCLIPLoader": ("clip_name1", "clip_name2"),
    "TripleCLIPLoader": ("clip_name1", "clip_name2", "clip_name3"),
    "QuadrupleCLIPLoader": ("clip_name1", "clip_name2", "clip_name3", "clip_name4"),
    "ControlNetLoader": ("control_net_name",),
    "DiffControlNetLoader": ("control_net_name",),
    "StyleModelLoader": ("style_model_name",),
    "CLIPVisionLoader": ("clip_name",),
    "UpscaleModelLoader": ("model_name",),
    "GLIGENLoader": ("gligen_name",),
    "HypernetworkLoader": ("hypernetwork_name",),
}


@dataclass(frozen=True, slots=True)
class ModelUse:
    """One mention of a model file. `name` is as written (it may hold a folder, with `/` or `\\`)."""

    name: str
    folder: str | None = None
    url: str | None = None
    sha256: str | None = None
    node_id: str | None = None
    input: str | None = None


def model_uses(workflow: Workflow, *, inactive: bool = False) -> tuple[ModelUse, ...]:
    known = {use.name: use for use in _listed(mapping(workflow.ui or {}), None)}
    found: list[ModelUse] = []
    seen_on_nodes: set[str] = set()
    for node_id, kind, values, listed in _nodes(workflow, inactive):
        here = {use.name: use for use in _listed({"models": listed}, node_id)}
        known.update(here)
        for name, value in values:
            for use in _mentions(kind, node_id, name, value):
                found.append(_with_address(use, here, known))
                seen_on_nodes.add(_base(use.name))
        found.extend(use for use in here.values() if _base(use.name) not in seen_on_nodes)
    rest = [use for use in known.values() if use.node_id is None and _base(use.name) not in seen_on_nodes]
    return tuple(dict.fromkeys([*found, *rest]))


def _nodes(
    workflow: Workflow, inactive: bool
) -> Iterator[tuple[str, str, list[tuple[str | None, Any]], Any]]:
    if workflow.ui is not None:
        document = workflow.document()
        _, placed = flatten(document, {}, inactive=inactive)
        for place in with_components(placed, document):
            values = [*_named(place.node), *_set_from_outside(place)]
            yield place.id, place.node.type, values, place.node.properties.get("models")
        return
    for key, raw in (workflow.api or {}).items():
        node = mapping(raw)
        kind = node.get("class_type")
        if isinstance(kind, str):
            yield str(key), kind, list(mapping(node.get("inputs")).items()), None


def _set_from_outside(place: Any) -> Iterator[tuple[str | None, Any]]:
    from noderack_host.workflow.resolve import Literal, resolve

    yield from place.scope.overrides.get(place.node.id, {}).items()
    for at, slot in enumerate(place.node.inputs):
        if slot.widget and slot.link is not None:
            found = resolve(place.scope, place.node, at)
            if isinstance(found, Literal):
                yield slot.widget, found.value


def _named(node: Node) -> Iterator[tuple[str | None, Any]]:
    """Saved values with the names that the file itself, or a core loader's fixed order, gives them."""
    from noderack_host.workflow.widgets import saved_values

    found = saved_values(node, None).found
    if found:
        yield from found.items()
        return
    names = _INPUT_OF_TYPE.get(node.type, ())
    for at, value in enumerate(node.values if isinstance(node.values, list) else ()):
        yield (names[at] if at < len(names) else None), value


def _mentions(kind: str, node_id: str, name: str | None, value: Any) -> Iterator[ModelUse]:
    if isinstance(value, Mapping):
        for inner_name, inner in value.items():
            if isinstance(inner, str):
                yield from _mentions(kind, node_id, str(inner_name), inner)
        return
    if not isinstance(value, str) or not value:
        return
    if is_model_name(value):
        yield ModelUse(value, folder_of(kind, name), node_id=node_id, input=name)
        return
    for match in _EMBEDDING.finditer(value):
        yield ModelUse(match[1].rstrip("."), "embeddings", node_id=node_id, input=name)
    if _READS_LORA_TAGS.search(kind):
        for match in _LORA_TAG.finditer(value):
            yield ModelUse(match[1], "loras", node_id=node_id, input=name)


def is_model_name(value: str) -> bool:
    """Whether a widget value is the name of a model file: a known suffix, one line, no address, no prompt."""
    if not value.lower().endswith(_SUFFIXES) or len(value) >= 260:
        return False
    return not any(mark in value for mark in ("\n", "://", "embedding:", "<lora:"))


def folder_of(kind: str, name: str | None) -> str | None:
    """The model folder that an input chooses from: by type, input name, or what a loader's name says."""
    if kind in _FOLDER_OF_TYPE:
        return _FOLDER_OF_TYPE[kind]
    if name is not None:
        return next((folder for pattern, folder in _FOLDERS if pattern.search(name)), None)
    if "load" not in kind.lower() or kind.lower().startswith("efficient"):
        return None
    said = [folder for pattern, folder in _FOLDER_OF_LOADER if pattern.search(kind)]
    return said[0] if len(said) == 1 else None


def _listed(holder: Mapping[str, Any], node_id: str | None) -> Iterator[ModelUse]:
    for raw in sequence(holder.get("models")):
        entry = mapping(raw)
        name = entry.get("name")
        if isinstance(name, str) and name:
            yield ModelUse(
                name=name,
                folder=_text(entry.get("directory")),
                url=_text(entry.get("url")),
                sha256=_sha256(entry),
                node_id=node_id,
            )


def _sha256(entry: Mapping[str, Any]) -> str | None:
    kind, value = str(entry.get("hash_type", "")).lower(), _text(entry.get("hash"))
    return value.lower() if value and kind in ("sha256", "") and len(value) == 64 else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _base(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _with_address(use: ModelUse, here: Mapping[str, ModelUse], known: Mapping[str, ModelUse]) -> ModelUse:
    by_base = {_base(name): listed for name, listed in {**known, **here}.items()}
    listed = here.get(use.name) or known.get(use.name) or by_base.get(_base(use.name))
    if listed is None:
        return use
    return replace(use, folder=listed.folder or use.folder, url=listed.url, sha256=listed.sha256)
