"""Inputs and outputs of the schema form (V3): one class a socket type, made from a table.

Source of names and wire forms: facts, host contract 1.7.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any

# Class name to socket type; those whose type is not simply their name in capitals.
SOCKETS = {
    "Conditioning": "CONDITIONING",
    "ControlNet": "CONTROL_NET",
    "ClipVision": "CLIP_VISION",
    "ClipVisionOutput": "CLIP_VISION_OUTPUT",
    "StyleModel": "STYLE_MODEL",
    "UpscaleModel": "UPSCALE_MODEL",
    "LatentUpscaleModel": "LATENT_UPSCALE_MODEL",
    "LoraModel": "LORA_MODEL",
    "LossMap": "LOSS_MAP",
    "HookKeyframes": "HOOK_KEYFRAMES",
    "TimestepsRange": "TIMESTEPS_RANGE",
    "LatentOperation": "LATENT_OPERATION",
    "FlowControl": "FLOW_CONTROL",
    "FaceAnalysis": "FACE_ANALYSIS",
    "ModelPatch": "MODEL_PATCH",
    "WanCameraEmbedding": "WAN_CAMERA_EMBEDDING",
    "AudioEncoder": "AUDIO_ENCODER",
    "AudioEncoderOutput": "AUDIO_ENCODER_OUTPUT",
    "Load3DCamera": "LOAD3D_CAMERA",
    "BoundingBox": "BOUNDING_BOX",
    "AnyType": "*",
    "Load3D": "LOAD_3D",
    "Load3DAnimation": "LOAD_3D_ANIMATION",
}
SAME = [
    "Image",
    "Mask",
    "Latent",
    "Sampler",
    "Sigmas",
    "Noise",
    "Guider",
    "Clip",
    "Vae",
    "Model",
    "Gligen",
    "Audio",
    "Video",
    "SVG",
    "Voxel",
    "Mesh",
    "Hooks",
    "Accumulation",
    "Photomaker",
    "Point",
    "BBOX",
    "SEGS",
    "Webcam",
    "Tracks",
    "Dict",
    "Array",
    "Curve",
    "Histogram",
    "Range",
    "Color",
]
# Parameter of an Input to the option's name on the wire; others keep their name.
WIRE = {
    "dynamic_prompts": "dynamicPrompts",
    "force_input": "forceInput",
    "widget_type": "widgetType",
    "display_mode": "display",
    "raw_link": "rawLink",
}


class NumberDisplay(str, Enum):
    number = "number"
    slider = "slider"
    gradient_slider = "gradientslider"


class FolderType(str, Enum):
    input = "input"
    output = "output"
    temp = "temp"


class UploadType(str, Enum):
    image = "image_upload"
    audio = "audio_upload"
    video = "video_upload"
    model = "file_upload"


class ControlAfterGenerate(str, Enum):
    fixed = "fixed"
    increment = "increment"
    decrement = "decrement"
    randomize = "randomize"


class Hidden(str, Enum):
    """Values that a host gives beside the inputs."""

    unique_id = "UNIQUE_ID"
    prompt = "PROMPT"
    extra_pnginfo = "EXTRA_PNGINFO"
    dynprompt = "DYNPROMPT"
    auth_token_comfy_org = "AUTH_TOKEN_COMFY_ORG"
    api_key_comfy_org = "API_KEY_COMFY_ORG"


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


class Input:
    """One input: its id, whether it is optional, and its options on the wire."""

    io_type = "*"

    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        **options: Any,
    ) -> None:
        self.id, self.display_name, self.optional, self.tooltip = id, display_name, optional, tooltip
        self.lazy = options.get("lazy")
        extra = options.pop("extra_dict", None) or {}
        given = {"display_name": display_name, "tooltip": tooltip, **options}
        self.options = {WIRE.get(k, k): _plain(v) for k, v in given.items() if v is not None}
        self.options.update(extra)

    def get_io_type(self) -> str:
        return self.io_type

    def as_spec(self) -> tuple[Any, ...]:
        """The input as INPUT_TYPES has it."""
        return (self.get_io_type(), dict(self.options))


class NumberInput(Input):
    """A number, text or switch: its default is the fifth parameter."""

    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        default: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(id, display_name, optional, tooltip, lazy=lazy, default=default, **options)
        self.default = default


class ComboInput(Input):
    """A choice; `options` is a list or an enumeration."""

    io_type = "COMBO"

    def __init__(self, id: str, options: Any = None, *args: Any, **more: Any) -> None:
        is_enum = isinstance(options, type) and issubclass(options, Enum)
        self.choices = [member.value for member in options] if is_enum else list(options or ())
        upload = more.pop("upload", None)
        if upload is not None:
            more[_plain(upload)] = True
        super().__init__(id, *args, **more)
        self.options["options"] = self.choices
        self.options.setdefault("multiselect", False)


class MultiComboInput(ComboInput):
    def __init__(
        self, id: str, options: Any, *args: Any, placeholder: str | None = None, chip: Any = None, **more: Any
    ) -> None:
        super().__init__(id, options, *args, **more)
        self.options["multiselect"] = True
        found = {"placeholder": placeholder, "chip": chip}
        self.options["multi_select"] = {k: v for k, v in found.items() if v is not None}


class Output:
    """One output."""

    io_type = "*"

    def __init__(
        self,
        id: str | None = None,
        display_name: str | None = None,
        tooltip: str | None = None,
        is_output_list: bool = False,
        **_: Any,
    ) -> None:
        self.id, self.tooltip, self.is_output_list = id, tooltip, is_output_list
        self.display_name = display_name

    def get_io_type(self) -> str:
        return self.io_type


class Kind:
    """What all socket types share: `Type.Input`, `Type.Output`, `Type.io_type`, `Type.Type`."""

    io_type = "*"
    Type: Any = Any
    Input: Any = Input
    Output: Any = Output


def kind(name: str, io_type: str, base: type[Input] = Input) -> type[Kind]:
    """A socket type by its class name."""
    members = {
        "io_type": io_type,
        "Input": type("Input", (base,), {"io_type": io_type}),
        "Output": type("Output", (Output,), {"io_type": io_type}),
    }
    return type(name, (Kind,), members)


def custom(io_type: str) -> type[Kind]:
    """`io.Custom("X")`: a socket type of the pack's own."""
    return kind("Custom", io_type)


