"""The types that have widgets: numbers, texts, switches, choices."""

from collections.abc import Sequence
from enum import Enum
from typing import Any

from noderack_host.v3.sockets import Output, SocketType, WidgetInput, comfytype


class NumberDisplay(str, Enum):
    number = "number"
    slider = "slider"


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
    """Choices that the editor fetches from a route."""

    def __init__(
        self,
        route: str,
        refresh_button: bool,
        control_after_refresh: str = "first",
        timeout: int | None = None,
        max_retries: int | None = None,
        refresh: int | None = None,
    ) -> None:
        self.options = {
            "route": route,
            "refresh_button": refresh_button,
            "control_after_refresh": control_after_refresh,
            "timeout": timeout,
            "max_retries": max_retries,
            "refresh": refresh,
        }

    def as_dict(self) -> dict[str, Any]:
        return {key: value for key, value in self.options.items() if value is not None}


class _Number(WidgetInput):
    def __init__(self, id: str, *words: Any, display_mode: Any = None, **options: Any) -> None:
        super().__init__(id, *words, display=display_mode, **options)


class _Text(WidgetInput):
    def __init__(
        self,
        id: str,
        *words: Any,
        multiline: bool = False,
        dynamic_prompts: bool | None = None,
        **options: Any,
    ) -> None:
        super().__init__(id, *words, multiline=multiline, dynamicPrompts=dynamic_prompts, **options)


class ComboInput(WidgetInput):
    """A choice. `options` is a list or an Enum, whose values are the choices."""

    io_type = "COMBO"

    def __init__(
        self,
        id: str,
        options: Sequence[Any] | type[Enum] | None = None,
        *words: Any,
        upload: UploadType | None = None,
        **more: Any,
    ) -> None:
        choices = _choices(options)
        if isinstance(more.get("default"), Enum):
            more["default"] = more["default"].value
        if upload is not None:
            more[upload.value] = True
        super().__init__(id, *words, **{"options": choices, "multiselect": False, **more})
        self.options = choices


class MultiComboInput(ComboInput):
    """Several of a list of choices."""

    def __init__(
        self,
        id: str,
        options: Sequence[Any],
        *words: Any,
        placeholder: str | None = None,
        chip: bool | None = None,
        **more: Any,
    ) -> None:
        shown = {
            key: value for key, value in (("placeholder", placeholder), ("chip", chip)) if value is not None
        }
        super().__init__(id, options, *words, **{"multiselect": True, "multi_select": shown, **more})


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


@comfytype(io_type="BOOLEAN")
class Boolean(SocketType):
    Type = bool
    Input = WidgetInput


@comfytype(io_type="INT")
class Int(SocketType):
    Type = int
    Input = _Number


@comfytype(io_type="FLOAT")
class Float(SocketType):
    Type = float
    Input = _Number


@comfytype(io_type="STRING")
class String(SocketType):
    Type = str
    Input = _Text


@comfytype(io_type="COMBO")
class Combo(SocketType):
    Type = str
    Input = ComboInput
    Output = ComboOutput


@comfytype(io_type="COMBO")
class MultiCombo(SocketType):
    Type = list
    Input = MultiComboInput
    Output = ComboOutput


@comfytype(io_type="WEBCAM")
class Webcam(SocketType):
    Type = str
    Input = WidgetInput
