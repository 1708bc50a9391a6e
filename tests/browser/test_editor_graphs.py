"""The published editor in a real browser: it runs what we lay out, and means the same by it."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from noderack_host.schema import read_schemas
from noderack_host.workflow.layout import to_ui
from watching import host_served, keep

GRAPH = Path(__file__).parent / "empty_image.json"
CASES = Path(__file__).parents[1] / "cases" / "workflows"
# What the editor asks of other servers, and files that it may ask for and that need not be there.
NOT_OURS = ("api.comfy.org", "ERR_NAME_NOT_RESOLVED", "status of 404", "fetch: 404")

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    pytest.importorskip("comfyui_frontend_package", reason="noderack[ui] is not installed")
    with host_served(tmp_path_factory.mktemp("host")) as server:
        seen = urllib.request.Request(f"{server}/settings/Comfy.TutorialCompleted", b"true")
        urllib.request.urlopen(seen).close()
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.said = []
        page.on("console", lambda told: page.said.append(told.text) if told.type == "error" else None)
        page.goto(server, wait_until="domcontentloaded")
        page.wait_for_function(
            "() => window.app?.graph && Object.keys(LiteGraph.registered_node_types).length > 50",
            timeout=120_000,
        )
        page.keyboard.press("Escape")
        yield page


def test_it_runs_a_workflow_and_shows_the_picture(page: Any) -> None:
    page.evaluate("graph => window.app.loadGraphData(graph)", json.loads(GRAPH.read_text()))
    page.evaluate("() => window.app.queuePrompt(0)")
    ask = "async () => (await (await fetch('/history')).json())"
    page.wait_for_function(
        "async () => Object.keys(await (await fetch('/history')).json()).length", timeout=60_000
    )
    entry = next(iter(page.evaluate(ask).values()))
    assert entry["status"]["status_str"] == "success"
    page.wait_for_function("() => window.app.graph.nodes.some(node => node.imgs?.length)", timeout=30_000)
    keep(page, "editor-picture")


def test_it_opens_what_we_lay_out_and_means_the_same_by_it(page: Any) -> None:
    prompt = json.loads((CASES / "txt2img.api.json").read_text())
    schemas = read_schemas(CASES / "object_info.json")
    laid_out = to_ui(prompt, schemas).ui
    page.evaluate("graph => window.app.loadGraphData(graph)", json.loads(json.dumps(laid_out)))
    sent = page.evaluate("async () => (await window.app.graphToPrompt()).output")
    assert {key: plain(node) for key, node in sent.items()} == {
        key: plain(node) for key, node in prompt.items()
    }
    keep(page, "editor-laid-out")


def plain(node: dict[str, Any]) -> dict[str, Any]:
    """A node without its title."""
    return {"class_type": node["class_type"], "inputs": node["inputs"]}


def test_its_console_is_free_of_errors_that_are_ours(page: Any) -> None:
    assert [text for text in page.said if not any(known in text for known in NOT_OURS)] == []
