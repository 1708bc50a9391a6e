"""What the editor's graph may hold besides nodes and links, each turned into the prompt it stands for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from noderack_host.schema import NodeSchema, from_object_info, read_schemas
from noderack_host.workflow import WorkflowError, read_workflow
from noderack_host.workflow.slots import bypass_input, fits

CASES = Path(__file__).parents[1] / "cases/workflows"
SCHEMAS = read_schemas(CASES / "object_info.json")
Json = dict[str, Any]


def node(number: int | str, kind: str, *inputs: tuple[str, Any], out: str = "", **more: Any) -> Json:
    """A node: `inputs` are (name, link) with types as in `TYPE:name`, `out` its output types."""
    slots = []
    for name, link in inputs:
        kind_of, _, bare = name.rpartition(":")
        slot: Json = {"name": bare.lstrip("~"), "type": kind_of or "*", "link": link}
        if bare.startswith("~"):
            slot["widget"] = {"name": bare[1:]}
        slots.append(slot)
    outputs = [{"name": kind_of, "type": kind_of, "links": []} for kind_of in out.split()]
    return {"id": number, "type": kind, "inputs": slots, "outputs": outputs, "mode": 0, **more}


def graph(nodes: list[Json], links: list[list[Any]], **more: Any) -> Json:
    return {"nodes": nodes, "links": [[*link, "*"][:6] for link in links], "version": 0.4, **more}


def prompt(ui: Json, schemas: dict[str, NodeSchema] = SCHEMAS) -> dict[str, Json]:
    found = read_workflow(json.dumps(ui)).prompt(schemas, defaults=False).prompt
    return {key: {"class_type": n["class_type"], **n["inputs"]} for key, n in found.items()}


LOAD = node(1, "LoadImage", out="IMAGE MASK", widgets_values=["a.png", "image"])
SHOW = node(9, "PreviewImage", ("IMAGE:images", 90))


def between(middle: Json, *links: list[Any], **more: Any) -> Any:
    """What PreviewImage gets when `middle` (node 5) stands between it and LoadImage."""
    found = prompt(graph([LOAD, middle, SHOW], [[50, 1, 0, 5, 0], [90, 5, 0, 9, 0], *links], **more))
    return found["9"].get("images")


@pytest.mark.parametrize(
    ("middle", "fed"),
    [
        (node(5, "Reroute", (":", 50), out="IMAGE"), ["1", 0]),
        (node(5, "Reroute (rgthree)", (":", 50), out="*"), ["1", 0]),
        (node(5, "Reroute", (":", 50), out="IMAGE", mode=2), None),
        (node(5, "ImageScale", ("IMAGE:image", 50), out="IMAGE", mode=4), ["1", 0]),
        (node(5, "ImageScale", ("IMAGE:image", 50), out="IMAGE", mode=2), None),
        (node(5, "ImageScale", ("IMAGE:image", 50), out="IMAGE"), ["5", 0]),
        (node(5, "Any Pack", ("MASK:mask", None), ("IMAGE:image", 50), out="IMAGE", mode=4), ["1", 0]),
        (node(5, "VAEDecode", ("LATENT:samples", 50), out="IMAGE", mode=4), None),
    ],
)
def test_on_the_way(middle: Json, fed: Any) -> None:
    middle["inputs"][-1]["link"] = 50
    assert between(middle) == fed


def test_set_and_get() -> None:
    setter = node(5, "SetNode", ("IMAGE:IMAGE", 50), out="*", widgets_values=["picture"])
    getter = node(6, "GetNode", out="IMAGE", widgets_values=["picture"])
    ui = graph([LOAD, setter, getter, SHOW], [[50, 1, 0, 5, 0], [90, 6, 0, 9, 0]])
    assert prompt(ui) == {
        "1": {"class_type": "LoadImage", "image": "a.png"},
        "9": {"class_type": "PreviewImage", "images": ["1", 0]},
    }


def test_primitive_through_a_reroute_sets_the_widget() -> None:
    primitive = node(2, "PrimitiveNode", out="INT", widgets_values=[77, "fixed"])
    reroute = node(3, "Reroute", (":", 20), out="INT")
    latent = node(5, "EmptyLatentImage", ("INT:~width", 30), out="LATENT", widgets_values=[64, 128, 1])
    found = prompt(graph([primitive, reroute, latent], [[20, 2, 0, 3, 0], [30, 3, 0, 5, 0]]))
    assert found == {"5": {"class_type": "EmptyLatentImage", "width": 77, "height": 128, "batch_size": 1}}


def test_use_everywhere_links_of_the_file_count() -> None:
    links = [{"upstream": 1, "upstream_slot": 0, "downstream": 9, "downstream_slot": 0, "type": "IMAGE"}]
    lonely = node(9, "PreviewImage", ("IMAGE:images", None))
    assert prompt(graph([LOAD, lonely], [], extra={"ue_links": links}))["9"]["images"] == ["1", 0]


@pytest.mark.parametrize(
    ("senders", "fed"),
    [
        ([("Anything Everywhere", [])], ["1", 0]),
        ([("Anything Everywhere", []), ("Anything Everywhere", [])], None),
        ([("Anything Everywhere", []), ("Anything Everywhere?", ["Preview", "im"])], ["1", 0]),
        ([("Anything Everywhere?", ["Save", ".*"])], None),
        ([("Anything Everywhere?", ["(a*)*$", ".*"])], None),
        ([("Anything Everywhere?", ["[", ""])], None),
    ],
)
def test_older_files_broadcast_by_rule(senders: list[tuple[str, list[str]]], fed: Any) -> None:
    nodes = [
        node(20 + n, kind, ("*:anything", 50 + n), widgets_values=v) for n, (kind, v) in enumerate(senders)
    ]
    links = [[50 + n, 1, 0, 20 + n, 0] for n in range(len(senders))]
    found = prompt(graph([LOAD, node(9, "PreviewImage", ("IMAGE:images", None)), *nodes], links))
    assert found["9"].get("images") == fed
    assert {"20", "1"} <= found.keys(), "the senders are real nodes of their pack"


def body(name: str = "scale", **more: Any) -> Json:
    inner = node(3, "ImageScale", ("IMAGE:image", 1), ("INT:~width", 2), out="IMAGE")
    inner["widgets_values"] = ["bilinear", 512, 256, "disabled"]
    return {
        "id": name,
        "name": name,
        "inputs": [{"name": "image", "type": "IMAGE"}, {"name": "width", "type": "INT"}],
        "outputs": [{"name": "IMAGE", "type": "IMAGE"}],
        "nodes": [inner],
        "links": [
            {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 3, "target_slot": 0, "type": "IMAGE"},
            {"id": 2, "origin_id": -10, "origin_slot": 1, "target_id": 3, "target_slot": 1, "type": "INT"},
            {"id": 3, "origin_id": 3, "origin_slot": 0, "target_id": -20, "target_slot": 0, "type": "IMAGE"},
        ],
        **more,
    }


def instance(**more: Any) -> Json:
    return node(5, "scale", ("IMAGE:image", 50), ("INT:~width", None), out="IMAGE", **more)


def with_instance(made: Json) -> dict[str, Json]:
    links = [[50, 1, 0, 5, 0], [90, 5, 0, 9, 0]]
    return prompt(graph([LOAD, made, SHOW], links, definitions={"subgraphs": [body()]}))


@pytest.mark.parametrize(
    ("made", "width"),
    [
        (instance(), 512),
        (instance(widgets_values=[]), 512),
        (instance(widgets_values=[64]), 64),
        (instance(widgets_values=[None]), 512),
        (instance(widgets_values=[65], properties={"proxyWidgets": [["3", "width"]]}), 65),
        (instance(widgets_values=[66], properties={"proxyWidgets": [["-1", "width"]]}), 66),
        (instance(widgets_values=[None], properties={"proxyWidgets": [["3", "width"]]}), 512),
        (instance(widgets_values=[67], properties={"proxyWidgets": [["3", "9: 3: width"]]}), 67),
        (instance(widgets_values=[1, 2], widgets_values_named={"width": 68, "x": 1}), 68),
    ],
)
def test_promoted_widgets(made: Json, width: int) -> None:
    found = with_instance(made)
    assert found["5:3"] == {
        **{"class_type": "ImageScale", "upscale_method": "bilinear", "width": width, "height": 256},
        **{"crop": "disabled", "image": ["1", 0]},
    }
    assert found["9"]["images"] == ["5:3", 0]


def test_muted_and_bypassed_instances() -> None:
    assert with_instance(instance(mode=2)).keys() == {"1", "9"}
    bypassed = with_instance(instance(mode=4))
    assert (bypassed.keys(), bypassed["9"]["images"]) == ({"1", "9"}, ["1", 0])


def test_nested_bodies_and_ids() -> None:
    outer = {
        **{"id": "outer", "name": "outer", "inputs": [{"name": "image", "type": "IMAGE"}]},
        **{"outputs": [{"name": "IMAGE", "type": "IMAGE"}], "nodes": [{**instance(), "id": 7}]},
        "links": [[50, -10, 0, 7, 0, "IMAGE"], [51, 7, 0, -20, 0, "IMAGE"]],
        "definitions": {"subgraphs": [body()]},
    }
    made = node(5, "outer", ("IMAGE:image", 50), out="IMAGE")
    links = [[50, 1, 0, 5, 0], [90, 5, 0, 9, 0]]
    ui = graph([LOAD, made, SHOW], links, definitions={"subgraphs": [outer]})
    found = prompt(ui)
    assert found["9"]["images"] == ["5:7:3", 0]
    assert found["5:7:3"]["image"] == ["1", 0]
    uses = {use.type: use.ids for use in read_workflow(json.dumps(ui)).node_uses()}
    assert uses["ImageScale"] == ("5:7:3",)


def test_duplicate_definitions_and_ids_are_noted() -> None:
    ui = graph([instance(), instance()], [], definitions={"subgraphs": [body(), body()]})
    conversion = read_workflow(json.dumps(ui)).prompt(SCHEMAS)
    assert [note.code for note in conversion.notes[:2]] == ["duplicate-id", "duplicate-id"]
    assert conversion.prompt.keys() == {"5:3", "6:3"}


def test_group_nodes() -> None:
    group = {
        "nodes": [
            {"type": "EmptyLatentImage", "index": 0, "outputs": [{"name": "LATENT", "type": "LATENT"}]},
            {
                **{"type": "KSampler", "index": 1, "outputs": [{"name": "LATENT", "type": "LATENT"}]},
                "inputs": [
                    {"name": name, "type": kind}
                    for name, kind in (
                        ("model", "MODEL"),
                        ("positive", "C"),
                        ("negative", "C"),
                        ("latent_image", "LATENT"),
                    )
                ],
            },
        ],
        "links": [[None, 0, 1, 0, 4, "MODEL"], [0, 0, 1, 3, 5, "LATENT"]],
        "external": [[1, 0, "LATENT"]],
    }
    values = [64, 32, 1, 7, "randomize", 20, 8.0, "euler", "karras", 0.5]
    made = node(5, "workflow>G", ("MODEL:model", 50), out="LATENT", widgets_values=values)
    loader = node(1, "CheckpointLoaderSimple", out="MODEL CLIP VAE", widgets_values=["m"])
    decode = node(9, "VAEDecode", ("LATENT:samples", 90))
    links = [[50, 1, 0, 5, 0], [90, 5, 0, 9, 0]]
    found = prompt(graph([loader, made, decode], links, extra={"groupNodes": {"G": group}}))
    assert found["5:0"] == {"class_type": "EmptyLatentImage", "width": 64, "height": 32, "batch_size": 1}
    assert found["5:1"] == {
        **{"class_type": "KSampler", "seed": 7, "steps": 20, "cfg": 8.0, "sampler_name": "euler"},
        **{"scheduler": "karras", "denoise": 0.5, "model": ["1", 0], "latent_image": ["5:0", 0]},
    }
    assert found["9"]["samples"] == ["5:1", 0]


KSAMPLER: Json = {"steps": 20, "cfg": 8.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}


@pytest.mark.parametrize(
    "values",
    [
        [7, "randomize", 20, 8.0, "euler", "normal", 1.0],
        [7, True, 20, 8.0, "euler", "normal", 1.0],
        [7, 20, 8.0, "euler", "normal", 1.0],
        [7, "fixed", 20, 8.0, "euler", "normal", 1.0, "a pack's own"],
        {"seed": 7, **KSAMPLER, "preview": {"x": 1}},
    ],
    ids=["control word", "control boolean", "no control", "one too many", "by name"],
)
def test_widget_lists_of_every_age(values: Any) -> None:
    found = prompt(graph([node(3, "KSampler", widgets_values=values)], []))
    assert found["3"] == {"class_type": "KSampler", "seed": 7, **KSAMPLER}


def test_values_without_a_schema() -> None:
    named = node(3, "Odd", ("INT:~a", None), ("STRING:~b", None), widgets_values=[1, "x"])
    beside = node(4, "Odd", widgets_values=[1, "x"], widgets_values_named={"a": 0, "b": ""})
    bare = node(5, "Odd", widgets_values=[1, "x"])
    workflow = read_workflow(json.dumps(graph([named, beside, bare], [])))
    conversion = workflow.prompt({})
    assert [conversion.prompt[key]["inputs"] for key in "345"] == [{"a": 1, "b": "x"}, {"a": 1, "b": "x"}, {}]
    assert [note.where for note in conversion.notes if note.code == "widget-values"] == [
        "nodes[2].widgets_values"
    ]


def test_dynamic_combos_and_lists() -> None:
    options = [
        {
            "key": "mp4",
            "inputs": {"required": {"codec": ["COMBO", {"options": ["h264"]}], "crf": ["INT", {}]}},
        },
        {"key": "gif", "inputs": {}},
    ]
    types = {"required": {"format": ["COMFY_DYNAMICCOMBO_V3", {"options": options}], "tags": ["STRING"]}}
    schemas = {"Save": from_object_info("Save", {"input": types})}
    found = prompt(graph([node(1, "Save", widgets_values=["mp4", "h264", 3, ["a", "b"]])], []), schemas)
    assert found["1"] == {
        **{"class_type": "Save", "format": "mp4", "format.codec": "h264", "format.crf": 3},
        "tags": {"__value__": ["a", "b"]},
    }
    assert prompt(graph([node(1, "Save", widgets_values=["gif", "t"])], []), schemas)["1"]["tags"] == "t"


def test_defaults_fill_what_an_old_file_lacks() -> None:
    ui = graph([node(5, "EmptyLatentImage", widgets_values=[64])], [])
    conversion = read_workflow(json.dumps(ui)).prompt(SCHEMAS)
    assert conversion.prompt["5"]["inputs"] == {"width": 64, "height": 512, "batch_size": 1}
    assert [note.code for note in conversion.notes] == ["default-used", "default-used"]


def test_the_inputs_own_link_counts() -> None:
    ui = graph([LOAD, SHOW], [[90, 1, 0, 777, 3], [91, 1, 1, 9, 0]])
    assert prompt(ui)["9"]["images"] == ["1", 0]


def test_places_of_errors() -> None:
    recursive = graph([instance()], [], definitions={"subgraphs": [body(nodes=[instance()])]})
    with pytest.raises(WorkflowError, match=r"definitions\.subgraphs\[0\]\.nodes\[0\]: .*contains itself"):
        read_workflow(json.dumps(recursive)).prompt({})


@pytest.mark.parametrize(
    ("one", "other", "fit"),
    [
        *[("IMAGE", "IMAGE", True), ("image", "IMAGE", True), ("IMAGE", "MASK", False), ("*", "MASK", True)],
        *[("A,B", "B,C", True), ("A,B", "C", False), (0, "X", True), (None, "X", True), (["A"], "A", True)],
    ],
)
def test_fits(one: Any, other: Any, fit: bool) -> None:
    assert fits(one, other) is fit


def test_bypass_takes_the_same_place_first() -> None:
    from noderack_host.workflow.graph import Input, Node, Output

    made = Node(
        *("1", "X", ""),
        inputs=(Input("a", "CLIP"), Input("b", "MODEL"), Input("c", "MODEL")),
        outputs=(Output("x", "MODEL"), Output("y", "CLIP"), Output("z", "MODEL")),
    )
    assert [bypass_input(made, slot, kind) for slot, kind in ((2, "MODEL"), (0, "MODEL"), (1, "CLIP"))] == [
        2,
        1,
        0,
    ]
    assert (bypass_input(made, 1, "*"), bypass_input(made, 0, "VAE")) == (1, None)


def test_components_stay_whole_in_the_prompt_and_are_looked_into_for_what_they_need() -> None:
    inner = {
        "nodes": [node(1, "ComponentInput"), node(2, "VAEDecode"), node(3, "VAEEncode", mode=2)],
        "links": [],
    }
    ui = graph(
        [node(5, "## mine [abc]", widgets_values=["m.safetensors"])], [], components={"## mine [abc]": inner}
    )
    workflow = read_workflow(json.dumps(ui))
    assert workflow.prompt({}).prompt["5"]["class_type"] == "## mine [abc]"
    assert [(use.type, use.ids) for use in workflow.node_uses()] == [
        ("ComponentInput", ("5:1",)),
        ("VAEDecode", ("5:2",)),
    ]
    assert [use.name for use in workflow.model_uses()] == ["m.safetensors"]
