from typing import Any

import pytest
from noderack_host.replace import by_old_type, replaced

NODES = {"New": 1, "Save": 1, "Other": 1}
RULE = {
    "old_node_id": "Old",
    "new_node_id": "New",
    "input_mapping": [{"new_id": "a", "old_id": "b"}, {"new_id": "mode", "set_value": "fast"}],
    "output_mapping": [{"old_idx": 0, "new_idx": 1}],
}
PROMPT = {
    "1": {"class_type": "Old", "inputs": {"b": 5, "gone": 1}, "_meta": {"title": "T"}},
    "2": {"class_type": "Save", "inputs": {"image": ["1", 0], "other": ["1", 3], "n": 7}},
}


def test_inputs_and_links_follow_the_new_type() -> None:
    found = replaced(PROMPT, [RULE], NODES)
    assert found["1"] == {"class_type": "New", "inputs": {"a": 5, "mode": "fast"}, "_meta": {"title": "T"}}
    assert found["2"]["inputs"] == {"image": ["1", 1], "other": ["1", 3], "n": 7}
    assert PROMPT["1"]["class_type"] == "Old"


@pytest.mark.parametrize(
    ("rules", "nodes"),
    [
        ([], NODES),
        ([RULE], {**NODES, "Old": 1}),
        ([{**RULE, "new_node_id": "Nowhere"}], NODES),
    ],
)
def test_what_is_there_or_has_no_usable_replacement_stays(rules: Any, nodes: Any) -> None:
    assert replaced(PROMPT, rules, nodes) == PROMPT


def test_a_chain_of_replaced_nodes_and_odd_prompts() -> None:
    chain = {"0": {"class_type": "Old", "inputs": {}}, "1": {"class_type": "Old", "inputs": {"b": ["0", 0]}}}
    assert replaced({**chain, "x": 3}, [RULE], NODES)["1"]["inputs"] == {"a": ["0", 1], "mode": "fast"}
    assert replaced({"1": {"class_type": ["x"]}, "2": {}}, [RULE], NODES) == {
        "1": {"class_type": ["x"]},
        "2": {},
    }


def test_each_new_type_is_listed_once() -> None:
    assert list(map(len, by_old_type([RULE, RULE, {**RULE, "new_node_id": "Other"}]).values())) == [2]
