import inspect
from typing import Any

import pytest
from noderack_host.contract import ContractError, choices_of, contract_of, schema_of


class Plain:
    """The shape of most nodes."""

    CATEGORY = "image"
    RETURN_TYPES = ("IMAGE", ["a", "b"])
    RETURN_NAMES = ("picture",)
    OUTPUT_IS_LIST = (True,)
    OUTPUT_TOOLTIPS = ("the picture",)
    FUNCTION = "run"
    DEPRECATED = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"image": ("IMAGE",), "mode": (["x", "y"], {"default": "y"})},
            "optional": {"seed": ("INT", {"min": 0})},
            "hidden": {"me": "UNIQUE_ID"},
        }

    def run(self, **values: Any) -> Any:
        return (values, "a")


class AnyKey(dict[str, Any]):
    def __contains__(self, key: object) -> bool:
        return True

    def __getitem__(self, key: str) -> Any:
        return ("*", {"lazy": True})


def test_a_class_becomes_the_entry_that_hosts_serve() -> None:
    entry = schema_of("Plain", Plain, "A plain node", "custom_nodes.x").to_object_info()
    assert entry == {
        "input": {
            "required": {"image": ["IMAGE"], "mode": [["x", "y"], {"default": "y"}]},
            "optional": {"seed": ["INT", {"min": 0}]},
            "hidden": {"me": "UNIQUE_ID"},
        },
        "input_order": {"required": ["image", "mode"], "optional": ["seed"], "hidden": ["me"]},
        "output": ["IMAGE", ["a", "b"]],
        "output_is_list": [True, False],
        "output_name": ["picture", "COMBO"],
        "output_tooltips": ["the picture", None],
        "name": "Plain",
        "display_name": "A plain node",
        "description": "",
        "python_module": "custom_nodes.x",
        "category": "image",
        "output_node": False,
        "deprecated": True,
    }


def test_the_executor_s_view() -> None:
    contract = contract_of("Plain", Plain)
    assert (contract.function, contract.is_async, contract.output_count) == ("run", False, 2)
    assert contract.output_is_list == (True, False)
    assert contract.hidden == {"me": "UNIQUE_ID"} and contract.uses_own_id
    info = contract.input("mode")
    assert info is not None and choices_of(info) == ("x", "y")
    assert contract.input("other") is None


def test_a_container_that_knows_any_name_is_asked_and_not_copied() -> None:
    class Grows(Plain):
        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {}, "optional": AnyKey()}

    info = contract_of("Grows", Grows).input("image_17")
    assert info is not None and info.type == "*" and info.options["lazy"]


@pytest.mark.parametrize("depth", [1, 2])
def test_packs_that_look_at_the_stack_find_graph_building(depth: int) -> None:
    class Looks(Plain):
        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            building = inspect.stack()[depth].function == "get_input_info"
            return {"required": {}, "optional": AnyKey() if building else {}}

    contract = contract_of("Looks", Looks)
    assert contract.built_input("anything") is not None
    assert contract.input("anything") is None


@pytest.mark.parametrize(
    ("member", "value", "says"),
    [
        ("FUNCTION", "absent", "FUNCTION is 'absent'"),
        ("RETURN_TYPES", "IMAGE", "expected a tuple"),
        ("INPUT_TYPES", classmethod(lambda cls: 1 / 0), "INPUT_TYPES failed: ZeroDivisionError"),
        ("INPUT_TYPES", classmethod(lambda cls: []), "expected a dict"),
    ],
)
def test_a_broken_class_says_what_is_wrong(member: str, value: Any, says: str) -> None:
    broken = type("Broken", (Plain,), {member: value})
    with pytest.raises(ContractError, match=says):
        contract_of("Broken", broken)
