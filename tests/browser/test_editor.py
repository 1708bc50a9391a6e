"""The published editor on our server, as a new user meets it: templates, a run, its pictures, the history."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from watching import host_served, keep

TEMPLATE = "basic_mask_operations_and_compositing"
NODES, PICTURES = 41, 18
# Other servers are not there in a test: the editor asks them for news and for a template's example picture.
NOT_OURS = ("api.comfy.org", "ERR_NAME_NOT_RESOLVED", "status of 404", "fetch: 404", "loading_template_media")


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A host as `nodes init` leaves it, with the example picture that the template names."""
    for package in ("comfyui_frontend_package", "comfyui_workflow_templates_json"):
        pytest.importorskip(package, reason="noderack[ui] is not installed")
    (tmp_path / "input").mkdir()
    Image.linear_gradient("L").convert("RGB").save(tmp_path / "input/example.png")
    with host_served(tmp_path) as address:
        yield address


def test_a_new_user_runs_a_template(url: str, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(60_000)
    said: list[str] = []
    page.on("console", lambda told: said.append(told.text) if told.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(url, wait_until="domcontentloaded")

    page.get_by_text("Runs here").click()  # the list of templates opens by itself the first time
    page.locator(f"[data-testid=template-workflow-{TEMPLATE}]").scroll_into_view_if_needed()
    page.wait_for_selector(f"[data-testid=template-workflow-{TEMPLATE}] img")
    keep(page, "editor-templates")
    known = page.evaluate("() => Object.keys(LiteGraph.registered_node_types)")
    assert {"KSampler", "SaveImage", "CheckpointLoaderSimple"} <= set(known)

    page.click(f"[data-testid=template-workflow-{TEMPLATE}]")
    page.wait_for_function(f"() => window.app.graph.nodes.length === {NODES}")
    page.click("[data-testid=queue-button]")
    page.wait_for_selector("[data-testid=queue-progress-overlay] :text('running')")
    keep(page, "editor-running")
    page.wait_for_function("async () => Object.keys(await (await fetch('/history')).json()).length")
    shown = "() => window.app.graph.nodes.filter(node => node.imgs?.length).length"
    page.wait_for_function(f"{shown} === {PICTURES} + 1")  # the one that it loads is shown too
    keep(page, "editor-pictures")

    entry = next(iter(page.evaluate("async () => (await fetch('/history')).json()").values()))
    assert entry["status"]["status_str"] == "success" and len(entry["outputs"]) == PICTURES, json.dumps(entry)
    page.click("[data-testid=queue-overlay-toggle]")
    page.wait_for_selector("[data-testid=job-assets-list] :text('.png')")
    page.click("[data-testid=assets-tab-button]")
    page.wait_for_selector(".side-bar-panel img")
    keep(page, "editor-history")

    page.reload(wait_until="domcontentloaded")
    page.wait_for_function(f"() => window.app?.graph?.nodes?.length === {NODES}")
    keep(page, "editor-reloaded")
    assert [text for text in said if not any(known in text for known in NOT_OURS)] == []
    page.close()
