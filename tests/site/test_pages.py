"""What pages say, and that nothing a stranger wrote does anything on them."""

import json
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from noderack_site.build import build
from noderack_site.data import from_export
from noderack_site.text import install_command, safe_html, safe_markdown, safe_url, size_text
from poison import XSS, poisoned

ATOM = "{http://www.w3.org/2005/Atom}"
BANNED = {"iframe", "object", "embed", "base", "style", "marquee", "video", "math", "textarea"}
EXPORT = Path(__file__).parents[1] / "cases/site/export.json"


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("packs/film-looks.html", ["nodes install film-looks", "yanked", "use 1.2.0", "48,210", "Needed by"]),
        ("packs/old-upscaler.html", ["Deprecated.", 'href="../packs/film-looks.html"']),
        ("nodes/FilmGrain.html", ["verified", "syntax", "Goes into", "VAEEncode", "photographed-shapes"]),
        ("models/stars-safetensors.html", ["zqstar", "models/loras/", "nodes models get stars.safetensors"]),
        ("models/grand-xl-safetensors.html", ["must be accepted", "6.94 GB", "OpenRAIL++"]),
        ("workflows/photographed-shapes.html", ["install-missing", "Nobody here has", "MysteryUpscale"]),
        ("families/sd1-5.html", ["Shapes, tiny"]),
        ("publishers/lumen-street.html", ["Contact sheet", "Film looks"]),
        ("categories/film.html", ["FilmGrain", "Vignette"]),
        ("index.html", ["Rising", "Most used nodes", "What changed"]),
    ],
)
def test_a_page_says(page: str, shown: list[str], site: Path) -> None:
    html = (site / page).read_text(encoding="utf-8")
    assert not [text for text in shown if text not in html]


@pytest.fixture(scope="module")
def poisoned_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One site with the whole corpus in every place."""
    out = tmp_path_factory.mktemp("xss") / "site"
    build(from_export(poisoned(json.loads(EXPORT.read_text(encoding="utf-8")))), out)
    return out


class Marks(HTMLParser):
    """Every tag that a browser would make of a page, with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def harm(html: str) -> list[tuple[str, dict[str, str | None]]]:
    """The tags that could do or fetch something."""
    return [(tag, attributes) for tag, attributes in Marks(html).found if is_harmful(tag, attributes)]


def is_harmful(tag: str, attributes: dict[str, str | None]) -> bool:
    address = (attributes.get("href") or attributes.get("src") or "").strip().lower()
    if tag in BANNED or address.startswith(("javascript", "java\t", "data:", "vbscript")):
        return True
    return any(name.startswith("on") or name in ("style", "srcdoc", "background") for name in attributes)


def test_nothing_of_the_corpus_becomes_markup(poisoned_site: Path) -> None:
    for page in poisoned_site.rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        assert not harm(html), page
        assert html.count("<script") == 1 and html.count("<img") <= 1 and html.count("<form") <= 1


@pytest.mark.parametrize("text", XSS)
def test_cleaned_text_is_harmless(text: str) -> None:
    for html in (safe_html(text), safe_markdown(text)):
        assert not harm(html)
        assert not {"script", "img", "svg", "form", "meta", "link"} & {tag for tag, _ in Marks(html).found}


def test_svg_and_feeds_stay_well_formed(poisoned_site: Path, site: Path) -> None:
    for folder in (poisoned_site, site):
        feeds = (folder / "feed.rss", folder / "sitemap.xml")
        for path in (*folder.rglob("*.atom"), *folder.rglob("*.svg"), *feeds):
            ElementTree.fromstring(path.read_bytes())


def test_feeds_hold_versions_and_changes(site: Path) -> None:
    pack = ElementTree.fromstring((site / "packs/film-looks.atom").read_bytes())
    titles = [entry.findtext(f"{ATOM}title") for entry in pack.iter(f"{ATOM}entry")]
    assert titles == ["film-looks 1.2.0", "film-looks 1.1.0", "film-looks 1.0.0"]
    overall = ElementTree.fromstring((site / "feed.atom").read_bytes())
    assert len(list(overall.iter(f"{ATOM}entry"))) == 4
    assert overall.findtext(f"{ATOM}updated") == "2026-11-02T12:00:00Z"


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://a.b/c", True),
        ("http://a.b", True),
        ("javascript:alert(1)", False),
        (" JAVASCRIPT:x", False),
        ("//a.b", False),
        ("https://", False),
        ("https://[bad", False),
        (None, False),
    ],
)
def test_which_links_are_made(url: object, safe: bool) -> None:
    assert (safe_url(url) is not None) is safe


@pytest.mark.parametrize(
    ("pack", "line"),
    [
        ({"name": "film-looks", "latest": "1.0"}, "nodes install film-looks"),
        ({"name": "old", "repository": "https://a.b/c"}, "nodes install https://a.b/c"),
        ({"name": "old", "repository": "https://a.b/c;rm -rf ~"}, "nodes install 'https://a.b/c;rm -rf ~'"),
        ({"name": "old", "repository": "javascript:x"}, "nodes install old"),
        ({"name": "$(x)\n`y`", "latest": "1"}, "nodes install '$(x) `y`'"),
    ],
)
def test_a_copied_command_does_what_it_says(pack: dict[str, str], line: str) -> None:
    assert install_command(pack) == line


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (4_710_000, "4.71 MB"), (None, ""), (-1, "")]
)
def test_sizes(size: object, text: str) -> None:
    assert size_text(size) == text


def test_the_first_page_is_light(site: Path) -> None:
    css, js = next(site.glob("static/site.*.css")), next(site.glob("static/site.*.js"))
    assert sum(path.stat().st_size for path in (site / "index.html", css, js)) < 100_000


def test_cells_are_aligned_without_a_style() -> None:
    said = safe_markdown("| a |\n|--:|\n| 1 |\n")
    assert '<td align="right">1</td>' in said and "style" not in said
