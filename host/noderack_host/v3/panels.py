"""The types whose widgets are small editors: colours, boxes, curves, ranges, layers.

They stand in the node unless `socketless` is False, and bring a default of their own.
Source: host contract §1.7.
"""

from typing import Any

from noderack_host.v3.sockets import SocketType, WidgetInput, comfytype


class PanelInput(WidgetInput):
    """An input that is edited in the node; `shown` are options of the type's own."""

    standard: Any = None

    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        socketless: bool | None = True,
        default: Any = None,
        advanced: bool | None = None,
        force_input: bool | None = None,
        **shown: Any,
    ) -> None:
        first = self.standard if default is None else default
        super().__init__(
            *(id, display_name, optional, tooltip, None, first, socketless, None),
            *(force_input, None, None, advanced),
            own=shown,
        )


class ColorInput(PanelInput):
    standard = "#ffffff"

    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        socketless: bool | None = True,
        advanced: bool | None = None,
        default: str | None = None,
    ) -> None:
        super().__init__(id, display_name, optional, tooltip, socketless, default, advanced)


class ListInput(PanelInput):
    standard: Any = ()

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "default": list(self.default)}


class BoxInput(PanelInput):
    """A box in pixels; `component` is the editor to use."""

    standard = {"x": 0, "y": 0, "width": 512, "height": 512}  # noqa: RUF012


class CurveInput(PanelInput):
    """A curve through points from (0, 0) to (1, 1)."""

    standard = ((0.0, 0.0), (1.0, 1.0))

    def as_dict(self) -> dict[str, Any]:
        points = [list(point) for point in self.default]
        return {**super().as_dict(), "default": {"points": points, "interpolation": "monotone_cubic"}}


class RangeInput(PanelInput):
    """A range; `display`, `gradient_stops`, `show_midpoint`, `midpoint_scale`, `value_min`, `value_max`."""

    standard = {"min": 0.0, "max": 1.0}  # noqa: RUF012


class CompositorInput(PanelInput):
    standard: Any = {}  # noqa: RUF012


def _panel(io_type: str, type_: Any, input_: type[PanelInput], **more: Any) -> Any:
    return comfytype(io_type)(type(io_type, (SocketType,), {"Type": type_, "Input": input_, **more}))


Color = _panel("COLOR", str, ColorInput)
Colors = _panel("COLORS", list, ListInput)
BoundingBox = _panel("BOUNDING_BOX", dict, BoxInput, BoundingBoxDict=dict)
BoundingBoxes = _panel("BOUNDING_BOXES", list, ListInput, BoundingBoxWithMetadata=dict)
Curve = _panel("CURVE", Any, CurveInput)
Range = _panel("RANGE", Any, RangeInput)
ImageCompare = _panel("IMAGECOMPARE", dict, PanelInput)
Compositor = _panel("COMPOSITOR", dict, CompositorInput, LayerState=dict)
