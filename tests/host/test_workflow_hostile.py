"""Mutated files and bombs: a sentence or a workflow, never a crash, a hang, or memory without bound."""

from __future__ import annotations

import copy
import json
import random
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from noderack_host.schema import read_schemas
from noderack_host.workflow import WorkflowError, read_workflow
from noderack_host.workflow.check import check_workflow
from noderack_host.workflow.picture import picture_of
from noderack_host.workflow.svg import svg

CASES = Path(__file__).parents[1] / "cases/workflows"
SCHEMAS = read_schemas(CASES / "object_info.json")
SEEDS = [path.read_bytes() for path in sorted(CASES.glob("*.json")) if path.name != "object_info.json"]
PICTURE = b"\x89PNG\r\n\x1a\n" + b"".join(
    len(body).to_bytes(4, "big") + b"tEXt" + body + bytes(4)
    for body in (b"prompt\0" + SEEDS[1], b"workflow\0" + SEEDS[0])
)
JUNK: list[Any] = [
    None,
    True,
    -1,
    0,
    1e308,
    float("nan"),
    2**70,
    "",
    "x",
    "-10",
    [],
    {},
    [None],
    {"0": 1},
    [[[]]],
]


def use(data: bytes) -> None:
    """All that the product does with a file."""
    workflow = read_workflow(data)
    workflow.prompt(SCHEMAS)
    workflow.node_uses(inactive=True)
    workflow.model_uses(inactive=True)
    check_workflow(workflow, SCHEMAS)
    svg(picture_of(workflow, SCHEMAS))


def survives(data: bytes) -> None:
    began = time.process_time()
    try:
        use(data)
    except WorkflowError as error:
        assert len(str(error)) > 10
    assert (
        time.process_time() - began < 5.0
    )  # a hang; `make bench-workflows` holds it to a second, data[:200]


