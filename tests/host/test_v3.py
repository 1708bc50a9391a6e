import asyncio
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from noderack_host.check import check_prompt
from noderack_host.contract import schema_of
from noderack_host.execute import Executor, NodeError
from noderack_host.folder import Host, HostConfig
from noderack_host.packs import contents_of
from noderack_host.running import Running, use
from noderack_host.testing import run_prompt
from noderack_host.v3 import ComfyExtension, io, ui
from noderack_host.v3.node import SchemaError, nested


class Mode(Enum):
    SOFT = "soft"
    HARD = "hard"


class Blur(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Blur",
            display_name="Blur it",
            category="image",
            description="Softens.",
            inputs=[
                io.Image.Input("image", tooltip="what"),
                io.Int.Input("radius", default=3, min=1, max=9),
                io.Combo.Input("mode", options=Mode, default=Mode.HARD),
                io.Mask.Input("mask", optional=True),
                io.String.Input("note", multiline=True, optional=True, lazy=True),
            ],
            outputs=[io.Image.Output(display_name="blurred"), io.Custom("TAGS").Output(is_output_list=True)],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, image: Any, radius: int, mode: str, **more: Any) -> io.NodeOutput:
        return io.NodeOutput(
            f"{image} {radius} {mode} {cls.hidden.unique_id} {cls.hidden.nothing}", ["a", "b"]
        )


class Tell(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema("Tell", inputs=[io.AnyType.Input("value")], is_output_node=True)

    @classmethod
    async def execute(cls, value: Any) -> io.NodeOutput:
        await asyncio.sleep(0)
        return io.NodeOutput(ui=ui.PreviewText(str(value)))


class Grow(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        size = io.Int.Input("size", default=1, min=1)
        template = io.Autogrow.TemplatePrefix(io.Int.Input("n", default=0), prefix="n", min=1, max=3)
        choices = [io.DynamicCombo.Option("plain", []), io.DynamicCombo.Option("sized", [size])]
        inputs = [
            io.Autogrow.Input("all", template=template),
            io.DynamicCombo.Input("model", options=choices),
        ]
        return io.Schema("Grow", inputs=inputs, outputs=[io.AnyType.Output()])

    @classmethod
    def execute(cls, all: Any, model: Any) -> tuple[Any]:
        return ((all, model),)


class Storing(Tell):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema("Storing", is_output_node=True)

    @classmethod
    async def execute(cls) -> None:
        cls.count = 1  # type: ignore[attr-defined]


NODES = {"Blur": Blur, "Tell": Tell, "Grow": Grow, "Storing": Storing}


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def shown(prompt: dict[str, Any]) -> Any:
    return run_prompt(NODES, {**prompt, "t": node("Tell", value=["1", 0])}).result.outputs["t"]["text"]


def test_a_schema_becomes_the_entry_that_hosts_serve() -> None:
    entry = schema_of("Blur", Blur).to_object_info()
    required = entry["input"]["required"]
    assert required["image"] == ["IMAGE", {"tooltip": "what"}]
    assert required["radius"] == ["INT", {"default": 3, "min": 1, "max": 9}]
    assert required["mode"] == [
        "COMBO",
        {"default": "hard", "options": ["soft", "hard"], "multiselect": False},
    ]
    assert list(entry["input"]["optional"]) == ["mask", "note"]
    assert entry["input"]["optional"]["note"][1] == {"lazy": True, "multiline": True}
    assert (entry["output"], entry["output_name"]) == (["IMAGE", "TAGS"], ["blurred", "TAGS"])
    assert (entry["output_is_list"], entry["display_name"]) == ([False, True], "Blur it")


def test_a_node_runs_with_its_hidden_values() -> None:
    assert shown({"1": node("Blur", image="x", radius=2, mode="soft")}) == ["x 2 soft 1 None"]


def test_choices_and_ranges_are_checked() -> None:
    prompt = {"1": node("Blur", image="x", radius=99, mode="sof"), "t": node("Tell", value=["1", 0])}
    kinds = [(found.kind, found.input_name) for found in check_prompt(prompt, NODES).problems]
    assert kinds == [("value_bigger_than_max", "radius"), ("value_not_in_list", "mode")]


GROWN = {"all.n0": 1, "all.n2": 3, "model": "sized", "model.size": 7}


def test_dynamic_inputs_come_nested() -> None:
    assert shown({"1": node("Grow", **GROWN)}) == [str(({"n0": 1, "n2": 3}, {"model": "sized", "size": 7}))]


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        ({}, []),
        ({"model": "plain"}, []),
        ({"model": "other"}, ["value_not_in_list"]),
        ({"all.n0": None}, ["required_input_missing"]),
        ({"model.size": 0}, ["value_smaller_than_min"]),
    ],
)
def test_dynamic_inputs_are_checked_by_what_is_chosen(change: dict[str, Any], problems: list[str]) -> None:
    inputs = {key: value for key, value in {**GROWN, **change}.items() if value is not None}
    prompt = {"1": node("Grow", **inputs), "t": node("Tell", value=["1", 0])}
    assert [found.kind for found in check_prompt(prompt, NODES).problems] == problems


