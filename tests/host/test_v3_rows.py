"""Rows of inputs (`io.DynamicGroup`): what is served, what a node gets, which rows cannot be."""

import json
from typing import Any

import pytest
from noderack_host.check import check_prompt
from noderack_host.schema import NodeSchema, from_object_info
from noderack_host.testing import run_prompt
from noderack_host.v3 import io
from noderack_host.v3.node import nested
from noderack_host.workflow import read_workflow
from noderack_host.workflow.layout import to_ui

FIELDS = [
    io.Combo.Input("name", options=["a", "b"]),
    io.Float.Input("weight", default=1.0, min=0.0),
    io.Boolean.Input("on", optional=True),
]


def group(**options: Any) -> Any:
    return io.DynamicGroup.Input("rows", template=FIELDS, **options)


def stack(group: Any, is_input_list: bool = False) -> dict[str, Any]:
    """A node type that shows the rows it gets."""

    class Stack(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> io.Schema:
            return io.Schema("Stack", inputs=[group], is_output_node=True, is_input_list=is_input_list)

        @classmethod
        def execute(cls, **inputs: Any) -> io.NodeOutput:
            return io.NodeOutput(ui={"text": [json.dumps(inputs)]})

    return {"Stack": Stack}


def prompt(**inputs: Any) -> dict[str, Any]:
    return {"1": {"class_type": "Stack", "inputs": {key.replace("__", "."): inputs[key] for key in inputs}}}


def shown(nodes: dict[str, Any], **inputs: Any) -> Any:
    return json.loads(run_prompt(nodes, prompt(**inputs)).result.outputs["1"]["text"][0])


def test_the_editor_gets_the_fields_once_and_how_many_rows_there_may_be() -> None:
    assert (group().get_io_type(), json.loads(json.dumps(group(max=5, group_name="A row").as_dict()))) == (
        "COMFY_DYNAMICGROUP_V3",
        {
            "template": {
                "required": {
                    "name": ["COMBO", {"multiselect": False, "options": ["a", "b"]}],
                    "weight": ["FLOAT", {"default": 1.0, "min": 0.0}],
                },
                "optional": {"on": ["BOOLEAN", {}]},
            },
            **{"min": 0, "max": 5, "group_name": "A row"},
        },
    )


@pytest.mark.parametrize(
    ("whole", "inputs", "rows"),
    [
        (False, {}, []),
        (False, {"rows__0__name": "a"}, [{"name": "a", "weight": None, "on": None}]),
        (True, {"rows__0__name": "a"}, [{"name": ["a"], "weight": [None], "on": [None]}]),
        (
            *(False, {"rows__1__weight": 2.0, "rows__1__on": True}),
            [dict.fromkeys(("name", "weight", "on")), {"name": None, "weight": 2.0, "on": True}],
        ),
    ],
)
def test_a_node_gets_a_list_of_rows(whole: bool, inputs: dict[str, Any], rows: Any) -> None:
    assert shown(stack(group(), whole), **inputs) == {"rows": rows}


def test_rows_may_be_brought_by_a_choice() -> None:
    choice = io.DynamicCombo.Input("mode", options=[io.DynamicCombo.Option("on", [group(max=1)])])
    row = {"name": "b", "weight": 0.5, "on": None}
    given = {"mode": "on", "mode__rows__0__name": "b", "mode__rows__0__weight": 0.5}
    assert shown(stack(choice), **given) == {"mode": {"mode": "on", "rows": [row]}}
    checked = check_prompt(prompt(**given, mode__rows__1__name="b", mode__rows__1__weight=1), stack(choice))
    assert [(p.kind, p.input_name) for p in checked.problems] == [("invalid_dynamic_input", "mode.rows")]


def test_a_lazy_field_knows_its_name() -> None:
    fields = io.DynamicGroup.Input("r", template=[io.Float.Input("x")])
    found = nested({"r.0.x": 3}, [fields], lambda key, value: (key, value))
    assert found == {"r": [{"x": ("r.0.x", 3)}]}


@pytest.mark.parametrize(
    ("inputs", "problems"),
    [
        ({"rows__0__name": "a", "rows__0__weight": 1}, []),
        ({"rows__4__name": "a", "rows__4__weight": 1}, []),
        ({}, [("invalid_dynamic_input", "rows")]),
        ({"rows__0__name": "a"}, [("required_input_missing", "rows.0.weight")]),
        ({"rows__0__name": "c", "rows__0__weight": 1}, [("value_not_in_list", "rows.0.name")]),
        (
            {
                f"rows__{row}__{name}": value
                for row in range(3)
                for name, value in (("name", "a"), ("weight", 1))
            },
            [("invalid_dynamic_input", "rows")],
        ),
        *(
            (
                {"rows__0__name": "a", "rows__0__weight": 1, key: 1},
                [("invalid_dynamic_input", key.replace("__", "."))],
            )
            for key in ("rows__x__name", "rows__01__name", "rows__100__name", "rows__0__other", "rows__0")
        ),
    ],
)
def test_rows_that_cannot_be_are_told(inputs: dict[str, Any], problems: list[tuple[str, str]]) -> None:
    found = check_prompt(prompt(**inputs), stack(group(min=1, max=2))).problems
    assert [(problem.kind, problem.input_name) for problem in found] == problems


NUMBER = io.Float.Input("x")


@pytest.mark.parametrize(
    ("words", "options", "said"),
    [
        (("rows", []), {}, "needs fields"),
        (("rows", [NUMBER, NUMBER]), {}, "needs fields, each with an id of its own"),
        (("rows.x", [NUMBER]), {}, "has a dot"),
        (("rows", [io.Float.Input("x.y")]), {}, "has a dot"),
        (("rows", [io.Image.Input("i")]), {}, "must have a widget"),
        (("rows", [io.Float.Input("x", force_input=True)]), {}, "must have a widget"),
        (("rows", [group()]), {}, "must have a widget"),
        (("rows", [NUMBER]), {"min": 2, "max": 1}, "give min ≤ max"),
        (("rows", [NUMBER]), {"max": 101}, "1 to 100"),
    ],
)
def test_a_group_that_cannot_be_says_why(words: Any, options: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        io.DynamicGroup.Input(*words, **options)


def schema() -> NodeSchema:
    types = {
        "required": {"before": ["STRING", {}], "rows": ["COMFY_DYNAMICGROUP_V3", group().as_dict()]},
        "optional": {"after": ["STRING", {}]},
    }
    return from_object_info("Stack", json.loads(json.dumps({"input": types})))


def test_editors_save_the_number_of_rows_and_then_their_values() -> None:
    inputs = {
        "before": "first",
        **{"rows.0.name": "a", "rows.0.weight": 0.5, "rows.0.on": True},
        **{"rows.1.name": "b", "rows.1.weight": 2.0, "rows.1.on": False},
        "after": "last",
    }
    drawn = to_ui({"1": {"class_type": "Stack", "inputs": inputs}}, {"Stack": schema()})
    values = ["first", 2, "a", 0.5, True, "b", 2.0, False, "last"]
    assert (drawn.ui["nodes"][0]["widgets_values"], drawn.notes) == (values, ())
    back = read_workflow(json.dumps(drawn.ui)).prompt({"Stack": schema()})
    assert (back.prompt["1"]["inputs"], back.notes) == (inputs, ())
