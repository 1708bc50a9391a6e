"""Values chosen, combined and told apart, in the newer node form: inputs grow, and take any type."""

from __future__ import annotations

import math
import sys
from typing import Any

from noderack_host.v3 import io

from noderack_nodes.errors import NodeInputError
from noderack_nodes.sockets import MAX_RESOLUTION, Mappings

RATIOS = {
    "1:1 (Square)": (1, 1),
    "2:3 (Portrait Photo)": (2, 3),
    "3:2 (Photo)": (3, 2),
    "3:4 (Portrait Standard)": (3, 4),
    "4:3 (Standard)": (4, 3),
    "9:16 (Portrait Widescreen)": (9, 16),
    "16:9 (Widescreen)": (16, 9),
    "21:9 (Ultrawide)": (21, 9),
}


class ComfySwitchNode(io.ComfyNode):
    """One of two values; what makes the other is not run."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Both sides have the type of what is linked."""
        kind = io.MatchType.Template("switch")
        return io.Schema(
            node_id="ComfySwitchNode",
            display_name="If/Else Switch",
            category="utilities/logic",
            is_experimental=True,
            inputs=[
                io.Boolean.Input("switch"),
                io.MatchType.Input("on_false", template=kind, lazy=True),
                io.MatchType.Input("on_true", template=kind, lazy=True),
            ],
            outputs=[io.MatchType.Output(template=kind, display_name="output")],
        )

    @classmethod
    def check_lazy_status(cls, switch: bool, on_false: Any = None, on_true: Any = None) -> list[str]:
        """The side that is wanted, until it is there."""
        name, value = ("on_true", on_true) if switch else ("on_false", on_false)
        return [name] if value is None else []

    @classmethod
    def execute(cls, switch: bool, on_false: Any = None, on_true: Any = None) -> io.NodeOutput:
        """`on_true` or `on_false`."""
        return io.NodeOutput(on_true if switch else on_false)


class CustomCombo(io.ComfyNode):
    """A choice whose choices the editor keeps."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The editor adds inputs of its own."""
        return io.Schema(
            node_id="CustomCombo",
            display_name="Custom Combo",
            category="utilities",
            is_experimental=True,
            inputs=[io.Combo.Input("choice", options=[])],
            outputs=[io.String.Output(display_name="STRING"), io.Int.Output(display_name="INDEX")],
            accept_all_inputs=True,
        )

    @classmethod
    def validate_inputs(cls, choice: str, index: int = 0, **others: Any) -> bool:
        """Any choice: only the editor knows which there are."""
        return True

    @classmethod
    def execute(cls, choice: str, index: int = 0, **others: Any) -> io.NodeOutput:
        """The choice, and its place among all."""
        return io.NodeOutput(choice, index)


def _truths(node_id: str, shown: str) -> io.Schema:
    growing = io.Autogrow.TemplatePrefix(io.AnyType.Input("value"), prefix="value", min=1)
    return io.Schema(
        node_id=node_id,
        display_name=shown,
        category="utilities/logic",
        inputs=[io.Autogrow.Input("values", template=growing)],
        outputs=[io.Boolean.Output()],
    )


class ComfyAndNode(io.ComfyNode):
    """Whether all values are true, by Python's rule (0, "" and nothing are not)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Up to ten values."""
        return _truths("ComfyAndNode", "And")

    @classmethod
    def execute(cls, values: dict[str, Any]) -> io.NodeOutput:
        """All of them."""
        return io.NodeOutput(all(values.values()))


class ComfyOrNode(io.ComfyNode):
    """Whether any value is true, by Python's rule."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Up to ten values."""
        return _truths("ComfyOrNode", "Or")

    @classmethod
    def execute(cls, values: dict[str, Any]) -> io.NodeOutput:
        """Any of them."""
        return io.NodeOutput(any(values.values()))


class ComfyNotNode(io.ComfyNode):
    """Whether a value is not true, by Python's rule."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Any value."""
        return io.Schema(
            node_id="ComfyNotNode",
            display_name="Not",
            category="utilities/logic",
            inputs=[io.AnyType.Input("value")],
            outputs=[io.Boolean.Output()],
        )

    @classmethod
    def execute(cls, value: Any) -> io.NodeOutput:
        """The opposite."""
        return io.NodeOutput(not value)


class ComfyNumberConvert(io.ComfyNode):
    """A number, a text or a yes as both kinds of number."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Four kinds in, two out."""
        kinds = [io.Int, io.Float, io.String, io.Boolean]
        return io.Schema(
            node_id="ComfyNumberConvert",
            display_name="Convert Number",
            category="utilities",
            inputs=[io.MultiType.Input("value", kinds, display_name="value")],
            outputs=[io.Float.Output(display_name="FLOAT"), io.Int.Output(display_name="INT")],
        )

    @classmethod
    def execute(cls, value: float | str) -> io.NodeOutput:
        """What is behind the point is cut off."""
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise NodeInputError(f"{value!r} is no number: link a number, or a text such as 1.5") from error
        if not math.isfinite(number):
            raise NodeInputError(f"{value!r} has no end: link a finite number")
        return io.NodeOutput(number, _whole(value, number))