def garbled(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, cut, doubled."""
    body = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(body) or 1)
        match rng.randrange(4):
            case 0:
                body[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del body[at : at + rng.randint(1, 40)]
            case 2:
                body[at:at] = body[max(at - 30, 0) : at]
            case _:
                body[at : at + 1] = rng.choice([b"{", b"}", b"[", b"]", b'"', b",", b"-", b"9" * 30])
    return bytes(body)


def restructured(data: bytes, rng: random.Random) -> bytes:
    """Values anywhere in the JSON replaced by junk, removed, or swapped with others."""
    value = json.loads(data)
    for _ in range(rng.randint(1, 6)):
        holder, key = place(value, rng)
        if holder is None:
            continue
        match rng.randrange(3):
            case 0:
                holder[key] = copy.deepcopy(rng.choice(JUNK))
            case 1:
                del holder[key]
            case _:
                other, other_key = place(value, rng)
                holder[key] = json.loads(json.dumps(other[other_key])) if other else None
    return json.dumps(value).encode()


def place(value: Any, rng: random.Random) -> tuple[Any, Any]:
    holder, key = None, None
    while isinstance(value, (dict, list)) and value and (holder is None or rng.random() < 0.85):
        holder, key = value, rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        value = holder[key]
    return holder, key


def mutations(
    count: int, seed: int
) -> list[tuple[Callable[[bytes, random.Random], bytes], bytes, random.Random]]:
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        mutate = rng.choice([garbled, restructured])
        data = rng.choice(SEEDS if mutate is restructured else [*SEEDS, PICTURE])
        made.append((mutate, data, random.Random(rng.random())))
    return made


def test_mutated_files() -> None:
    for mutate, data, rng in mutations(400, seed=1):
        survives(mutate(data, rng))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ten_thousand_mutated_files() -> None:
    for mutate, data, rng in mutations(10_000, seed=2):
        survives(mutate(data, rng))


def peak(data: bytes, what: Callable[[bytes], object]) -> int:
    tracemalloc.start()
    try:
        what(data)
    except WorkflowError:
        pass
    finally:
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return most


def test_mutated_files_take_no_more_than_ten_times_their_size() -> None:
    use(SEEDS[-1])
    for mutate, data, rng in mutations(60, seed=3):
        body = mutate(data, rng)
        assert peak(body, read_workflow) < 10 * len(body) + 300_000


def subgraph(name: str, *inner: str) -> dict[str, Any]:
    nodes = [{"id": at, "type": kind} for at, kind in enumerate(inner, 1)]
    return {"id": name, "name": name, "nodes": nodes, "links": []}


def ui(kinds: list[str], definitions: list[Any], **more: Any) -> bytes:
    nodes = [{"id": at, "type": kind} for at, kind in enumerate(kinds, 1)]
    return json.dumps(
        {"nodes": nodes, "links": [], "definitions": {"subgraphs": definitions}, **more}
    ).encode()


def chain(length: int) -> bytes:
    """A line of re-routes, then a node: followed without recursion."""
    nodes: list[Any] = [{"id": 1, "type": "LoadImage", "outputs": [{"name": "IMAGE", "type": "IMAGE"}]}]
    links = []
    for at in range(2, length):
        links.append([at, at - 1, 0, at, 0, "*"])
        kind = "Reroute" if at < length - 1 else "PreviewImage"
        nodes.append({"id": at, "type": kind, "inputs": [{"name": "images", "type": "*", "link": at}]})
    return json.dumps({"nodes": nodes, "links": links}).encode()


def comb(length: int) -> bytes:
    """A long line of re-routes with a node hanging on each: walked once, not once for each node."""
    value = json.loads(chain(length))
    for at in range(2, length - 1):
        value["links"].append([at + length, at, 0, at + length, 0, "*"])
        slot = {"name": "images", "type": "*", "link": at + length}
        value["nodes"].append({"id": at + length, "type": "PreviewImage", "inputs": [slot]})
    return json.dumps(value).encode()


def getters(count: int) -> bytes:
    nodes: list[Any] = [{"id": n, "type": "SetNode", "widgets_values": [str(n)]} for n in range(1, count)]
    links = []
    for n in range(count, 2 * count):
        nodes.append({"id": n, "type": "GetNode", "widgets_values": [str(n - count)]})
        nodes.append({"id": n + count, "type": "X", "inputs": [{"name": "x", "type": "*", "link": n}]})
        links.append([n, n, 0, n + count, 0, "*"])
    return json.dumps({"nodes": nodes, "links": links}).encode()


def many_borders(count: int) -> bytes:
    inner = subgraph("a", "PreviewImage")
    inner["inputs"] = [{"name": f"i{n}", "type": "INT"} for n in range(count)]
    inner["links"] = [[n, -10, n, 1, 0, "INT"] for n in range(count)]
    return ui(["a"], [inner])


BOMBS: list[tuple[str, Callable[[], bytes], str | None]] = [
    ("a sub-graph in itself", lambda: ui(["a"], [subgraph("a", "a")]), "contains itself"),
    ("two in each other", lambda: ui(["a"], [subgraph("a", "b"), subgraph("b", "a")]), "contains itself"),
    (
        "doubling",
        lambda: ui(["d0"], [subgraph(f"d{n}", f"d{n + 1}", f"d{n + 1}") for n in range(30)]),
        "more than 20000 nodes",
    ),
    (
        "a tower",
        lambda: ui(["d0"], [subgraph(f"d{n}", f"d{n + 1}") for n in range(200)]),
        "contains itself",
    ),
    (
        "a group in itself",
        lambda: ui(["workflow>g"], [], extra={"groupNodes": {"g": {"nodes": [{"type": "workflow>g"}]}}}),
        "contains itself",
    ),
    ("deep lists", lambda: b'{"nodes": [' + b"[" * 50_000 + b"]" * 50_000 + b"]}", "deeper"),
    ("deep objects", lambda: b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "deeper"),
    (
        "a huge number",
        lambda: b'{"1": {"class_type": "A", "inputs": {"x": ' + b"1" * 1_000_000 + b"}}}",
        "digits",
    ),
    ("a huge exponent", lambda: b'{"1": {"class_type": "A", "inputs": {"x": 1e999999999}}}', None),
    ("many brackets", lambda: b'{"nodes": [' + b"{}," * 100_000 + b'{"type": "A"}]}', "100001 nodes"),
    ("a long line of re-routes", lambda: chain(3000), None),
    (
        "a huge slot number",
        lambda: b'{"nodes":[{"id":1,"type":"A"}],"links":[[1,1,99999999999,1,99999999999,"X"]]}',
        None,
    ),
    ("JSON in JSON in JSON", lambda: nested_text(5), None),
    ("a comb of re-routes", lambda: comb(1500), None),
    ("many set and get nodes", lambda: getters(1000), None),
    ("many inputs of a sub-graph", lambda: many_borders(8000), None),
    ("fences without end", lambda: json.dumps({"a": "```json {" * 100_000}).encode(), "no graph"),
    ("elements without end", lambda: b"<svg " + b"<metadata><![CDATA[" * 50_000, "carries no workflow"),
    ("a long choice", lambda: ui(["CLIPTextEncode"], [], x="{" * 100_000), None),
]


def nested_text(depth: int) -> bytes:
    text = '{"nodes": [{"id": 1, "type": "A"}], "links": []}'
    for _ in range(depth):
        text = json.dumps({"data": text})
    return text.encode()


@pytest.mark.parametrize(("name", "make", "words"), BOMBS, ids=[bomb[0] for bomb in BOMBS])
def test_bombs(name: str, make: Callable[[], bytes], words: str | None) -> None:
    data = make()
    began = time.process_time()
    if words is None:
        use(data)
    else:
        with pytest.raises(WorkflowError, match=words):
            use(data)
    assert time.process_time() - began < 5.0  # a hang; `make bench-workflows` holds it to a second
