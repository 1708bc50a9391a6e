"""Debian's chromium on pages that are served from loopback."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from noderack_site.build import build
from noderack_site.data import from_export, with_built_in

sys.path.insert(0, str(Path(__file__).parent))  # for watching.py beside this file
sys.path.insert(0, str(Path(__file__).parents[1] / "site"))  # for poison.py

from watching import CASES, CHROMIUM, FLAGS, Watched, served, small_export


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The small registry's site."""
    out = tmp_path_factory.mktemp("browser") / "site"
    build(with_built_in(from_export(small_export()), json.loads((CASES / "built_in.json").read_bytes())), out)
    with served(out) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One chromium for a file's tests, each of which opens pages of its own.

    It ends with the file: while it is there, an event loop runs in this thread, and no other can be started.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="browser tests need playwright")
    if not CHROMIUM.exists():
        pytest.skip(f"browser tests need {CHROMIUM}: apt-get install chromium")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def watched(browser: Any, address: str) -> Iterator[Watched]:
    """A fresh page on the small registry's site; nothing may go wrong on it."""
    made = Watched(browser, address, viewport={"width": 1280, "height": 900})
    yield made
    made.context.close()
    assert not made.wrong
