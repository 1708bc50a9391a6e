from typing import Any

import pytest
from noderack_host.check import PromptInvalid, check, check_prompt
from noderack_host.check_input import types_fit
from noderack_host.testing import simple_node

NUMBER = ("INT", {"min": 1, "max": 9})
SAMPLER = (["euler", "heun", "dpmpp_2m"], {})
FILE = (["style/a.safetensors", "b.safetensors"], {})


class Wild(str):
    """The wildcard that packs ship."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


def validate(steps: int) -> Any:
    return True if steps != 13 else "unlucky"


NODES = {
    "Make": simple_node(lambda **_: (1,), {"steps": NUMBER, "sampler": SAMPLER}, ("IMAGE",)),
    "Load": simple_node(lambda **_: (1,), {"file": FILE}, ("MODEL",)),
    "Save": simple_node(lambda **_: (), {"image": ("IMAGE",)}, (), OUTPUT_NODE=True),
    "Own": simple_node(
        lambda **_: (1,), {"steps": NUMBER}, ("IMAGE",), VALIDATE_INPUTS=staticmethod(validate)
    ),
    "Raises": simple_node(
        lambda **_: (1,), {"steps": NUMBER}, ("IMAGE",), VALIDATE_INPUTS=staticmethod(lambda steps: 1 / 0)
    ),
    "Flags": simple_node(
        lambda **_: (1,), {"on": ("BOOLEAN",), "text": ("STRING",), "f": ("FLOAT",)}, ("IMAGE",)
    ),
}
SAVE = {"class_type": "Save", "inputs": {"image": ["1", 0]}}


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def with_save(made: Any) -> dict[str, Any]:
    return {"0": node("Load", file="b.safetensors"), "1": made, "2": SAVE}


CASES = [
    (
        node("Make", steps=5, sampler="eulr"),
        "value_not_in_list",
        "node 1 (Make), input sampler: 'eulr' is not",
        "'euler'",
    ),
    (node("Make", steps=5), "required_input_missing", "input sampler: it is required", ""),
    (
        node("Make", steps=0, sampler="heun"),
        "value_smaller_than_min",
        "Value 0 smaller than min of 1",
        "allowed value is 1",
    ),
    (
        node("Make", steps=99, sampler="heun"),
        "value_bigger_than_max",
        "Value 99 bigger than max of 9",
        "is 9",
    ),
    (
        node("Make", steps="x", sampler="heun"),
        "invalid_input_type",
        "'x' cannot be read: invalid",
        "of the type INT",
    ),
    (
        node("Make", steps=["3", 0], sampler="heun"),
        "bad_linked_input",
        "node 3, which is not in the prompt",
        "",
    ),
    (node("Make", steps=["0", 5], sampler="heun"), "bad_linked_input", "output 5 of node 0 (Load)", ""),
    (node("Make", steps=[1, 2, 3], sampler="heun"), "bad_linked_input", "is no link", ""),
    (node("Load", file="b.safetensors"), "return_type_mismatch", "received_type(MODEL)", "type IMAGE"),
    (node("Own", steps=13), "custom_validation_failed", "steps - unlucky", ""),
    (node("Raises", steps=1), "exception_during_validation", "division by zero", ""),
    (node("Mak"), "missing_node_type", "no pack here has this node type", "did you mean 'Make'?"),
    ({"inputs": {}}, "invalid_prompt", "missing the class_type", ""),
    ({"class_type": "Make", "inputs": 3}, "invalid_prompt", "inputs must be an object", ""),
]


@pytest.mark.parametrize(("made", "kind", "says", "hint"), CASES)
def test_a_problem_says_what_where_and_what_would_be_right(
    made: Any, kind: str, says: str, hint: str
) -> None:
    problem = check(with_save(made), NODES)[0]
    assert problem.kind == kind
    assert says in problem.sentence() and hint in problem.sentence()
    assert set(problem.as_dict()) == {"type", "message", "details", "extra_info"}


def test_a_file_named_with_the_other_systems_slashes_is_the_one_in_the_list() -> None:
    show = simple_node(lambda **_: (), {"file": FILE}, (), OUTPUT_NODE=True)
    checked = check_prompt({"1": node("Show", file="style\\a.safetensors")}, {"Show": show})
    assert not checked.problems
    assert checked.prompt["1"]["inputs"] == {"file": "style/a.safetensors"}


def test_a_good_prompt_has_its_literals_converted_and_is_left_alone() -> None:
    given = {"1": node("Flags", on="false", text=3, f="2"), "2": SAVE}
    checked = check_prompt(given, NODES)
    assert checked.problems == () and checked.outputs == ("2",)
    assert checked.prompt["1"]["inputs"] == {"on": True, "text": "3", "f": 2.0}
    assert given["1"]["inputs"]["text"] == 3


def test_all_problems_come_at_once_with_the_outputs_they_spoil() -> None:
    prompt = {
        "1": node("Make", steps=0, sampler="x"),
        "2": SAVE,
        "3": node("Make", steps=1, sampler="heun"),
        "4": {"class_type": "Save", "inputs": {"image": ["3", 0]}},
    }
    checked = check_prompt(prompt, NODES)
    assert checked.outputs == ("4",)
    assert [(found.input_name, found.outputs) for found in checked.problems] == [
        ("steps", ("2",)),
        ("sampler", ("2",)),
    ]
    assert check_prompt(prompt, NODES, targets=["2"]).outputs == ()


def test_the_answer_that_clients_read() -> None:
    with pytest.raises(PromptInvalid) as caught:
        check_prompt(with_save(node("Make", steps=1, sampler="x")), NODES).or_raise()
    answer = caught.value.as_response()
    assert answer["error"]["type"] == "prompt_outputs_failed_validation"
    entry = answer["node_errors"]["1"]
    assert (entry["class_type"], entry["dependent_outputs"]) == ("Make", ["2"])
    assert entry["errors"][0] == {
        "type": "value_not_in_list",
        "message": "Value not in list",
        "details": "sampler: 'x' not in ['euler', 'heun', 'dpmpp_2m']",
        "extra_info": {
            "input_name": "sampler",
            "input_config": [["euler", "heun", "dpmpp_2m"], {}],
            "received_value": "x",
        },
    }


def test_nodes_that_wait_for_each_other_are_found() -> None:
    prompt = {"1": node("Save", image=["2", 0]), "2": SAVE | {"inputs": {"image": ["1", 0]}}}
    problems = check(prompt, NODES)
    assert any(found.kind == "dependency_cycle" and "1 → 2 → 1" in found.sentence() for found in problems)


@pytest.mark.parametrize("prompt", [{}, {"1": node("Load", file="b.safetensors")}])
def test_a_prompt_without_outputs_says_so(prompt: Any) -> None:
    assert [found.kind for found in check(prompt, NODES)] == ["prompt_no_outputs"]


def test_a_file_from_another_system_is_suggested_by_its_name() -> None:
    problem = check({"1": node("Load", file="A.safetensors"), "2": SAVE}, NODES)[0]
    assert problem.hint == "did you mean 'style/a.safetensors'?"


def test_a_long_chain_is_checked_without_recursion() -> None:
    grey = simple_node(lambda **_: (1,), {"image": ("IMAGE",)}, ("IMAGE",))
    prompt = {"0": node("Make", steps=1, sampler="heun")}
    prompt |= {str(n): node("Grey", image=[str(n - 1), 0]) for n in range(1, 5000)}
    prompt |= {"s": node("Save", image=["4999", 0])}
    assert check_prompt(prompt, {**NODES, "Grey": grey}).outputs == ("s",)


@pytest.mark.parametrize(
    ("received", "wanted", "fits"),
    [
        ("IMAGE", "IMAGE", True),
        ("IMAGE", "MASK", False),
        ("IMAGE", "MASK,IMAGE", True),
        ("A, B", "B,C", True),
        ("*", "IMAGE", True),
        ("IMAGE", "*", True),
        (Wild("*"), "IMAGE", True),
        ("IMAGE", Wild("x"), True),
        (["a"], ["a", "b"], True),
        (["a"], "COMBO", True),
        ("COMBO", ["a"], True),
        (["a"], "IMAGE", False),
    ],
)
def test_types_at_the_ends_of_a_link(received: Any, wanted: Any, fits: bool) -> None:
    assert types_fit(received, wanted) is fits
