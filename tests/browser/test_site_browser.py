"""The site in a browser: usable by keyboard, quiet towards others, harmless when poisoned."""

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from noderack_site.build import build
from noderack_site.data import from_export
from poison import poisoned
from watching import Watched, served, small_export

every = (
    pytest.mark.browser
)  # all pages, widths and files; the rest runs by default: each kind of page, the budgets
KINDS_OF_PAGE = (
    *("index.html", "packs.html", "nodes.html", "models.html", "workflows.html", "packs/film-looks.html"),
    *("nodes/FilmGrain.html", "models/stars-safetensors.html", "workflows/photographed-shapes.html"),
    *("sockets/IMAGE.html", "docs/errors.html", "changes.html", "search.html?q=grain"),
)
PAGES = (
    *(
        "index.html",
        "packs.html",
        "nodes.html",
        "nodes-k.html",
        "models.html",
        "workflows.html",
        "about.html",
    ),
    *("packs/film-looks.html", "packs/old-upscaler.html", "nodes/FilmGrain.html", "nodes/KSampler.html"),
    *("models/stars-safetensors.html", "models/grand-xl-safetensors.html", "families/sd1-5.html"),
    *("workflows/photographed-shapes.html", "publishers/lumen-street.html", "tags/film.html"),
    *("docs/index.html", "docs/errors.html", "search.html?q=grain", "404.html"),
    *("changes.html", "sockets.html", "sockets/IMAGE.html", "categories.html", "tags.html", "families.html"),
)


def faults(path: str, scheme: str, browser: Any, address: str) -> str:
    """What axe finds on a page, as its report; empty for nothing."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    seen = Watched(browser, address, color_scheme=scheme, bypass_csp=True, reduced_motion="reduce")
    page = seen.open(path)
    if path.startswith("search"):
        page.wait_for_selector(".result")
    results = axe.Axe().run(page)
    seen.context.close()
    return results.generate_report() if results.violations_count else ""


@pytest.mark.parametrize("path", KINDS_OF_PAGE)
def test_axe_finds_nothing_on_any_kind_of_page(path: str, browser: Any, address: str) -> None:
    scheme = "dark" if KINDS_OF_PAGE.index(path) % 2 else "light"
    assert not faults(path, scheme, browser, address)


@every
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing(path: str, scheme: str, browser: Any, address: str) -> None:
    assert not faults(path, scheme, browser, address)


@pytest.mark.parametrize("width", [320, 1440])
def test_no_kind_of_page_is_wider_than_the_screen(width: int, watched: Watched) -> None:
    watched.page.set_viewport_size({"width": width, "height": 900})
    wide = [
        p for p in KINDS_OF_PAGE if watched.open(p).evaluate("document.documentElement.scrollWidth") > width
    ]
    assert not wide


@every
@pytest.mark.parametrize("width", [320, 390, 820, 1440])
@pytest.mark.parametrize("path", PAGES)
def test_no_page_is_wider_than_the_screen(path: str, width: int, watched: Watched) -> None:
    watched.page.set_viewport_size({"width": width, "height": 900})
    if path == "404.html":
        watched.wrong.clear()
    page = watched.open(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("KSampler", "KSampler"),
        ("ksamplr", "KSampler"),
        ("smapler", "KSampler"),
        ("filmgrain", "FilmGrain"),
        ("cliptextencode", "CLIPTextEncode"),
        ("grain film", "FilmGrain"),
        ("zqstar", "Stars, a LoRA"),
        ("Film lo", "Film looks"),
    ],
)
def test_search_forgives_typing(typed: str, first: str, watched: Watched) -> None:
    page = watched.open("index.html")
    page.fill("#q", typed)
    page.wait_for_selector(".hits strong")
    assert page.inner_text(".hits strong >> nth=0") == first


def test_search_by_keyboard_alone(watched: Watched) -> None:
    page = watched.open("about.html")
    page.keyboard.press("/")
    page.keyboard.type("vignette")
    page.wait_for_selector(".hits [role=option]")
    page.keyboard.press("ArrowDown")
    assert page.get_attribute("#q", "aria-activedescendant") == "hit-0"
    page.keyboard.press("Enter")
    page.wait_for_url("**/nodes/Vignette.html")


def test_search_says_when_nothing_is_found(watched: Watched) -> None:
    page = watched.open("index.html")
    page.fill("#q", "qqqqqqqq")
    page.wait_for_selector("text=Nothing found")


def graph(*types: str) -> dict[str, Any]:
    return {
        "nodes": [
            {"id": n, "type": t, "widgets_values": ["sub\\stars.safetensors"]} for n, t in enumerate(types)
        ]
    }


def png(texts: dict[str, tuple[str, bool]]) -> bytes:
    """A PNG with these texts, as tEXt or as packed iTXt."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    body = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    for key, (text, packed) in texts.items():
        head = key.encode() + b"\0"
        packed_text = b"\1\0\0\0" + zlib.compress(text.encode())
        body += (
            chunk(b"iTXt", head + packed_text) if packed else chunk(b"tEXt", head + text.encode("latin-1"))
        )
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IDAT", zlib.compress(b"\0\0\0\0")) + chunk(b"IEND", b"")


def webp(text: str) -> bytes:
    """A WebP whose EXIF says workflow:{…}, as ComfyUI's saver writes it."""
    value = b"workflow:" + text.encode() + b"\0"
    tiff = b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x010F, 2, len(value), 26) + struct.pack("<I", 0) + value
    exif = b"Exif\0\0" + tiff
    padded = exif + b"\0" * (len(exif) % 2)
    body = b"WEBP" + b"EXIF" + struct.pack("<I", len(exif)) + padded
    return b"RIFF" + struct.pack("<I", len(body)) + body


