"""What a build writes, and what it leaves alone."""

import copy
import json
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from noderack_site.__main__ import main
from noderack_site.build import build
from noderack_site.data import SiteData, SiteDataError, from_export, read
from noderack_site.state import STATE, UNFINISHED, NotASite

ADDRESS = re.compile(r'(?:href|src)="([^"]*)"')
EXPORT = Path(__file__).parents[1] / "cases/site/export.json"


def contents(site: Path) -> dict[str, bytes]:
    return {str(path.relative_to(site)): path.read_bytes() for path in site.rglob("*") if path.is_file()}


def test_every_link_inside_the_site_leads_somewhere(site: Path) -> None:
    lost = []
    for page in site.rglob("*.html"):
        for address in ADDRESS.findall(page.read_text(encoding="utf-8")):
            parts = urlsplit(address)
            target = (page.parent / unquote(parts.path)).resolve()
            if not parts.scheme and parts.path and not target.is_file():
                lost.append((str(page.relative_to(site)), address))
    assert not lost


def test_every_page_asks_only_its_own_site_and_carries_the_policy(site: Path) -> None:
    for page in site.rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        assert "default-src 'none'; script-src 'self'" in html
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", html), page
        for tag in re.findall(r"<(?:script|link|img|iframe|source|video|audio)\b[^>]*>", html):
            assert "://" not in tag, (page, tag)
        for link in re.findall(r'<a [^>]*href="https?://[^>]*>', html):
            own = page.parent.name in ("docs",)
            assert own or ("nofollow" in link and "ugc" in link), (page, link)


def test_every_page_has_its_data_beside_it(site: Path) -> None:
    pages = [page for page in site.rglob("*.html") if page.name not in ("404.html", "search.html")]
    folders = {page.parent.name for page in pages}
    assert {"packs", "nodes", "models", "workflows", "publishers", "tags", "families", "sockets"} <= folders
    for page in pages:
        json.loads(page.with_suffix(".json").read_bytes())
        assert re.search(rf'href="[^"]*{re.escape(page.stem)}\.json">This page as JSON', page.read_text()), (
            page
        )


def test_equal_data_gives_equal_bytes(data: SiteData, site: Path, tmp_path: Path) -> None:
    build(data, tmp_path)
    assert contents(tmp_path) == contents(site)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.html")}
    report = build(data, tmp_path)
    assert (report.written, report.removed) == (0, 0), "a second build writes nothing"
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.html")}


def test_one_publish_changes_the_pages_that_show_it(export: dict[str, Any], tmp_path: Path) -> None:
    after = copy.deepcopy(export)
    pack = next(pack for pack in after["packs"] if pack["name"] == "contact-sheet")
    pack["latest"] = pack["releases"][0]["version"] = "0.4.2"
    whole, stepped = tmp_path / "whole", tmp_path / "stepped"
    build(from_export(export), stepped)
    kept = contents(stepped)
    report = build(from_export(after), stepped)
    build(from_export(after), whole)
    assert contents(stepped) == contents(whole), "an incremental build ends where a full one does"
    changed = {path for path, content in contents(stepped).items() if kept.get(path) != content} - {STATE}
    assert report.written <= 10
    assert {f"packs/contact-sheet.{kind}" for kind in ("html", "json", "svg", "atom")} <= changed
    assert not any(path.startswith(("search/", "models/", "lookup/")) for path in changed)


def test_a_new_title_and_a_new_date_reach_every_page_that_shows_them(
    export: dict[str, Any], tmp_path: Path
) -> None:
    after = copy.deepcopy(export)
    for workflow in after["workflows"]:
        workflow["title"] = f"{workflow.get('title')}, again"
    after["exported"] = "2099-12-31T00:00:00Z"
    whole, stepped = tmp_path / "whole", tmp_path / "stepped"
    build(from_export(export), stepped)
    build(from_export(after), stepped)
    build(from_export(after), whole)
    assert contents(stepped) == contents(whole)


def test_what_left_the_data_leaves_the_site(export: dict[str, Any], tmp_path: Path) -> None:
    build(from_export(export), tmp_path)
    export["packs"] = [pack for pack in export["packs"] if pack["name"] != "prompt-wildcards"]
    assert build(from_export(export), tmp_path).removed > 4
    assert not list(tmp_path.glob("packs/prompt-wildcards.*"))


def test_a_killed_build_is_made_good(data: SiteData, site: Path, tmp_path: Path) -> None:
    killed = tmp_path / "site"
    shutil.copytree(site, killed)
    (killed / STATE).rename(killed / UNFINISHED)
    (killed / "packs/film-looks.html").write_bytes(b"half a pa")
    build(data, killed)
    assert contents(killed) == contents(site)


def test_a_folder_of_somebody_else_is_left_alone(data: SiteData, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(NotASite, match="no site of ours"):
        build(data, tmp_path)
    assert contents(tmp_path) == {"thesis.txt": b"mine"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "not a site export"),
        ("[]", "not a site export of schema 1"),
        ('{"schema": 2}', "not a site export of schema 1"),
        ('{"schema": 1, "packs": {}}', "packs is a dict; expected a list"),
        ('{"schema": 1, "packs": [{"title": "x"}]}', "packs: a record has no name"),
        ('{"schema": 1, "packs": [{"name": "../../x"}]}', "cannot name a page"),
        ('{"schema": 1, "workflows": [{"name": "/etc/x"}]}', "cannot name a page"),
    ],
)
def test_a_bad_export_is_told_in_a_sentence(content: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "export.json").write_text(content)
    with pytest.raises(SiteDataError, match=says):
        read(tmp_path / "export.json")


def test_the_command_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    assert main([out, "--from", str(EXPORT), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["written"] > 100
    assert main([out, "--from", str(tmp_path / "none.json")]) == 3
    assert "cannot read" in capsys.readouterr().err
    assert main([out, "--data", str(tmp_path)]) == 3
    assert "no registry's folder" in capsys.readouterr().err


def test_an_empty_registry_has_a_site(tmp_path: Path) -> None:
    build(SiteData(), tmp_path)
    assert (tmp_path / "index.html").exists() and (tmp_path / "search/words.json").exists()