class MultiType(Kind):
    """An input that takes several types."""

    class Input(Input):
        def __init__(self, id: Any, types: Sequence[Any] = (), *args: Any, **more: Any) -> None:
            first = id if isinstance(id, str) else id.id
            super().__init__(first, *args, **more)
            own = [] if isinstance(id, str) else [id.get_io_type()]
            self.io_type = ",".join(dict.fromkeys([*own, *(t.io_type for t in types)]))
            self.options = self.options if isinstance(id, str) else {**id.options, **self.options}


class MatchType(Kind):
    """Inputs and outputs that are all of one type, whichever it is."""

    io_type = "COMFY_MATCHTYPE_V3"

    class Template:
        def __init__(self, template_id: str, allowed_types: Any = None) -> None:
            self.template_id = template_id
            found = (
                allowed_types
                if isinstance(allowed_types, Iterable)
                else [allowed_types]
                if allowed_types
                else []
            )
            self.allowed = ",".join(t.io_type for t in found) or "*"

        def as_dict(self) -> dict[str, Any]:
            return {"template_id": self.template_id, "allowed_types": self.allowed}

    class Input(Input):
        io_type = "COMFY_MATCHTYPE_V3"

        def __init__(self, id: str, template: Any, *args: Any, **more: Any) -> None:
            super().__init__(id, *args, **more)
            self.options["template"] = template.as_dict()

    class Output(Output):
        io_type = "COMFY_MATCHTYPE_V3"

        def __init__(self, template: Any = None, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            self.template = template


class Autogrow(Kind):
    """As many inputs as are connected; `execute` gets them as a dict."""

    io_type = "COMFY_AUTOGROW_V3"

    class TemplatePrefix:
        def __init__(self, input: Any, prefix: str, min: int = 1, max: int = 10) -> None:
            self.input, self.prefix, self.min, self.max = input, prefix, min, max

        def as_dict(self) -> dict[str, Any]:
            return {"input": self.input.as_spec(), "prefix": self.prefix, "min": self.min, "max": self.max}

    class TemplateNames:
        def __init__(self, input: Any, names: list[str], min: int = 1) -> None:
            self.input, self.names, self.min = input, names, min

        def as_dict(self) -> dict[str, Any]:
            return {"input": self.input.as_spec(), "names": self.names, "min": self.min}

    class Input(Input):
        io_type = "COMFY_AUTOGROW_V3"

        def __init__(self, id: str, template: Any, *args: Any, **more: Any) -> None:
            super().__init__(id, *args, **more)
            self.options["template"] = template.as_dict()


class DynamicCombo(Kind):
    """A choice that brings inputs of its own."""

    io_type = "COMFY_DYNAMICCOMBO_V3"

    class Option:
        def __init__(self, key: str, inputs: Sequence[Any]) -> None:
            self.key, self.inputs = key, list(inputs)

        def as_dict(self) -> dict[str, Any]:
            return {"key": self.key, "inputs": {i.id: i.as_spec() for i in self.inputs}}

    class Input(Input):
        io_type = "COMFY_DYNAMICCOMBO_V3"

        def __init__(self, id: str, options: Sequence[Any], *args: Any, **more: Any) -> None:
            super().__init__(id, *args, **more)
            self.options["options"] = [option.as_dict() for option in options]


KINDS: dict[str, Any] = {
    **{name: kind(name, name.upper()) for name in SAME},
    **{name: kind(name, io_type) for name, io_type in SOCKETS.items()},
    **{name: kind(name, name.upper(), NumberInput) for name in ("Int", "Float", "String", "Boolean")},
    "Combo": kind("Combo", "COMBO", ComboInput),
    "MultiCombo": kind("MultiCombo", "COMBO", MultiComboInput),
    "MultiType": MultiType,
    "MatchType": MatchType,
    "Autogrow": Autogrow,
    "DynamicCombo": DynamicCombo,
    "Custom": custom,
}