WORKFLOW = json.dumps(graph("FilmGrain", "KSampler", "Unheard", "Note"))
PROMPT = {
    "1": {"class_type": "FilmGrain", "inputs": {}},
    "2": {"class_type": "Unheard", "inputs": {"a": "stars.safetensors"}},
}
FILES = {
    "ui.json": WORKFLOW.encode(),
    "api.json": json.dumps(PROMPT).encode(),
    "nan.json": WORKFLOW.replace('"id": 0', '"x": NaN, "id": 0').encode(),
    "text.png": png({"workflow": (WORKFLOW, False)}),
    "packed.png": png({"workflow": (WORKFLOW, True)}),
    "prompt.png": png({"prompt": (json.dumps(PROMPT), False)}),
    "exif.webp": webp(WORKFLOW),
}


def drop(page: Any, name: str, content: bytes) -> None:
    page.set_input_files(
        "[data-drop-file]", {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    )
    page.wait_for_selector("dialog[open] h2")


@every
@pytest.mark.parametrize("name", FILES)
def test_a_dropped_workflow_is_told_what_it_needs(name: str, watched: Watched) -> None:
    page = watched.open("packs/film-looks.html")
    drop(page, name, FILES[name])
    text = page.inner_text("dialog")
    assert f"nodes install-missing {name}" in text
    assert (
        "Film looks" in text and "Unheard" in text and "stars.safetensors" in text and "models/loras/" in text
    )
    assert page.get_attribute("dialog a >> nth=0", "href").endswith("packs/film-looks.html")
    page.keyboard.press("Escape")
    assert page.query_selector("dialog") is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "is not JSON"),
        (b'{"a": 1}', "no workflow of this kind"),
        (png({}), "carries no workflow"),
        (b"", "is not JSON"),
    ],
)
def test_a_file_without_a_workflow_is_told_so(content: bytes, says: str, watched: Watched) -> None:
    page = watched.open("index.html")
    drop(page, "it's a file.png", content)
    assert says in page.inner_text("dialog [role=alert]")


def test_a_dropped_type_name_is_text(watched: Watched) -> None:
    page = watched.open("index.html")
    drop(
        page,
        "x.json",
        json.dumps(graph("<img src=x onerror=window.pwned=1>", "__proto__", "constructor")).encode(),
    )
    assert "<img src=x" in page.inner_text("dialog") and page.evaluate("window.pwned") is None


def test_pages_read_without_javascript(browser: Any, address: str) -> None:
    seen = Watched(browser, address, java_script_enabled=False)
    page = seen.open("packs/film-looks.html")
    assert page.is_visible("text=nodes install film-looks") and page.is_visible("svg.node >> nth=0")
    assert not page.is_visible("[data-copy]") and not page.is_visible("[data-drop]")
    page = seen.open("search.html")
    assert page.is_visible("noscript .notice")
    seen.context.close()
    assert not seen.wrong


BUDGETS = {
    "index.html": 100_000,
    "packs.html": 120_000,
    "packs/film-looks.html": 120_000,
    "nodes/KSampler.html": 100_000,
}
LOADED = {"document", "stylesheet", "script", "fetch", "xhr"}
SHIFTS = """
() => new Promise((done) => {
  let sum = 0;
  const add = (list) => { for (const shift of list.getEntries()) sum += shift.value; };
  new PerformanceObserver(add).observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(sum), 250);
})
"""


@pytest.mark.parametrize("path", BUDGETS)
def test_a_page_loads_little_soon_and_stands_still(path: str, browser: Any, address: str) -> None:
    """Bytes without fonts and pictures; elements; milliseconds to the first paint; what jumps after it."""
    seen = Watched(browser, address, viewport={"width": 390, "height": 844})
    sizes: list[int] = []
    seen.page.on(
        "response", lambda r: sizes.append(len(r.body())) if r.request.resource_type in LOADED else 0
    )
    page = seen.open(path)
    page.wait_for_load_state("networkidle")
    assert 0 < sum(sizes) < BUDGETS[path]
    assert page.evaluate("document.querySelectorAll('*').length") < 1500
    assert page.evaluate(SHIFTS) < 0.1
    assert page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") < 1500
    seen.context.close()
    assert not seen.wrong


def test_a_dropped_workflow_is_read_by_default(watched: Watched) -> None:
    page = watched.open("packs/film-looks.html")
    drop(page, "packed.png", FILES["packed.png"])
    assert "nodes install-missing packed.png" in page.inner_text("dialog")


def test_a_mark_of_the_poison_does_nothing(browser: Any, tmp_path: Path) -> None:
    build(from_export(poisoned(small_export())), tmp_path / "site")
    with served(tmp_path / "site") as url:
        seen = Watched(browser, url)
        for path in (
            "index.html",
            "packs/film-looks.html",
            "workflows/photographed-shapes.html",
            "models.html",
        ):
            assert seen.open(path).evaluate("window.pwned") is None, path
        seen.context.close()
    assert not seen.wrong


@every
def test_hostile_text_does_nothing_in_a_browser(browser: Any, tmp_path: Path) -> None:
    build(from_export(poisoned(small_export())), tmp_path / "site")
    with served(tmp_path / "site") as url:
        seen = Watched(browser, url)
        pages = sorted((tmp_path / "site").rglob("*.html"))
        for path in pages:
            page = seen.open(path.relative_to(tmp_path / "site").as_posix().replace("%", "%25"))
            assert page.evaluate("window.pwned") is None, path
        seen.context.close()
    assert len(pages) > 40 and not seen.wrong
