"""What the registry takes out of wheels: findings, node types, pictures, workflows; how it serves them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from noderack_registry.client import Refused
from noderack_registry.packing import build_wheel
from noderack_registry.packing.check import check
from noderack_registry.packing.showcase import section
from noderack_registry.server import again, exporting, findings, inspection, pictures
from pictures import gif, jpeg, png, webp
from wheels import write_wheel

GRAPH = {"nodes": [{"id": 1, "type": "Grain"}], "links": []}
CLASS = """
class Grain:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image": ("IMAGE",), "amount": ("FLOAT", {"default": 0.5})}}
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"
    CATEGORY = "film"
    def run(self, image, amount):
        return (image,)
NODE_CLASS_MAPPINGS = {"Grain": Grain, "GrainTwo": Grain}
"""
README = "# Grain\n\n![before](docs/before.png) ![far](https://example.org/x.png) ![no](docs/none.png)\n"
MARKDOWN = "Summary: s\nLicense: MIT\nDescription-Content-Type: text/markdown\n"
SHOWN = {
    "grain/icon.png": png(),
    "grain/docs/before.png": png(8, 8),
    "grain/docs/shot.jpg": jpeg(),
    "grain/banner.webp": webp(),
    "grain/example_workflows/a.json": json.dumps(GRAPH).encode(),
    "grain/example_workflows/a.png": png(2, 2),
    "grain/example_workflows/settings.json": b"[1, 2]",
}
TOLD = {"screenshots": ["grain/docs/shot.jpg"], "banner": "grain/banner.webp"}


@pytest.fixture
def shown(bench, tmp_path):
    """A pack with everything to show."""
    wheel = write_wheel(tmp_path, extra=MARKDOWN, readme=README, facts=TOLD, files=SHOWN, code=CLASS)
    bench.client(bench.token()).upload_wheel(wheel)
    return bench


def test_pictures_and_workflows_are_served_by_the_registry(shown):
    version = shown.client().version("grain", "1.0")
    found = [(one.kind, one.place.rpartition("/")[2], one.media, one.width) for one in version.assets]
    assert found == [
        ("icon", "icon.png", "image/png", 4),
        ("banner", "banner.webp", "image/webp", 7),
        ("screenshot", "shot.jpg", "image/jpeg", 5),
        ("workflow", "a.json", "application/json", None),
        ("thumbnail", "a.png", "image/png", 2),
        ("readme", "before.png", "image/png", 8),
    ]
    for one in version.assets:
        got = shown.http.get(one.url)
        assert got.content == SHOWN[one.place]
        assert got.headers["content-type"] == one.media
        assert got.headers["x-content-type-options"] == "nosniff"
        assert got.headers["content-security-policy"] == "sandbox; default-src 'none'"
        inline = got.headers["content-disposition"] == "inline"
        assert inline == one.media.startswith("image/")
        assert shown.http.get(one.url, headers={"If-None-Match": got.headers["etag"]}).status_code == 304
    page = shown.client().pack("grain")
    assert page.icon == version.assets[0].url
    assert page.screenshots == (version.assets[2].url,)
    assert page.workflows == (version.assets[3].url,)


def test_the_readme_shows_the_packs_own_pictures_from_here(shown):
    html = shown.client().pack("grain").readme_html
    assert 'src="http://testserver/assets/' in html
    assert 'src="https://example.org/x.png"' in html
    assert 'src="docs/none.png"' in html


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("icon.png", b"<svg onload=alert(1)>", "no PNG"),
        ("icon.png", png() + bytes(2 << 20), "larger than 1 MiB"),
        ("icon.png", png(60_000, 60_000), "no PNG"),
        ("icon.gif", b"GIF89a", "no PNG"),
        ("none.png", None, "not in the wheel"),
    ],
)
def test_a_picture_that_is_none_is_left_out_and_told(bench, tmp_path, name, data, said):
    files = {f"grain/{name}": data} if data else {}
    wheel = write_wheel(tmp_path, facts={"icon": f"grain/{name}"}, files=files)
    version = bench.client(bench.token()).upload_wheel(wheel)
    assert not version.assets
    assert any(said in one.message for one in version.check if one.rule == "showcase")


@pytest.mark.parametrize(
    ("data", "media"),
    [(png(), "png"), (gif(), "gif"), (jpeg(), "jpeg"), (webp(), "webp"), (b"", ""), (b"\xff\xd8\xff", "")],
)
def test_pictures_are_known_by_their_bytes(data, media):
    found = pictures.look(data)
    assert (found.media if found else "") == (f"image/{media}" if media else "")
    assert all(pictures.look(data[:at]) in (None, found) for at in range(len(data)))


def test_an_address_of_somebody_else_is_passed_on_and_not_fetched(bench, tmp_path):
    wheel = write_wheel(tmp_path, facts={"icon": "https://example.org/icon.png"})
    assert bench.client(bench.token()).upload_wheel(wheel).assets == ()
    assert bench.client().pack("grain").icon == "https://example.org/icon.png"


def test_quarantine_takes_pictures_along(shown):
    url = shown.client().version("grain", "1.0").assets[0].url
    body = {"status": "quarantined", "reason": "bad"}
    shown.http.put("/api/v1/packs/grain/status", json=body, headers=shown.admin())
    assert shown.http.get(url).status_code == 404


def test_an_upload_that_fails_late_leaves_no_pictures(shown, tmp_path, monkeypatch):
    before = shown.leftovers()
    wheel = write_wheel(tmp_path, version="1.1", files={"grain/icon.png": png(9, 9)})
    monkeypatch.setattr(findings, "store", _fails)
    shown.http._transport.raise_server_exceptions = False
    with pytest.raises(Refused, match="failed to answer"):
        shown.client(shown.token()).upload_wheel(wheel)
    assert shown.leftovers() == before
    assert not inspection.check(shown.registry)


def _fails(*anything):
    raise RuntimeError("the database went away")


def test_a_wheel_without_a_list_gets_its_node_types_from_syntax(bench, tmp_path):
    wheel = write_wheel(tmp_path, types=(), code=CLASS)
    version = bench.client(bench.token()).upload_wheel(wheel)
    assert version.origins == {"Grain": "syntax", "GrainTwo": "syntax"}
    assert version.node_types["Grain"]["input"]["required"]["amount"][0] == "FLOAT"
    (claim,) = bench.client().node_type("GrainTwo")
    assert (claim.origin, claim.reason) == ("syntax", "read from its source; the only claim")


def test_what_a_wheel_declares_stays_and_gets_its_schema(bench, tmp_path):
    wheel = write_wheel(tmp_path, facts={"node_types": {"Grain": {}, "Hidden": {}}}, code=CLASS)
    version = bench.client(bench.token()).upload_wheel(wheel)
    assert version.origins == {"Grain": "declared", "Hidden": "declared"}
    assert version.node_types["Grain"]["category"] == "film"
    assert version.node_types["Hidden"] == {}


@pytest.mark.parametrize(
    "code", ["def broken(:\n", "x = " + "(" * 5000, "NODE_CLASS_MAPPINGS = {'\\ud800': 1}\n"]
)
def test_odd_code_is_published_with_a_finding(bench, tmp_path, code):
    version = bench.client(bench.token()).upload_wheel(write_wheel(tmp_path, code=code, types=("Grain",)))
    assert version.origins == {"Grain": "declared"}
    assert version.checked_by.startswith("noderack ")


def test_findings_are_those_of_the_authors_check(bench, tmp_path):
    folder = tmp_path / "ComfyUI-Grain"
    folder.mkdir()
    (folder / "__init__.py").write_text(CLASS + "import os\nos.system('ls')\neval('1')\n")
    (folder / "requirements.txt").write_text("torch==2.1\nnumpy\n")
    (folder / "pyproject.toml").write_text('[project]\nname = "comfyui-grain"\nversion = "1.0"\n')
    wheel = build_wheel(folder, tmp_path).path
    mine = [finding.as_dict() for finding in check(folder).findings]
    assert [finding.as_dict() for finding in check(wheel).findings] == mine
    bench.client(bench.token()).upload_wheel(wheel)
    got = bench.http.get("/api/v1/packs/comfyui-grain/versions/1.0/findings").json()
    keys = ("rule", "level", "file", "line", "message", "mend")
    assert [[one[key] for key in keys] for one in got["findings"]] == [
        [one[key] for key in keys] for one in mine
    ]
    assert {"eval", "subprocess", "pinned-core", "metadata"} <= {one["rule"] for one in got["findings"]}


def test_a_type_that_others_have_is_a_finding(bench, tmp_path):
    bench.client(bench.token()).upload_wheel(write_wheel(tmp_path, types=("Grain",)))
    other = write_wheel(tmp_path, "other", types=("Grain", "KSampler"))
    version = bench.client(bench.token("bob")).upload_wheel(other)
    clashes = [(one.level, one.message) for one in version.check if one.rule == "type-clash"]
    assert clashes == [
        ("error", "KSampler is a node type of the core"),
        ("warning", "Grain is a node type of grain, too"),
    ]


def test_looking_again_finds_what_an_older_version_did_not(shown):
    def forget(session):
        from noderack_registry.server.tables import Asset, Examination
        from sqlalchemy import delete

        session.execute(delete(Asset))
        session.execute(delete(Examination))

    before = shown.client().version("grain", "1.0")
    shown.registry.database.writing(forget)
    assert shown.registry.database.reading(again.versions_to_do, None, True) == [("grain", "1.0")]
    again.examine_again(shown.registry, "grain", "1.0")
    assert shown.client().version("grain", "1.0") == before
    assert not shown.registry.database.reading(again.versions_to_do, None, True)
    token = {"Authorization": f"Bearer {shown.token('bob')}"}
    assert shown.http.post("/api/v1/packs/grain/versions/1.0/findings", headers=token).status_code == 403
    token = {"Authorization": f"Bearer {shown.token()}"}
    assert shown.http.post("/api/v1/packs/grain/versions/1.0/findings", headers=token).status_code == 200


def test_the_export_has_pictures_workflows_and_findings(shown, tmp_path):
    counts = exporting.export(shown.registry, tmp_path / "out")
    assert (counts["assets"], counts["workflows"]) == (6, 1)
    line = json.loads((tmp_path / "out/workflows.jsonl").read_text())
    assert (line["pack"], line["graph"]) == ("grain", GRAPH)
    version = json.loads((tmp_path / "out/versions.jsonl").read_text())
    for asset in version["assets"]:
        assert (tmp_path / "out" / asset["url"].lstrip("/")).read_bytes() == SHOWN[asset["place"]]
    assert version["checked_by"]


def test_an_untouched_pack_shows_what_its_pyproject_names(bench, tmp_path):
    folder = tmp_path / "ComfyUI-Grain"
    for name, data in {"docs/icon.png": png(), "shots/one.png": png(3, 3)}.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(data)
    (folder / "__init__.py").write_text(CLASS)
    (folder / "CHANGELOG.md").write_text("# Changes\n\n## v1.1 (today)\n\nFaster.\n\n## 1.0\n\nFirst.\n")
    address = "https://raw.githubusercontent.com/ann/ComfyUI-Grain/main/docs/icon.png"
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "comfyui-grain"\nversion = "1.1"\n'
        f'[tool.comfy]\nIcon = "{address}"\n[tool.noderack]\nscreenshots = ["shots/one.png"]\n'
    )
    version = bench.client(bench.token()).upload_wheel(build_wheel(folder, tmp_path).path)
    assert [one.kind for one in version.assets] == ["icon", "screenshot"]
    assert version.changelog == "Faster."


@pytest.mark.parametrize(
    ("version", "text"),
    [("1.1.0", "Faster.\n\n### Fixed\n\nIt."), ("1.0", "First."), ("2.0", "")],
)
def test_a_changelogs_section(version, text):
    log = "# Log\n\n## [1.1] - 2026\n\nFaster.\n\n### Fixed\n\nIt.\n\n## Version 1.0\n\nFirst.\n"
    assert section(log, version) == text


def test_surrogates_in_a_list_do_no_harm(bench, tmp_path):
    facts = {"title": "a\ud800b", "node_types": {"Grain": {"description": "\udfff"}}}
    bench.client(bench.token()).upload_wheel(write_wheel(tmp_path, facts=facts))
    assert bench.client().pack("grain").title == "a?b"
    assert bench.client().version("grain", "1.0").node_types["Grain"]["description"] == "?"


def test_cases_read_the_same_as_folder_and_as_wheel(tmp_path):
    cases = Path(__file__).parents[1] / "cases" / "packs"
    for folder in sorted(
        path for path in cases.iterdir() if path.is_dir() and (path / "__init__.py").exists()
    ):
        wheel = build_wheel(folder, tmp_path).path
        assert [str(one) for one in check(wheel).findings] == [str(one) for one in check(folder).findings]
