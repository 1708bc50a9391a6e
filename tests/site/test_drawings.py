"""What is drawn of workflows and packs, and what is counted in them."""

import re

import pytest
from noderack_site.data import SiteData
from noderack_site.draw_graph import draw_graph
from noderack_site.draw_mark import draw_mark
from noderack_site.graph import node_types_of
from noderack_site.shelf import arrange, required_name


def sampler(values: object) -> dict[str, object]:
    return {"nodes": [{"id": 1, "type": "K", "size": [300, 300], "widgets_values": values}]}


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([7, "fixed", 20, "euler"], [("seed", "7"), ("", "fixed"), ("steps", "20"), ("sampler", "euler")]),
        ([7, 20], [("seed", "7"), ("steps", "20")]),
        ({"seed": 7, "on": True}, [("seed", "7"), ("on", "true")]),
        ([["a list"], None, {"a": 1}], []),
        ("no list", []),
        (["<b>&"], [("seed", "&lt;b&gt;&amp;")]),
    ],
)
def test_values_stand_beside_their_names(values: object, shown: list[tuple[str, str]]) -> None:
    svg = draw_graph(sampler(values), "x", {}, {"K": ["seed", "steps", "sampler"]})
    wanted = [text for pair in shown for text in pair if text]
    assert re.findall(r'class="n-(?:dim|value)"[^>]*>([^<]*)<', svg) == wanted


def test_a_small_drawing_shows_no_values() -> None:
    assert "n-value" not in draw_graph(sampler([7]), "x")


def test_older_groups_count_by_what_is_in_them() -> None:
    group = {"nodes": [{"type": "VAEDecode"}, {"type": "Note"}]}
    graph = {
        "nodes": [{"type": "workflow>Both"}, {"type": "KSampler"}],
        "extra": {"groupNodes": {"Both": group}},
    }
    assert sorted(node_types_of(graph)) == ["KSampler", "VAEDecode"]


def test_loaders_and_savers_come_before_what_passes_on(data: SiteData) -> None:
    shelf = arrange(data)
    assert shelf.makers["MODEL"][0] == "CheckpointLoaderSimple"
    makers = shelf.makers["IMAGE"]
    assert makers.index("VAEDecode") < makers.index("FilmGrain")


@pytest.mark.parametrize(
    ("requirement", "name"),
    [
        ("Film_Looks>=1.2; extra == 'x'", "film-looks"),
        ("pack2", "pack2"),
        ("a.b[c] @ https://x", "a-b"),
        ("", ""),
    ],
)
def test_what_a_requirement_names(requirement: str, name: str) -> None:
    assert required_name(requirement) == name


def test_marks_are_their_names(data: SiteData) -> None:
    names = [f"pack-{number}" for number in range(400)]
    marks = {draw_mark(name) for name in names}
    assert len(marks) > 350 and draw_mark("x") == draw_mark("x")
    assert all("style" not in mark and "<script" not in mark for mark in marks)