def test_nothing_can_be_stored_on_the_class() -> None:
    with pytest.raises(NodeError, match="keeps no state between calls"):
        Executor(NODES).run_here({"1": node("Storing")})
    assert not hasattr(Storing, "count")


def inside() -> list[Any]:
    """A combo in a combo, an autogrow in a combo, a slot that brings an input."""
    number = io.Int.Input("n", default=0)
    grow = io.Autogrow.Input("g", template=io.Autogrow.TemplateNames(number, ["x", "y"], min=0))
    inner = io.DynamicCombo.Input("in", options=[io.DynamicCombo.Option("k", [])])
    options = [io.DynamicCombo.Option("a", [inner, grow]), io.DynamicCombo.Option("b", [number])]
    slot = io.DynamicSlot.Input(io.Image.Input("s"), inputs=[io.Float.Input("f")])
    return [io.DynamicCombo.Input("m", options=options), grow, slot]


@pytest.mark.parametrize(
    ("flat", "found"),
    [
        ({}, {"g": {}}),
        ({"m": "a", "m.in": "k"}, {"m": {"m": "a", "in": {"in": "k"}, "g": {}}, "g": {}}),
        ({"m": "a", "m.g.y": 2, "g.x": 1}, {"m": {"m": "a", "g": {"y": 2}}, "g": {"x": 1}}),
        ({"m": "b", "m.n": 3, "z": 4}, {"m": {"m": "b", "n": 3}, "g": {}, "z": 4}),
        ({"s": "picture", "s.f": 0.5}, {"s": {"s": "picture", "f": 0.5}, "g": {}}),
        ({"m": ["b"], "m.n": [3]}, {"m": {"m": ["b"], "n": [3]}, "g": {}}),
    ],
)
def test_flat_inputs_are_nested(flat: dict[str, Any], found: dict[str, Any]) -> None:
    assert nested(flat, inside(), lambda key, value: value) == found


def test_lazy_leaves_know_their_key() -> None:
    pairs = nested({"m": "b", "m.n": 3}, inside(), lambda key, value: (value, key))
    assert pairs == {"m": {"m": ("b", "m"), "n": (3, "m.n")}, "g": ({}, "g")}


def test_an_extension_is_a_pack() -> None:
    done: list[str] = []

    class Pack(ComfyExtension):
        async def on_load(self) -> None:
            done.append("on_load")

        async def get_node_list(self) -> list[type]:
            done.append("get_node_list")
            return [Blur, Tell]

    async def comfy_entrypoint() -> ComfyExtension:
        return Pack()

    contents = contents_of(comfy_entrypoint)
    assert contents.nodes == {"Blur": Blur, "Tell": Tell}
    assert contents.display_names == {"Blur": "Blur it"} and done == ["on_load", "get_node_list"]


def test_two_inputs_of_one_name_are_an_error() -> None:
    with pytest.raises(SchemaError, match="two inputs are called a"):
        io.Schema("X", inputs=[io.Int.Input("a"), io.Int.Input("a")]).finalize()


def test_previews_are_saved_and_counted(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    host = Host(tmp_path, HostConfig())
    with use(Running(host=host)):
        for number in (1, 2):
            saved = ui.ImageSaveHelper.save_images(torch.ones(1, 4, 5, 3), "sub/a", io.FolderType.output)
            assert saved == [{"filename": f"a_{number:05}_.png", "subfolder": "sub", "type": "output"}]
        preview = ui.PreviewMask(torch.ones(2, 4, 5)).as_dict()["images"]
        with pytest.raises(ValueError, match="outside the output folder"):
            ui.ImageSaveHelper.save_images(torch.ones(1, 4, 5, 3), "../a", "output")
    assert all((host.temp / found["filename"]).is_file() for found in preview) and len(preview) == 2
