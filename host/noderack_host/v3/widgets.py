"""The types that have everyday widgets: numbers, texts, switches, choices."""

from collections.abc import Sequence
from enum import Enum
from typing import Any

from noderack_host.v3.sockets import Extra, Output, SocketType, WidgetInput, comfytype


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


class _SwitchInput(WidgetInput):
    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        default: bool | None = None,
        label_on: str | None = None,
        label_off: str | None = None,
        socketless: bool | None = None,
        force_input: bool | None = None,
        extra_dict: Extra = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
    ) -> None:
        super().__init__(
            *(id, display_name, optional, tooltip, lazy, default, socketless, None),
            *(force_input, extra_dict, raw_link, advanced),
            own={"label_on": label_on, "label_off": label_off},
        )


class _IntInput(WidgetInput):
    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        default: int | None = None,
        min: int | None = None,
        max: int | None = None,
        step: int | None = None,
        control_after_generate: bool | ControlAfterGenerate | None = None,
        display_mode: NumberDisplay | None = None,
        socketless: bool | None = None,
        force_input: bool | None = None,
        extra_dict: Extra = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
    ) -> None:
        super().__init__(
            *(id, display_name, optional, tooltip, lazy, default, socketless, None),
            *(force_input, extra_dict, raw_link, advanced),
            own={
                **{"min": min, "max": max, "step": step},
                **{"control_after_generate": control_after_generate, "display": display_mode},
            },
        )


class _FloatInput(WidgetInput):
    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        default: float | None = None,
        min: float | None = None,
        max: float | None = None,
        step: float | None = None,
        round: float | None = None,
        display_mode: NumberDisplay | None = None,
        gradient_stops: Sequence[Any] | None = None,
        socketless: bool | None = None,
        force_input: bool | None = None,
        extra_dict: Extra = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
    ) -> None:
        super().__init__(
            *(id, display_name, optional, tooltip, lazy, default, socketless, None),
            *(force_input, extra_dict, raw_link, advanced),
            own={
                **{"min": min, "max": max, "step": step, "round": round},
                **{"display": display_mode, "gradient_stops": gradient_stops},
            },
        )


class _TextInput(WidgetInput):
    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        multiline: bool = False,
        placeholder: str | None = None,
        default: str | None = None,
        dynamic_prompts: bool | None = None,
        socketless: bool | None = None,
        force_input: bool | None = None,
        extra_dict: Extra = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
    ) -> None:
        own = {"multiline": multiline, "placeholder": placeholder, "dynamicPrompts": dynamic_prompts}
        super().__init__(
            *(id, display_name, optional, tooltip, lazy, default, socketless, None),
            *(force_input, extra_dict, raw_link, advanced),
            own=own,
        )


class ComboInput(WidgetInput):
    """A choice. `options` is a list or an Enum, whose values are the choices."""

    io_type = "COMBO"

    def __init__(
        self,
        id: str,
        options: Sequence[Any] | type[Enum] | None = None,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        default: Any = None,
        control_after_generate: bool | ControlAfterGenerate | None = None,
        upload: UploadType | None = None,
        image_folder: FolderType | None = None,
        remote: RemoteOptions | None = None,
        socketless: bool | None = None,
        extra_dict: Extra = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
    ) -> None:
        self.options = _choices(options)
        super().__init__(
            *(id, display_name, optional, tooltip, lazy, default, socketless, None),
            *(None, extra_dict, raw_link, advanced),
            own={
                **{"multiselect": False, "options": self.options},
                **{"control_after_generate": control_after_generate},
                **({upload.value: True} if upload is not None else {}),
                **{"image_folder": image_folder, "remote": remote},
            },
        )


class MultiComboInput(ComboInput):
    """Several of a list of choices."""

    def __init__(
        self,
        id: str,
        options: Sequence[Any],
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        default: Sequence[Any] | None = None,
        placeholder: str | None = None,
        chip: bool | None = None,
        control_after_generate: bool | ControlAfterGenerate | None = None,
        socketless: bool | None = None,
        extra_dict: Extra = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
    ) -> None:
        super().__init__(
            *(id, options, display_name, optional, tooltip, lazy, default, control_after_generate),
            *(None, None, None, socketless, extra_dict, raw_link, advanced),
        )
        shown = {"placeholder": placeholder, "chip": chip}
        self.own["multiselect"] = True
        self.own["multi_select"] = {key: value for key, value in shown.items() if value is not None}


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


def _widget(io_type: str, type_: Any, input_: type[WidgetInput], **more: Any) -> Any:
    return comfytype(io_type)(type(io_type, (SocketType,), {"Type": type_, "Input": input_, **more}))


Boolean = _widget("BOOLEAN", bool, _SwitchInput)
Int = _widget("INT", int, _IntInput)
Float = _widget("FLOAT", float, _FloatInput)
String = _widget("STRING", str, _TextInput)
Combo = _widget("COMBO", str, ComboInput, Output=ComboOutput)
MultiCombo = _widget("COMBO", list, MultiComboInput, Output=ComboOutput)
Webcam = _widget("WEBCAM", str, WidgetInput)
