"""Every member and option of the class contract, a line each: what hosts serve, and what nodes get for it."""

import asyncio
from typing import Any

import pytest
from noderack_host.check import check, check_prompt
from noderack_host.contract import contract_of, schema_of
from noderack_host.execute import Executor, NodeError
from noderack_host.graph import ExecutionBlocker
from noderack_host.testing import run_prompt, simple_node

ANY = ("*", {})
Prompt = dict[str, Any]


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


SHOW = simple_node(lambda value: {"ui": {"shown": [value]}}, {"value": ANY}, (), OUTPUT_NODE=True)
SEEN = {"s": node("Show", value=["1", 0])}


def shown(cls: Any, prompt: Prompt | None = None, **options: Any) -> Any:
    """What a Show node sees of node 1, which is of the class `cls`."""
    nodes = {"Node": cls, "Show": SHOW, "List": simple_node(lambda: ([1, 2],), {}, OUTPUT_IS_LIST=(True,))}
    executor = Executor(nodes)
    given = {**SEEN, **(prompt or {"1": node("Node")})}
    return executor.run_here(given, **options).outputs.get("s", {}).get("shown")


class OpenTuple(tuple[Any, ...]):
    """The return types of a pack's node with any number of outputs."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(min(index, len(self) - 1))


MEMBERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"category": "test", "description": "", "output_node": False, "output_name": ["*"]}),
    ({"CATEGORY": "a/b"}, {"category": "a/b"}),
    ({"DESCRIPTION": "what"}, {"description": "what"}),
    ({"RETURN_NAMES": ("one",)}, {"output_name": ["one"], "output": ["*"]}),
    ({"RETURN_NAMES": "one"}, {"output_name": ["one"]}),
    ({"RETURN_TYPES": (["a", "b"],)}, {"output": [["a", "b"]], "output_name": ["COMBO"]}),
    ({"RETURN_TYPES": ["IMAGE", "MASK"]}, {"output": ["IMAGE", "MASK"], "output_is_list": [False, False]}),
    ({"RETURN_TYPES": OpenTuple(("IMAGE", "*"))}, {"output": ["IMAGE", "*"]}),
    ({"OUTPUT_IS_LIST": (True,)}, {"output_is_list": [True]}),
    ({"OUTPUT_TOOLTIPS": ("tip",)}, {"output_tooltips": ["tip"]}),
    ({"OUTPUT_NODE": True}, {"output_node": True}),
    ({"OUTPUT_NODE": 1}, {"output_node": False}),
    ({"INPUT_IS_LIST": True}, {"is_input_list": True}),
    ({"DEPRECATED": True}, {"deprecated": True}),
    ({"EXPERIMENTAL": True}, {"experimental": True}),
    ({"API_NODE": True}, {"api_node": True}),
    ({"DEV_ONLY": True}, {"dev_only": True}),
    ({"SEARCH_ALIASES": ["s"]}, {"search_aliases": ["s"]}),
    ({"ESSENTIALS_CATEGORY": "e"}, {"essentials_category": "e"}),
    ({"HAS_INTERMEDIATE_OUTPUT": True}, {"has_intermediate_output": True}),
    ({"RELATIVE_PYTHON_MODULE": "custom_nodes.x"}, {"python_module": "custom_nodes.x"}),
]


@pytest.mark.parametrize(("members", "served"), MEMBERS)
def test_a_member_as_it_is_served(members: dict[str, Any], served: dict[str, Any]) -> None:
    entry = schema_of("Node", simple_node(lambda: (1,), {}, **members)).to_object_info()
    assert {key: entry.get(key) for key in served} == served


def test_a_class_without_category_is_served_under_sd() -> None:
    cls = simple_node(lambda: (1,), {})
    del cls.CATEGORY  # type: ignore[attr-defined]
    assert schema_of("Node", cls).category == "sd"


OPTIONS: list[Any] = [
    *(("INT", {"default": 1, "min": 0, "max": 9, "step": 2, "display": "slider"}), ("FLOAT", {"round": 0.1})),
    *(("BOOLEAN", {"label_on": "a", "label_off": "b"}), ("STRING", {"multiline": True, "placeholder": "p"})),
    *(("STRING", {"dynamicPrompts": True, "tooltip": "t", "advanced": True}), ("INT", {"forceInput": True})),
    *(("INT", {"defaultInput": True}), ("INT", {"socketless": True, "widgetType": "X", "hidden": True})),
    *(("INT", {"control_after_generate": "increment"}), ("COMBO", {"options": ["a"], "multiselect": True})),
    *((["a"], {"image_upload": True, "image_folder": "input", "allow_batch": True}), (["a"],)),
    *((["a"], {"audio_upload": True}),),
    *((["a"], {"video_upload": True, "upload_subfolder": "x"}), (["a"], {"animated_image_upload": True})),
    *(("COMBO", {"remote": {"route": "/r", "refresh": 1}}), ("COMBO", {"multi_select": {"chip": True}})),
    *(("IMAGE", {"lazy": True}), ("IMAGE", {"rawLink": True}), ("IMAGE",), ("*",), ("IMAGE,MASK", {})),
]


@pytest.mark.parametrize("spec", OPTIONS)
def test_an_option_of_an_input_is_served_as_it_is(spec: Any) -> None:
    entry = schema_of("Node", simple_node(lambda **_: (1,), {"x": spec})).to_object_info()
    assert entry["input"]["required"]["x"] == [list(part) if type(part) is tuple else part for part in spec]


@pytest.mark.parametrize(
    ("spec", "value", "kind"),
    [
        (("INT", {"min": 1}), 0, "value_smaller_than_min"),
        (("FLOAT", {"max": 1.0}), 2, "value_bigger_than_max"),
        (("INT", {"min": 1}), "2", None),
        (("INT", {}), "x", "invalid_input_type"),
        (("BOOLEAN", {}), "false", None),
        ((["a", "b"], {}), "c", "value_not_in_list"),
        (("COMBO", {"options": ["a"]}), "c", "value_not_in_list"),
        ((["in/a", "b"], {}), "in\\a", None),
        ((["euler"], {}), "sample_euler", None),
        (("COMBO", {"options": ["in\\a"]}), "in/a", None),
        ((["in/a"], {}), "other\\a", "value_not_in_list"),
        (("COMBO", {"options": ["a", "b"], "multiselect": True}), {"__value__": ["a", "b"]}, None),
        (("COMBO", {"options": ["a"], "multiselect": True}), {"__value__": ["a", "c"]}, "value_not_in_list"),
        (("COMBO", {"remote": {"route": "/r"}}), "whatever", None),
        (("CURVE", {}), {"__type__": "CURVE", "__value__": [[0, 1]]}, None),
        (("IMAGE", {}), [1, 2, 3], "bad_linked_input"),
        (("IMAGE", {}), ["s2", 0], "return_type_mismatch"),
        (("STRING,INT", {}), ["s2", 0], None),
    ],
)
def test_a_value_is_checked_by_its_options(spec: Any, value: Any, kind: str | None) -> None:
    nodes = {"Node": simple_node(lambda **_: (1,), {"x": spec}), "Show": SHOW}
    nodes["Text"] = simple_node(lambda: ("",), {}, ("STRING",))
    prompt = {"1": node("Node", x=value), "s2": node("Text"), **SEEN}
    assert [problem.kind for problem in check(prompt, nodes)] == ([] if kind is None else [kind])


class Hides:
    """What each hidden source gives."""

    RETURN_TYPES = ("*",)
    FUNCTION = "run"
    SOURCES = (
        *("PROMPT", "DYNPROMPT", "EXTRA_PNGINFO", "UNIQUE_ID", "AUTH_TOKEN_COMFY_ORG", "API_KEY_COMFY_ORG"),
        *("COMFY_USAGE_SOURCE", "NOBODY_KNOWS"),
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {}, "hidden": {f"my_{source}": source for source in cls.SOURCES}}

    def run(self, **hidden: Any) -> Any:
        return ([hidden[f"my_{source}"] for source in self.SOURCES],)


def test_hidden_inputs_come_by_their_source_under_the_author_s_name() -> None:
    extra = {"extra_pnginfo": {"workflow": 1}, "auth_token_comfy_org": "t", "api_key_comfy_org": "k"}
    prompt = {"1": node("Node")}
    (found,) = shown(Hides, prompt, extra_data={**extra, "comfy_usage_source": "cli"})
    assert sorted(found[0]) == ["1", "s"] and found[1].get_node("1")["class_type"] == "Node"
    assert found[2:] == [{"workflow": 1}, "1", "t", "k", "cli", None]


RETURNS: list[tuple[Any, Any]] = [
    ((7,), [7]),
    ([7], [7]),
    ({"result": (7,)}, [7]),
    ({"ui": {"text": ["x"]}, "result": (7,)}, [7]),
    (ExecutionBlocker("no"), None),
    ((ExecutionBlocker(None),), None),
    ({"result": ExecutionBlocker(None)}, None),
    ({"result": (["e", 0],), "expand": {"e": {"class_type": "Node", "inputs": {"deep": 1}}}}, [8]),
]


@pytest.mark.parametrize(("returned", "seen"), RETURNS)
@pytest.mark.parametrize("later", [False, True])
def test_what_a_function_may_give(returned: Any, seen: Any, later: bool) -> None:
    def run(deep: int = 0) -> Any:
        return (8,) if deep else returned

    async def run_later(deep: int = 0) -> Any:
        await asyncio.sleep(0)
        return run(deep)

    assert shown(simple_node(run_later if later else run, {"optional": {"deep": ANY}})) == seen


@pytest.mark.parametrize("returned", [None, 7, "text"])
def test_what_a_function_may_not_give(returned: Any) -> None:
    with pytest.raises(NodeError, match="it returned"):
        shown(simple_node(lambda: returned, {}))


TRICKS: list[tuple[str, dict[str, Any], dict[str, Any], Any]] = [
    ("an undeclared link is passed", {}, {"more": ["l", 0]}, {"more": 1}),
    ("an undeclared constant is dropped", {}, {"more": 3}, {}),
    ("a missing optional input is not passed", {"optional": {"a": ANY}}, {}, {}),
    ("the server fills no defaults", {"optional": {"a": ("INT", {"default": 5})}}, {}, {}),
    ("a raw link is the link itself", {"required": {"a": ("*", {"rawLink": True})}}, {"a": ["l", 0]},
     {"a": ["l", 0]}),
    ("a lazy input without the method is None", {"required": {"a": ("*", {"lazy": True})}}, {"a": ["l", 0]},
     {"a": None}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("types", "inputs", "given"), [row[1:] for row in TRICKS], ids=[r[0] for r in TRICKS]
)
def test_which_inputs_a_function_gets(types: Any, inputs: Any, given: Any) -> None:
    cls = simple_node(lambda **values: (values,), {"required": {}, **types})
    prompt = {"1": node("Node", **inputs), "l": node("One")}
    nodes = {"Node": cls, "Show": SHOW, "One": simple_node(lambda: (1,), {})}
    assert Executor(nodes).run_here({**prompt, **SEEN}).outputs["s"]["shown"] == [given]


LISTS: list[tuple[dict[str, Any], dict[str, Any], Any]] = [
    ({}, {"a": ["l", 0], "b": 5}, [(1, 5), (2, 5)]),
    ({"INPUT_IS_LIST": True}, {"a": ["l", 0], "b": 5}, [([1, 2], [5])]),
    ({"INPUT_IS_LIST": True, "OUTPUT_IS_LIST": (True,)}, {"a": ["l", 0], "b": 5}, [[1, 2], [5]]),
]


@pytest.mark.parametrize(("members", "inputs", "seen"), LISTS)
def test_lists_are_mapped_or_handed_over(members: Any, inputs: Any, seen: Any) -> None:
    cls = simple_node(lambda a, b: ((a, b),), {"a": ANY, "b": ANY}, **members)
    assert shown(cls, {"1": node("Node", **inputs), "l": node("List")}) == seen


def test_empty_lists_are_as_the_field_has_them() -> None:
    empty = {"required": {"a": ANY}, "optional": {"b": ANY}}
    cls = simple_node(lambda **values: (values,), empty)
    nodes = {"Node": cls, "Show": SHOW, "No": simple_node(lambda: ([],), {}, OUTPUT_IS_LIST=(True,))}
    alone = {"1": node("Node", a=["n", 0]), "n": node("No"), **SEEN}
    assert Executor(nodes).run_here(alone).outputs["s"]["shown"] == [{}]
    with pytest.raises(NodeError, match="IndexError"):
        Executor(nodes).run_here({**alone, "1": node("Node", a=["n", 0], b=1)})


IS_CHANGED: list[tuple[Any, int]] = [
    (None, 1),
    (classmethod(lambda cls, **_: True), 1),
    (staticmethod(lambda **_: "same"), 1),
    (staticmethod(lambda **_: float("nan")), 2),
    (lambda: 1, 2),  # an instance method lacks its self, which counts as changed
]


@pytest.mark.parametrize(("method", "runs"), IS_CHANGED)
def test_is_changed_decides_whether_a_node_runs_again(method: Any, runs: int) -> None:
    calls: list[int] = []
    members = {} if method is None else {"IS_CHANGED": method}
    cls = simple_node(lambda **_: (calls.append(1),), {"n": ANY}, **members)
    executor = Executor({"Node": cls, "Show": SHOW})
    for _ in range(2):
        executor.run_here({"1": node("Node", n=1), **SEEN})
    assert len(calls) == runs


async def later(**values: Any) -> Any:
    return "later"


def test_is_changed_sees_constants_and_is_written_into_the_prompt() -> None:
    seen: list[Any] = []

    def changed(**values: Any) -> Any:
        seen.append(values)
        return "mark"

    cls = simple_node(
        lambda **values: (values["p"]["1"]["is_changed"],),
        {"required": {"n": ANY, "l": ANY}, "hidden": {"p": "PROMPT"}},
        IS_CHANGED=staticmethod(changed),
    )
    assert shown(cls, {"1": node("Node", n=3, l=["l", 0]), "l": node("List")})[0] == ["mark"]
    assert (seen[0]["n"], seen[0]["l"]) == (3, None) and "1" in seen[0]["p"]
    awaited = simple_node(
        lambda p: (p["1"]["is_changed"],),
        {"required": {}, "hidden": {"p": "PROMPT"}},
        IS_CHANGED=staticmethod(later),
    )
    assert shown(awaited) == [["later"]]


VALIDATORS: list[tuple[Any, dict[str, Any], list[str]]] = [
    (lambda a: True, {"a": 99}, []),
    (lambda a: False, {"a": 1}, ["custom_validation_failed"]),
    (lambda a: "too odd", {"a": 1}, ["custom_validation_failed"]),
    (lambda **more: True, {"a": 99}, []),
    (lambda b=None: True, {"a": 99}, ["value_bigger_than_max"]),
    (lambda a: True, {"a": "x"}, ["invalid_input_type"]),
    (lambda input_types: input_types == {"b": "STRING"}, {"a": 1, "b": ["t", 0]}, []),
    (lambda a, b: True if b is None else "a link came", {"a": 1, "b": ["t", 0]}, ["return_type_mismatch"]),
]


@pytest.mark.parametrize(("validator", "inputs", "kinds"), VALIDATORS)
def test_validate_inputs_takes_over_what_it_names(validator: Any, inputs: Any, kinds: list[str]) -> None:
    types = {"required": {"a": ("INT", {"max": 9})}, "optional": {"b": ("IMAGE",)}}
    nodes = {
        "Node": simple_node(lambda **_: (1,), types, VALIDATE_INPUTS=staticmethod(validator)),
        "Show": SHOW,
        "Text": simple_node(lambda: ("",), {}, ("STRING",)),
    }
    prompt = {"1": node("Node", **inputs), "t": node("Text"), **SEEN}
    assert [problem.kind for problem in check(prompt, nodes)] == kinds


def test_a_return_type_past_the_end_is_asked_of_the_tuple_itself() -> None:
    nodes = {
        "Node": simple_node(lambda: (1, 2, 3), {}, OpenTuple(("IMAGE", "*"))),
        "Show": SHOW,
        "Text": simple_node(lambda v: (), {"v": ("STRING",)}, (), OUTPUT_NODE=True),
    }
    prompt = {"1": node("Node"), "2": node("Text", v=["1", 5]), "3": node("Show", value=["1", 2])}
    assert check_prompt(prompt, nodes).problems == ()
    assert Executor(nodes).run_here(prompt, outputs=["3"]).outputs["3"]["shown"] == [3]


@pytest.mark.parametrize(("members", "runs"), [({}, 1), ({"NOT_IDEMPOTENT": True}, 2)])
def test_equal_nodes_share_a_result_unless_they_say_otherwise(members: Any, runs: int) -> None:
    calls: list[int] = []
    cls = simple_node(lambda: (calls.append(1),), {}, **members)
    prompt = {"1": node("Node"), "2": node("Node"), **SEEN, "t": node("Show", value=["2", 0])}
    run_prompt({"Node": cls, "Show": SHOW}, prompt)
    assert len(calls) == runs == (2 if contract_of("Node", cls).uses_own_id else 1)


def test_what_stands_in_a_node_is_told_again_although_it_was_kept() -> None:
    cls = simple_node(lambda: {"ui": {"crop": [1]}, "result": (1,)}, {}, HAS_INTERMEDIATE_OUTPUT=True)
    executor = Executor({"Node": cls, "Show": SHOW})
    told: list[Any] = []
    for _ in range(2):
        told.clear()
        executor.run_here({"1": node("Node"), "unused": node("Node"), **SEEN}, told.append)
        executed = {event.node: event.output for event in told if event.name == "executed"}
        assert executed == {"1": {"crop": [1]}, "s": {"shown": [1]}}
