"""What a registry keeps of a pack's wheel (pictures, workflows, findings), in the site made of it."""

import json
import re
import sys
from pathlib import Path

import pytest
from noderack_site.__main__ import main
from noderack_site.data import SiteDataError, read
from noderack_site.reference import keep, registry_pages
from noderack_site.text import safe_html

sys.path.insert(0, str(Path(__file__).parents[1] / "registry"))  # for wheels.py and pictures.py
from pictures import jpeg, png, webp
from wheels import write_wheel

GRAPH = {"nodes": [{"id": 1, "type": "Grain", "pos": [0, 0], "size": [200, 80]}], "links": []}
CODE = """
import subprocess
class Grain:
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image": ("IMAGE",)}}
    def run(self, image):
        return (eval("image"),)
NODE_CLASS_MAPPINGS = {"Grain": Grain}
"""
FILES = {
    "grain/icon.png": png(),
    "grain/docs/before.png": png(8, 8),
    "grain/docs/shot.jpg": jpeg(640, 480),
    "grain/banner.webp": webp(),
    "grain/example_workflows/soft_light.json": json.dumps(GRAPH).encode(),
    "grain/example_workflows/soft_light.png": png(2, 2),
}
README = '# Grain\n\n![be"fore](docs/before.png) ![far](https://example.org/x.png)\n'
METADATA = "Summary: s\nLicense: MIT\nDescription-Content-Type: text/markdown\n"
FACTS = {"screenshots": ["grain/docs/shot.jpg"], "banner": "grain/banner.webp"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a registry in which one pack with everything to show was published."""
    from noderack_registry.client import RegistryClient
    from noderack_registry.server import Settings, app
    from noderack_registry.server.accounts import create_token
    from starlette.testclient import TestClient

    folder = tmp_path_factory.mktemp("registry")
    settings = Settings(data=folder / "data")
    service = app(settings)
    minted = service.state.registry.database.writing(
        create_token, "ann", settings.now(), scopes=("publish",), days=1, admin=False
    )
    wheel = write_wheel(folder, extra=METADATA, readme=README, facts=FACTS, files=FILES, code=CODE)
    client = RegistryClient("http://testserver", minted.text, TestClient(service))
    client.upload_wheel(wheel)
    service.state.registry.database.close()
    return folder / "data"


@pytest.fixture(scope="module", params=["database", "export"])
def made(request: pytest.FixtureRequest, registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of that registry, from its database and from the folder of its export."""
    out = tmp_path_factory.mktemp("shown") / "site"
    source = ["--data", str(registry)]
    if request.param == "export":
        from noderack_registry.server import Settings, exporting, open_registry

        opened = open_registry(Settings(data=registry))
        exporting.export(opened, out.parent / "exported")
        opened.database.close()
        source = ["--from", str(out.parent / "exported")]
    assert main([str(out), *source, "--name", "Rack", "--json"]) == 0
    return out


def test_pictures_are_copies_with_their_size(made: Path) -> None:
    html = (made / "packs/grain.html").read_text()
    pictures = re.findall(r'<img (?:class="pm" )?src="\.\./(media/[0-9a-f]{32}\.\w+)"([^>]*)>', html)
    assert len(pictures) == 4, "icon, banner, screenshot, README"
    for path, attributes in pictures:
        assert (made / path).read_bytes() in FILES.values()
        assert "width=" in attributes and "height=" in attributes
    assert 'width="640" height="480" loading="lazy"' in html
    assert "<em>[far]</em>" in html and "<img src=x" not in html


def test_example_workflows_are_drawn_with_what_they_make(made: Path) -> None:
    assert "soft light" in (made / "packs/grain.html").read_text()
    page = (made / "workflows/grain-soft-light.html").read_text()
    assert '<svg class="graph ' in page and "What soft light makes" in page
    assert json.loads((made / "workflows/grain-soft-light.workflow.json").read_bytes()) == GRAPH


def test_findings_of_the_check_stand_on_the_pack_page(made: Path) -> None:
    html = (made / "packs/grain.html").read_text()
    assert "Findings of the check" in html and '<span class="tag warning">warning</span>' in html
    assert re.search(r"<code>grain/__init__\.py:\d+</code>", html)
    assert "Provenance" in html and "Checked" in html


def test_a_second_build_writes_nothing(
    registry: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for written in (True, False):
        assert main([str(tmp_path / "site"), "--data", str(registry), "--json"]) == 0
        assert (json.loads(capsys.readouterr().out)["written"] > 0) is written


def test_the_reference_is_there_and_kept(tmp_path: Path) -> None:
    pages = registry_pages(tmp_path / "kept")
    keep(pages, tmp_path / "kept")
    assert "POST /legacy/" in pages["http-api"][1] and "largest_body" in pages["registry-settings"][1]
    assert " at 0x" not in pages["registry-settings"][1], "no address of an object: equal bytes each time"
    assert registry_pages(tmp_path / "kept") == pages


@pytest.mark.parametrize(
    "html",
    [
        '<img src="/assets/{sha}/x.png"><image src=https://evil.example/x.png>',
        "<IMG SRC='/assets/{sha}/x.png' onerror=alert(1)><img/src=https://evil.example/x>",
        '<img alt="a>b" src="/assets/{sha}/x.png"><img src="../../../x" srcset="https://evil.example/x 2x">',
    ],
)
def test_only_pictures_that_are_here_are_shown(html: str) -> None:
    def local(address: str) -> tuple[str, int, int] | None:
        return ("../media/a.png", 4, 4) if "/assets/" in address else None

    cleaned = safe_html(html.format(sha="0" * 64), local)
    assert set(re.findall(r'<img [^>]*src="([^"]*)"', cleaned)) <= {"../media/a.png"}
    assert not re.search(r"<[^>]*(?:evil|onerror|srcset)", cleaned)


def test_half_an_export_is_told(tmp_path: Path) -> None:
    (tmp_path / "export.json").write_text("{}")
    with pytest.raises(SiteDataError, match=r"no whole export: cannot read packs\.jsonl"):
        read(tmp_path)
