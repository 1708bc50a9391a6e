"""The manager in the real editor: a workflow lacks a pack and a model; install, run, no restart."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from noderack_host.folder import Host

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
NODES = [sys.executable, "-m", "noderack_cli"]
SAY = """
class Talk:
    RETURN_TYPES = ()
    FUNCTION = "say"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {})}}

    def say(self, text):
        return {"ui": {"text": [text + "!"]}}

NODE_CLASS_MAPPINGS = {"Talk": Talk}
"""
MODELS = [{"name": "shapes.safetensors", "url": "https://example.invalid/s", "directory": "loras"}]
NODE = {
    **{"id": 1, "type": "Talk", "pos": [200, 200], "size": [300, 100], "flags": {}, "order": 0, "mode": 0},
    **{"inputs": [], "outputs": [], "widgets_values": ["hi"], "properties": {"models": MODELS}},
}
GRAPH = {"last_node_id": 1, "last_link_id": 0, "nodes": [NODE], "links": [], "groups": [], "version": 0.4}
NOT_OURS = ("api.comfy.org", "ERR_NAME_NOT_RESOLVED", "ERR_INTERNET_DISCONNECTED", "404", "example.invalid")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Debian's chromium is not installed"),
]


@pytest.fixture
def served(rack: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A server that may install: what it says of itself."""
    pytest.importorskip("comfyui_frontend_package", reason="noderack[ui] is not installed")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    words = [*NODES, "serve", "--host", str(rack.root), "--port", "0", "--manager", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        ready = json.loads(child.stdout.readline())
        for name in ("TutorialCompleted", "Workflow.ShowMissingModelsWarning"):
            value = b"true" if name.startswith("T") else b"false"
            urllib.request.urlopen(f"{ready['url']}/settings/Comfy.{name}", value).close()
        yield ready
        child.send_signal(signal.SIGTERM)
        child.wait(20)


@pytest.fixture
def page() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.said = []
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("console", lambda told: page.said.append(told.text) if told.type == "error" else None)
        yield page
        browser.close()


def open_editor(page: Any, url: str) -> None:
    page.goto(url, wait_until="domcontentloaded")
    page.wait_for_function("() => window.app?.graph && window.app.extensionManager", timeout=120_000)
    page.keyboard.press("Escape")


def keep(page: Any, name: str) -> None:
    if folder := os.environ.get("NODERACK_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png")


def test_a_workflow_with_a_missing_pack_is_mended_and_run(shop: Any, served: Any, page: Any) -> None:
    shop.sell("talk", types=["Talk"], source=SAY)
    shop.sell_model("shapes.safetensors", b"\x02\0\0\0\0\0\0\0{}", folder="loras")
    open_editor(page, served["open"])
    pid = json.loads((Path(os.environ["NODERACK_HOST"]) / "user/server.json").read_text())["pid"]
    page.evaluate("graph => window.app.loadGraphData(graph)", GRAPH)
    page.wait_for_selector("#noderack-missing li:has-text('talk 1.0')", timeout=60_000)
    page.wait_for_selector("#noderack-missing li:has-text('loras/shapes.safetensors')")
    keep(page, "manager-plan")
    page.click("#noderack-missing footer button.main")
    page.wait_for_function("() => window.LiteGraph.registered_node_types.Talk", timeout=60_000)
    page.wait_for_selector("#noderack-missing", state="hidden", timeout=30_000)
    keep(page, "manager-installed")
    page.evaluate("() => window.app.queuePrompt(0)")
    page.wait_for_function(
        "async () => Object.keys(await (await fetch('/history')).json()).length", timeout=60_000
    )
    entry = next(iter(page.evaluate("async () => (await (await fetch('/history')).json())").values()))
    assert entry["outputs"] == {"1": {"text": ["hi!"]}}
    assert json.loads((Path(os.environ["NODERACK_HOST"]) / "user/server.json").read_text())["pid"] == pid
    assert [text for text in page.said if not any(known in text for known in NOT_OURS)] == []
    listed = "async () => (await (await fetch('/v2/customnode/installed')).json())"
    assert page.evaluate(listed)["talk"] == {"ver": "1.0", "cnr_id": "talk", "aux_id": "", "enabled": True}


def test_the_editors_own_manager_finds_packs_in_our_registry_and_installs_them(
    shop: Any, served: Any, page: Any
) -> None:
    shop.sell("talk", types=["Talk"], source=SAY)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    open_editor(page, served["open"])
    named = {**NODE, "properties": {"cnr_id": "talk", "ver": "1.0"}}
    page.evaluate("graph => window.app.loadGraphData(graph)", {**GRAPH, "nodes": [named]})
    page.wait_for_selector("#noderack-missing li:has-text('talk 1.0')", timeout=60_000)
    page.evaluate("() => document.getElementById('noderack-missing').remove()")
    page.evaluate("() => window.app.extensionManager.command.execute('Comfy.Manager.ShowMissingPacks')")
    page.wait_for_selector("[role=dialog] :text-is('talk')", timeout=60_000)
    keep(page, "manager-dialog")
    page.get_by_role("button", name="Install", exact=True).click()
    page.wait_for_function("() => window.LiteGraph.registered_node_types.Talk", timeout=60_000)
    keep(page, "manager-dialog-installed")
    public = ("api.comfy.org/nodes", "api.comfy.org/comfy-nodes", "api.comfy.org/bulk", "algolia")
    assert not [url for url in asked if any(part in url for part in public)]


def test_a_page_that_was_opened_without_the_token_can_look_but_not_install(
    shop: Any, served: Any, page: Any
) -> None:
    open_editor(page, served["url"])
    page.evaluate("graph => window.app.loadGraphData(graph)", GRAPH)
    page.wait_for_selector("#noderack-missing li:has-text('Talk')", timeout=60_000)
    assert "open the editor by the address" in page.inner_text("#noderack-missing")
    asked = "async path => (await fetch(path, {method: 'POST', body: '{}'})).status"
    for path in ("/noderack/manager/install", "/noderack/manager/plan", "/v2/manager/queue/task"):
        assert page.evaluate(asked, path) == 403
