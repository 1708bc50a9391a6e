"""Conditioning, strings and primitives: tables of inputs and results."""

from typing import Any

import pytest
import torch
from noderack_nodes import NODE_CLASS_MAPPINGS
from noderack_nodes.errors import NodeInputError


def run(name: str, /, *args: Any, **inputs: Any) -> Any:
    node = NODE_CLASS_MAPPINGS[name]()
    result = getattr(node, node.FUNCTION)(*args, **inputs)
    return result[0] if isinstance(result, tuple) and len(result) == 1 else result


def conditioning(value: float, tokens: int = 2, **options: Any) -> list[list[Any]]:
    return [[torch.full((1, tokens, 3), value), options]]


def test_options_are_set_on_a_copy() -> None:
    before = conditioning(1.0, strength=2)
    after = run("ConditioningSetArea", before, 64, 128, 8, 16, 0.5)
    assert after[0][1] == {"strength": 0.5, "area": (16, 8, 2, 1), "set_area_to_bounds": False}
    assert before[0][1] == {"strength": 2}


@pytest.mark.parametrize(
    ("node", "values", "options"),
    [
        (
            "ConditioningSetAreaPercentage",
            (0.5, 0.25, 0.1, 0.2, 1.0),
            {"area": ("percentage", 0.25, 0.5, 0.2, 0.1)},
        ),
        ("ConditioningSetAreaStrength", (0.3,), {"strength": 0.3}),
        ("ConditioningSetTimestepRange", (0.1, 0.9), {"start_percent": 0.1, "end_percent": 0.9}),
    ],
)
def test_what_a_node_says_to_the_sampler(node: str, values: tuple[Any, ...], options: dict[str, Any]) -> None:
    assert options.items() <= run(node, conditioning(1.0), *values)[0][1].items()


def test_a_mask_gets_a_batch_axis() -> None:
    ((_, options),) = run("ConditioningSetMask", conditioning(1.0), torch.ones(4, 4), "mask bounds", 0.5)
    assert options["mask"].shape == (1, 4, 4)
    assert (options["set_area_to_bounds"], options["mask_strength"]) == (True, 0.5)


def test_combine_concat_average() -> None:
    one, two = conditioning(1.0, pooled_output=torch.ones(1, 3)), conditioning(3.0, tokens=1)
    assert len(run("ConditioningCombine", one, two)) == 2
    assert run("ConditioningConcat", one, two)[0][0].shape == (1, 3, 3)
    averaged = run("ConditioningAverage", one, two, 0.5)[0][0]
    assert averaged[0, :, 0].tolist() == [2.0, 0.5], "a shorter text is filled with zeros"
    mixed = run("ConditioningAverage", two, one, 0.25)[0]
    assert mixed[0][0, 0, 0] == 1.5 and mixed[1]["pooled_output"].tolist() == [[1, 1, 1]]


def test_zero_out_reaches_the_pooled_text() -> None:
    ((tensor, options),) = run("ConditioningZeroOut", conditioning(1.0, pooled_output=torch.ones(1, 3)))
    assert tensor.abs().sum() == 0 and options["pooled_output"].abs().sum() == 0


@pytest.mark.parametrize(
    ("node", "inputs", "expected"),
    [
        ("StringConcatenate", {"string_a": "a", "string_b": "b", "delimiter": ", "}, "a, b"),
        ("StringSubstring", {"string": "abcdef", "start": 1, "end": -1}, "bcde"),
        ("StringLength", {"string": "naïve"}, 5),
        ("CaseConverter", {"string": "aB c", "mode": "Title Case"}, "Ab C"),
        ("StringTrim", {"string": " a ", "mode": "Left"}, "a "),
        ("StringReplace", {"string": "a.b.c", "find": ".", "replace": "-"}, "a-b-c"),
        ("StringContains", {"string": "ABC", "substring": "b", "case_sensitive": False}, True),
        ("StringContains", {"string": "ABC", "substring": "b", "case_sensitive": True}, False),
        (
            "StringCompare",
            {"string_a": "Abc", "string_b": "C", "mode": "Ends With", "case_sensitive": False},
            True,
        ),
        ("RegexReplace", {"string": "A1a2", "regex_pattern": r"a(\d)", "replace": r"<\1>"}, "<1><2>"),
        ("PrimitiveInt", {"value": 3}, 3),
    ],
)
def test_values(node: str, inputs: dict[str, Any], expected: Any) -> None:
    assert run(node, **inputs) == expected


@pytest.mark.parametrize(
    ("mode", "group", "expected"),
    [
        ("First Match", 1, "k1=v1"),
        ("All Matches", 1, "k1=v1\nk2=v2"),
        ("First Group", 2, "v1"),
        ("All Groups", 1, "k1\nk2"),
        ("First Group", 9, ""),
    ],
)
def test_regex_extract(mode: str, group: int, expected: str) -> None:
    flags = {"case_insensitive": True, "multiline": False, "dotall": False}
    found = run("RegexExtract", "k1=v1 k2=v2", r"(\w+)=(\w+)", mode, group_index=group, **flags)
    assert found == expected


def test_a_bad_pattern_says_so() -> None:
    with pytest.raises(NodeInputError, match="not a regular expression"):
        run("RegexReplace", string="a", regex_pattern="(", replace="")


@pytest.mark.parametrize(("value", "shown"), [("a", "a"), (1.5, "1.5"), (None, "None"), ([1], "[\n    1\n]")])
def test_preview_any(value: Any, shown: str) -> None:
    assert run("PreviewAny", value) == {"ui": {"text": (shown,)}, "result": (shown,)}
