"""`nodes registry site`: from what an author published to the pages that show it."""

import json
import sys
from pathlib import Path

import pytest
from noderack_cli.main import run as nodes
from noderack_registry.client import RegistryClient
from noderack_registry.server import Settings, open_registry, serving
from noderack_registry.server.accounts import create_token

sys.path.insert(0, str(Path(__file__).parent))  # for pack_wheels.py beside this file

from pack_wheels import wheel


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A registry's folder with one published pack that brings an example workflow."""
    settings = Settings(data=tmp_path / "data")
    registry = open_registry(settings)
    token = registry.database.writing(create_token, "ann", settings.now(), scopes=("publish",), days=1).text
    registry.database.close()
    graph = {"nodes": [{"id": 1, "type": "Grain", "pos": [0, 0], "size": [200, 80]}], "links": []}
    files = {"example_workflows/first_steps.json": json.dumps(graph).encode()}
    with serving(settings) as url:
        RegistryClient(url, token).upload_wheel(wheel(tmp_path, "grain-pack", types=["Grain"], files=files))
    return settings.data


def test_what_is_published_is_shown(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, url, kept = tmp_path / "site", "https://packs.example", tmp_path / "export.json.gz"
    options = ["--data", str(data), "--url", url, "--export", str(kept), "--json"]
    assert nodes(["registry", "site", str(out), *options]) == 0
    assert json.loads(capsys.readouterr().out)["written"] > 0
    page = (out / "packs/grain-pack.html").read_text(encoding="utf-8")
    assert "nodes install grain-pack" in page and "first steps" in page and "ann" in page
    assert "declared" in (out / "nodes/Grain.html").read_text(encoding="utf-8")
    assert (out / "workflows/grain-pack-first-steps.workflow.json").exists()
    assert "https://packs.example/packs/grain-pack.html" in (out / "feed.atom").read_text(encoding="utf-8")
    assert "there is nothing to install" in (out / "packs/noderack-core.html").read_text(encoding="utf-8")
    assert "CLIPTextEncode" in (out / "nodes/KSampler.html").read_text(encoding="utf-8")
    assert len(list(out.glob(".noderack-built-in-*.json"))) == 1, "asked once"
    assert "GET /api/v1/packs" in (out / "docs/http-api.html").read_text(encoding="utf-8")
    assert nodes(["registry", "site", str(tmp_path / "again"), "--from", str(kept), "--url", url]) == 0
    assert (tmp_path / "again/packs/grain-pack.json").read_bytes() == (
        out / "packs/grain-pack.json"
    ).read_bytes()


def test_no_registry_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert nodes(["registry", "site", str(tmp_path / "site"), "--data", str(tmp_path / "none")]) == 3
    assert "no registry's folder" in capsys.readouterr().err
    assert not (tmp_path / "site").exists()
