"""Random graphs survive UI -> API -> UI -> API: what we write, we and the editors read back the same."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from noderack_host.schema import NodeSchema, read_schemas
from noderack_host.workflow import read_workflow
from noderack_host.workflow.layout import to_ui
from noderack_host.workflow.widgets import is_widget

CASES = Path(__file__).parents[1] / "cases/workflows"
SCHEMAS = read_schemas(CASES / "object_info.json")
UNKNOWN = ("Unheard Of", "Some|Pack's Node", "Knoten-ä")
TYPES = (*SCHEMAS, *UNKNOWN)

texts = st.text(st.characters(blacklist_categories=("Cs",)), max_size=12)
values = st.one_of(st.integers(-(2**64), 2**64), st.floats(allow_nan=False), texts, st.booleans())
ids = st.one_of(st.integers(1, 99).map(str), st.sampled_from(["12:3", "7:8:9", "node-x", "007"]))


def value_for(item: Any, draw: Any) -> Any:
    match item.type:
        case "INT":
            return draw(st.integers(0, 2**64 - 1))
        case "FLOAT":
            return draw(st.floats(allow_nan=False, allow_infinity=False))
        case "COMBO":
            return draw(st.sampled_from(item.choices))
    return draw(texts)


@st.composite
def prompts(draw: Any) -> dict[str, Any]:
    """Prompts whose links lead to earlier nodes, of known and unknown types."""
    prompt: dict[str, Any] = {}
    for key in draw(st.lists(ids, unique=True, max_size=9)):
        kind = draw(st.sampled_from(TYPES))
        schema = SCHEMAS.get(kind)
        earlier = list(prompt)
        inputs = known_inputs(schema, earlier, draw) if schema else unknown_inputs(earlier, draw)
        prompt[key] = {"class_type": kind, "inputs": inputs}
    return prompt


def known_inputs(schema: NodeSchema, earlier: list[str], draw: Any) -> dict[str, Any]:
    inputs: dict[str, Any] = {}
    for item in schema.of_kind("required", "optional"):
        if is_widget(item) and not (earlier and draw(st.integers(0, 9)) == 0):
            inputs[item.name] = value_for(item, draw)
        elif earlier and draw(st.integers(0, 3)):
            inputs[item.name] = [draw(st.sampled_from(earlier)), draw(st.integers(0, 3))]
    return inputs


def unknown_inputs(earlier: list[str], draw: Any) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(["a", "b", "seed", "text", "x.y", "ä"]), unique=True, max_size=5))
    inputs: dict[str, Any] = {}
    for name in names:
        if earlier and draw(st.booleans()):
            inputs[name] = [draw(st.sampled_from(earlier)), draw(st.integers(0, 3))]
        else:
            inputs[name] = draw(
                st.one_of(values, st.lists(values, max_size=3).map(lambda v: {"__value__": v}))
            )
    return inputs


def to_prompt(ui: dict[str, Any]) -> dict[str, Any]:
    workflow = read_workflow(json.dumps(ui))
    prompt = workflow.prompt(SCHEMAS, defaults=False).prompt
    return {key: {k: v for k, v in node.items() if k != "_meta"} for key, node in prompt.items()}


quick = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@quick
@given(prompts())
def test_prompts_survive_being_laid_out(prompt: dict[str, Any]) -> None:
    ui = to_ui(prompt, SCHEMAS).ui
    again = to_prompt(ui) if prompt else {}
    for key, node in prompt.items():
        kept = {k: v for k, v in again[key]["inputs"].items() if k in node["inputs"]}
        assert kept == node["inputs"], key
        assert again[key]["class_type"] == node["class_type"]
    assert (to_prompt(to_ui(again, SCHEMAS).ui) if again else {}) == again


@quick
@given(prompts(), st.randoms(use_true_random=False))
def test_graphs_with_everything_on_the_way_survive(prompt: dict[str, Any], rng: random.Random) -> None:
    ui = roughened(to_ui(prompt, SCHEMAS).ui, rng)
    once = to_prompt(ui) if ui["nodes"] else {}
    twice = to_prompt(to_ui(once, SCHEMAS).ui) if once else {}
    for key, node in once.items():
        assert {k: twice[key]["inputs"].get(k) for k in node["inputs"]} == node["inputs"]
    assert twice.keys() == once.keys()


def roughened(ui: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Modes set at random, re-routes put into links, sizes as objects, links as objects, ids as texts."""
    for node in ui["nodes"]:
        node["mode"] = rng.choice([0, 0, 0, 0, 2, 4])
        if rng.random() < 0.3:
            node["size"] = {"0": 210, "1": 58}
    number = 1000
    for link in list(ui["links"]):
        if rng.random() < 0.3:
            number += 1
            ui["nodes"].append(reroute(number, link[0]))
            ui["links"].append([number, number, 0, link[3], link[4], link[5]])
            target = next(node for node in ui["nodes"] if node["id"] == link[3])
            target["inputs"][link[4]]["link"] = number
            link[3:5] = [number, 0]
    if rng.random() < 0.3:
        names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
        ui["links"] = [dict(zip(names, link, strict=True)) for link in ui["links"]]
    return ui


def reroute(number: int, link: int) -> dict[str, Any]:
    slot = {"name": "", "type": "*", "link": link}
    out = {"name": "", "type": "*", "links": [number]}
    return {"id": number, "type": "Reroute", "mode": 0, "inputs": [slot], "outputs": [out]}


@quick
@given(prompts())
def test_nodes_do_not_overlap_and_links_run_right(prompt: dict[str, Any]) -> None:
    nodes = to_ui(prompt, SCHEMAS).ui["nodes"]
    boxes = [(*node["pos"], *node["size"]) for node in nodes]
    for at, (x, y, w, h) in enumerate(boxes):
        for x2, y2, w2, h2 in boxes[at + 1 :]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y


def test_the_same_prompt_gives_the_same_graph() -> None:
    prompt = json.loads((CASES / "txt2img.api.json").read_text())
    assert to_ui(prompt, SCHEMAS) == to_ui(json.loads(json.dumps(prompt)), SCHEMAS)
