"""The types that have everyday widgets: numbers, texts, switches, choices."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any

from noderack_host.v3.sockets import OrderedInput, Output, SocketType, comfytype


class NumberDisplay(str, Enum):
    number = "number"
    slider = "slider"
    gradient_slider = "gradientslider"


class ControlAfterGenerate(str, Enum):
    """What the editor does to a value after each run."""

    fixed = "fixed"
    increment = "increment"
    decrement = "decrement"
    randomize = "randomize"


class UploadType(str, Enum):
    image = "image_upload"
    audio = "audio_upload"
    video = "video_upload"
    model = "file_upload"


class FolderType(str, Enum):
    input = "input"
    output = "output"
    temp = "temp"


class RemoteOptions:
    """Choices that the editor fetches from a route. Times in ms."""

    def __init__(
        self,
        route: str,
        refresh_button: bool,
        control_after_refresh: str = "first",
        timeout: int | None = None,
        max_retries: int | None = None,
        refresh: int | None = None,
        response_key: str | None = None,
        query_params: dict[str, Any] | None = None,
    ) -> None:
        self.options = {
            "route": route,
            "refresh_button": refresh_button,
            "control_after_refresh": control_after_refresh,
            "timeout": timeout,
            "max_retries": max_retries,
            "refresh": refresh,
            "response_key": response_key,
            "query_params": query_params,
        }

    def as_dict(self) -> dict[str, Any]:
        return {key: value for key, value in self.options.items() if value is not None}


_FIRST = ("id", "display_name", "optional", "tooltip", "lazy")
_LAST = ("socketless", "force_input", "extra_dict", "raw_link", "advanced")
_SOCKETS = ("socketless", "extra_dict", "raw_link", "advanced")


class SwitchInput(OrderedInput):
    order = (*_FIRST, "default", "label_on", "label_off", *_LAST)


class IntInput(OrderedInput):
    order = (*_FIRST, "default", "min", "max", "step", "control_after_generate", "display_mode", *_LAST)
    wire = MappingProxyType({"display_mode": "display"})


class FloatInput(OrderedInput):
    order = (*_FIRST, "default", "min", "max", "step", "round", "display_mode", "gradient_stops", *_LAST)
    wire = MappingProxyType({"display_mode": "display"})


class TextInput(OrderedInput):
    order = (*_FIRST, "multiline", "placeholder", "default", "dynamic_prompts", *_LAST)
    wire = MappingProxyType({"dynamic_prompts": "dynamicPrompts"})
    standard = MappingProxyType({"multiline": False})


class CameraInput(OrderedInput):
    order = (*_FIRST, "default", *_SOCKETS)


class ComboInput(OrderedInput):
    """A choice. `options` is a list or an Enum, whose values are the choices."""

    io_type = "COMBO"
    order: tuple[str, ...] = (
        *("id", "options", *_FIRST[1:], "default", "control_after_generate"),
        *("upload", "image_folder", "remote", *_SOCKETS),
    )
    standard: Mapping[str, Any] = MappingProxyType({"multiselect": False})

    def translated(self, own: dict[str, Any]) -> dict[str, Any]:
        self.options = _choices(own.get("options"))
        upload = own.pop("upload", None)
        return {**own, "options": self.options, **({upload.value: True} if upload is not None else {})}


class MultiComboInput(ComboInput):
    """Several of a list of choices."""

    order = (
        *("id", "options", *_FIRST[1:], "default", "placeholder", "chip", "control_after_generate"),
        *_SOCKETS,
    )
    standard = MappingProxyType({"multiselect": True})

    def translated(self, own: dict[str, Any]) -> dict[str, Any]:
        shown = {key: own.pop(key) for key in ("placeholder", "chip") if key in own}
        return {**super().translated(own), "multi_select": shown}


def _choices(options: Any) -> list[Any] | None:
    if isinstance(options, type) and issubclass(options, Enum):
        return [member.value for member in options]
    return None if options is None else list(options)


class ComboOutput(Output):
    """A choice as an output; its type is COMBO whatever its options are."""

    io_type = "COMBO"

    def __init__(
        self,
        id: str | None = None,
        display_name: str | None = None,
        options: Any = None,
        tooltip: str | None = None,
        is_output_list: bool = False,
    ) -> None:
        super().__init__(id, display_name, tooltip, is_output_list)
        self.options = _choices(options) or []


def _widget(io_type: str, type_: Any, input_: type[OrderedInput], **more: Any) -> Any:
    return comfytype(io_type)(type(io_type, (SocketType,), {"Type": type_, "Input": input_, **more}))


Boolean = _widget("BOOLEAN", bool, SwitchInput)
Int = _widget("INT", int, IntInput)
Float = _widget("FLOAT", float, FloatInput)
String = _widget("STRING", str, TextInput)
Combo = _widget("COMBO", str, ComboInput, Output=ComboOutput)
MultiCombo = _widget("COMBO", list, MultiComboInput, Output=ComboOutput)
Webcam = _widget("WEBCAM", str, CameraInput)
