"""The types whose widgets are small editors: colours, boxes, curves, ranges, layers.

They stand in the node unless `socketless` is False, and bring a default of their own.
Source: host contract §1.7.
"""

from types import MappingProxyType
from typing import Any

from noderack_host.v3.sockets import OrderedInput, SocketType, comfytype

_FIRST = ("id", "display_name", "optional", "tooltip", "socketless")


class CurveInput(OrderedInput):
    """A curve through points, from (0, 0) to (1, 1) unless others are given."""

    def as_dict(self) -> dict[str, Any]:
        points = [list(point) for point in self.default]
        return {**super().as_dict(), "default": {"points": points, "interpolation": "monotone_cubic"}}


def _panel(
    io_type: str,
    type_: Any,
    default: Any,
    *order: str,
    input_: type[OrderedInput] = OrderedInput,
    names: tuple[str, ...] = (),
) -> Any:
    """A type with a panel: the default of its input, and that input's options after the first five."""
    standard = {"socketless": True, **({} if default is None else {"default": default})}
    own = {"order": (*_FIRST, *order), "standard": MappingProxyType(standard)}
    members = {"Type": type_, "Input": type("Panel", (input_,), own), **dict.fromkeys(names, dict)}
    return comfytype(io_type)(type(io_type, (SocketType,), members))


_BOX = {"x": 0, "y": 0, "width": 512, "height": 512}
_SHOWN = ("display", "gradient_stops", "show_midpoint", "midpoint_scale", "value_min", "value_max")
_LINE = ((0.0, 0.0), (1.0, 1.0))

Color = _panel("COLOR", str, "#ffffff", "advanced", "default")
Colors = _panel("COLORS", list, (), "default", "advanced")
BoundingBox = _panel(
    "BOUNDING_BOX", dict, _BOX, "default", "component", "force_input", names=("BoundingBoxDict",)
)
BoundingBoxes = _panel("BOUNDING_BOXES", list, (), "default", "advanced", names=("BoundingBoxWithMetadata",))
Curve = _panel("CURVE", Any, _LINE, "default", "advanced", input_=CurveInput)
Range = _panel("RANGE", Any, {"min": 0.0, "max": 1.0}, "default", *_SHOWN, "advanced")
ImageCompare = _panel("IMAGECOMPARE", dict, None, "advanced")
Compositor = _panel("COMPOSITOR", dict, {}, "default", "advanced", names=("LayerState",))