def _whole(value: float | str, number: float) -> int:
    try:
        return int(value)  # exact where the text is a whole number of many digits
    except ValueError:
        return int(number)


class SeedNode(io.ComfyNode):
    """One seed for several nodes."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The editor leaves it alone after a run unless told otherwise."""
        fixed = io.ControlAfterGenerate.fixed
        return io.Schema(
            node_id="SeedNode",
            display_name="Seed",
            category="utilities",
            inputs=[io.Int.Input("seed", min=0, max=sys.maxsize, control_after_generate=fixed)],
            outputs=[io.Int.Output(display_name="seed")],
        )

    @classmethod
    def execute(cls, seed: int) -> io.NodeOutput:
        """As it is."""
        return io.NodeOutput(seed)


class CreateList(io.ComfyNode):
    """Values of one type as a list: what follows runs once for each."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Up to ten inputs, each of which may be a list already."""
        kind = io.MatchType.Template("type")
        growing = io.Autogrow.TemplatePrefix(io.MatchType.Input("input", template=kind), prefix="input")
        return io.Schema(
            node_id="CreateList",
            display_name="Create List",
            category="utilities",
            is_input_list=True,
            inputs=[io.Autogrow.Input("inputs", template=growing)],
            outputs=[io.MatchType.Output(template=kind, is_output_list=True, display_name="list")],
        )

    @classmethod
    def execute(cls, inputs: dict[str, list[Any]]) -> io.NodeOutput:
        """In the order of the inputs."""
        return io.NodeOutput([value for values in inputs.values() for value in values])


class ColorToRGBInt(io.ComfyNode):
    """A colour as the number that `EmptyImage` and `ImageColorToMask` take."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """A colour as the editor picks it."""
        return io.Schema(
            node_id="ColorToRGBInt",
            display_name="Color Picker",
            category="utilities",
            inputs=[io.Color.Input("color")],
            outputs=[
                io.Int.Output(display_name="rgb_int"),
                io.Color.Output(display_name="hex"),
                io.Float.Output(display_name="alpha"),
            ],
        )

    @classmethod
    def execute(cls, color: str) -> io.NodeOutput:
        """#RRGGBB, or #RRGGBBAA."""
        digits = color[1:]
        if len(color) not in (7, 9) or color[0] != "#" or not set(digits.lower()) <= set("0123456789abcdef"):
            raise NodeInputError(f"{color!r} is no colour: write #RRGGBB or #RRGGBBAA")
        alpha = int(digits[6:], 16) / 255.0 if len(color) == 9 else 1.0
        return io.NodeOutput(int(digits[:6], 16), color[:7], alpha)


class PrimitiveBoundingBox(io.ComfyNode):
    """A place in a picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """In pixels."""
        return io.Schema(
            node_id="PrimitiveBoundingBox",
            display_name="Bounding Box",
            category="utilities/primitive",
            inputs=[
                *(io.Int.Input(name, default=0, min=0, max=MAX_RESOLUTION) for name in ("x", "y")),
                *(io.Int.Input(name, default=512, min=1, max=MAX_RESOLUTION) for name in ("width", "height")),
            ],
            outputs=[io.BoundingBox.Output()],
        )

    @classmethod
    def execute(cls, x: int, y: int, width: int, height: int) -> io.NodeOutput:
        """Its upper left corner and its size."""
        return io.NodeOutput({"x": x, "y": y, "width": width, "height": height})


class ResolutionSelector(io.ComfyNode):
    """A width and a height from a shape and so many megapixels (1 = 1024 x 1024)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Both sides are multiples of one number."""
        return io.Schema(
            node_id="ResolutionSelector",
            display_name="Resolution Selector",
            category="utilities",
            inputs=[
                io.Combo.Input("aspect_ratio", options=list(RATIOS), default=next(iter(RATIOS))),
                io.Float.Input("megapixels", default=1.0, min=0.1, max=16.0, step=0.1),
                io.Int.Input("multiple", default=8, min=8, max=128, step=4, advanced=True),
            ],
            outputs=[io.Int.Output("width"), io.Int.Output("height")],
        )

    @classmethod
    def execute(cls, aspect_ratio: str, megapixels: float, multiple: int = 8) -> io.NodeOutput:
        """Each side to the nearest multiple."""
        if aspect_ratio not in RATIOS:
            raise NodeInputError(f"there is no shape {aspect_ratio!r}; there are {', '.join(RATIOS)}")
        shape = RATIOS[aspect_ratio]
        scale = math.sqrt(megapixels * 1024 * 1024 / math.prod(shape))
        return io.NodeOutput(*(round(side * scale / multiple) * multiple for side in shape))


_ALL: tuple[type[io.ComfyNode], ...] = (
    ComfySwitchNode,
    CustomCombo,
    ComfyAndNode,
    ComfyOrNode,
    ComfyNotNode,
    ComfyNumberConvert,
    SeedNode,
    CreateList,
    ColorToRGBInt,
    PrimitiveBoundingBox,
    ResolutionSelector,
)
NODES: Mappings = {node.__name__: node for node in _ALL}
NAMES: dict[str, str] = {name: node.GET_SCHEMA().display_name or name for name, node in NODES.items()}
