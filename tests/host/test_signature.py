from typing import Any

import pytest
from noderack_host.signature import encode, node_key


def coded(value: Any) -> bytes:
    parts: list[bytes] = []
    encode(value, parts)
    return b"".join(parts)


DIFFERENT = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        10**30,
        0.0,
        -0.0,
        1.0,
        "",
        "1",
        b"1",
        (),
        {},
        [1],
        [[1]],
        [1, 1],
        {"a": 1},
    ),
    *({"a": {"b": 1}}, {"a": 1, "b": 1}, "i1;", ["a", "b"], ["ab"], "\ud800"),
]


def test_different_values_have_different_codes() -> None:
    assert len({coded(value) for value in DIFFERENT}) == len(DIFFERENT)


@pytest.mark.parametrize(
    ("one", "other"), [({"a": 1, "b": 2}, {"b": 2, "a": 1}), ([1, (2,)], (1, [2])), ("é", "\u00e9")]
)
def test_equal_values_have_one_code(one: Any, other: Any) -> None:
    assert coded(one) == coded(other)


@pytest.mark.parametrize("value", [float("nan"), object(), [object()], {1: 2}, set()])
def test_what_is_no_plain_data_is_equal_to_nothing(value: Any) -> None:
    assert coded(value) != coded(value)


def test_a_value_nested_without_end_is_no_plain_data() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert coded(endless) != coded(endless)


def test_the_order_of_inputs_does_not_matter_and_everything_else_does() -> None:
    base: dict[str, Any] = {"node_type": "T", "salt": "1", "own_id": None, "changed": False}
    base |= {"constants": [("a", 1), ("b", 2)], "links": [("c", b"k", 0)]}
    key = node_key(**base)
    assert node_key(**{**base, "constants": [("b", 2), ("a", 1)]}) == key
    others: list[dict[str, Any]] = [
        {"node_type": "U"},
        {"salt": "2"},
        {"own_id": "7"},
        {"changed": [False]},
        {"constants": [("a", 1), ("b", 3)]},
        {"links": [("c", b"k", 1)]},
        {"links": [("c", b"l", 0)]},
        {"links": []},
    ]
    assert len({node_key(**{**base, **other}) for other in others} | {key}) == len(others) + 1
