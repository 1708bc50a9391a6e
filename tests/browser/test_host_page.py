"""The page that a host shows without the editor: queue, outputs, history, packs, log; usable by all."""

import asyncio
import json
import os
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from noderack_host.folder import Host
from noderack_host.packs import load_packs
from noderack_host.server.app import make_app

pytestmark = pytest.mark.browser


@pytest.fixture
def host_url(tmp_path: Path) -> Iterator[str]:
    """A host with the built-in nodes, served from a thread of its own."""
    (tmp_path / "host.toml").touch()
    (tmp_path / "output").mkdir()
    loop, found, up = asyncio.new_event_loop(), [""], threading.Event()

    async def start() -> None:
        runner = web.AppRunner(make_app(Host.open(tmp_path), load_packs(only=["core"])))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        found[0] = f"http://127.0.0.1:{runner.addresses[0][1]}"
        up.set()

    def serve() -> None:
        loop.run_until_complete(start())
        loop.run_forever()

    threading.Thread(target=serve, daemon=True).start()
    assert up.wait(60)
    yield found[0]
    loop.call_soon_threadsafe(loop.stop)


def post(url: str, prompt: Any, name: str) -> None:
    body = json.dumps({"prompt": prompt, "prompt_id": name}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{url}/prompt", body)).close()


def test_it_shows_what_the_host_does(host_url: str, browser: Any) -> None:
    picture = {"width": 96, "height": 64, "batch_size": 2, "color": 0x3366CC}
    prompt = {
        "1": {"class_type": "EmptyImage", "inputs": picture},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "page"}},
    }
    page = browser.new_page(viewport={"width": 1200, "height": 850})
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda told: wrong.append(told.text) if told.type == "error" else None)
    page.goto(host_url)
    page.wait_for_selector("#packlist li:has-text('built in')")
    post(host_url, prompt, "a picture")
    post(host_url, {"3": {"class_type": "PreviewAny", "inputs": {"source": "said aloud"}}}, "a text")
    page.wait_for_selector("#history tr:has-text('said aloud') td.completed")
    page.wait_for_selector("#history tr:has-text('EmptyImage, SaveImage') td.completed")
    page.wait_for_selector("#outputs img >> nth=1")
    page.wait_for_selector("#outputs .text:has-text('said')")
    if folder := os.environ.get("NODERACK_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/host-page.png")
    page.click("#history button >> nth=0")
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("Escape")
    page.click("#pause")
    page.wait_for_selector("#pause:has-text('Go on')")
    post(host_url, prompt, "one that waits")
    page.wait_for_selector("#queue li[title='one that waits']:has-text('EmptyImage, SaveImage')")
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    results = axe.Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    assert not [text for text in wrong if "favicon" not in text and "404" not in text]
