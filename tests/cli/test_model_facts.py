"""What a plan says of models whose manifest lacks size or hash: their host is asked beforehand."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from noderack_cli.main import run
from noderack_cli.model_facts import informed
from noderack_cli.plan import ModelChoice
from noderack_cli.side_by_side import each
from noderack_cli.sources import Access
from noderack_host.folder import Host
from noderack_registry.schema import ModelManifest, Source

SHA, PLACE = "ab" * 32, "/org/repo/resolve/main/m.safetensors"


def choice(url: str, **facts: Any) -> ModelChoice:
    manifest = ModelManifest("m.safetensors", "checkpoints", sources=(Source("url", url),), **facts)
    return ModelChoice("m.safetensors", "checkpoints", manifest, "the workflow gives its address")


def test_size_and_hash_come_from_the_host(shelf: Any) -> None:
    headers = {"X-Linked-Etag": f'"{SHA}"', "X-Linked-Size": "7", "Location": "https://cdn.example/x"}
    shelf.status[PLACE] = (302, headers)
    access = Access.of({"HF_ENDPOINT": shelf.url, "HOME": "/nowhere"})
    (found,) = informed([choice(f"https://huggingface.co{PLACE}")], access)
    assert (found.manifest.size, found.manifest.sha256, found.refused) == (7, SHA, "")
    known = choice(f"https://huggingface.co{PLACE}", size=9, sha256="cd" * 32)
    assert informed([known], access) == (known,) and len(shelf.seen) == 1


def test_a_gate_is_told_before_anything_comes(
    shelf: Any, shop: Any, rack: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", shelf.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    shelf.status[PLACE] = (401, {"X-Error-Code": "GatedRepo"})
    model = {"name": "m.safetensors", "url": f"https://huggingface.co{PLACE}", "directory": "checkpoints"}
    loader = {"id": 1, "type": "CheckpointLoaderSimple", "properties": {"models": [model]}}
    flow = tmp_path / "f.json"
    flow.write_text(json.dumps({"nodes": [{**loader, "widgets_values": ["m.safetensors"]}], "links": []}))
    assert run(["install-missing", str(flow), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "asked beforehand: m.safetensors is gated at 127.0.0.1, and you are not logged in." in out
    assert "accept its terms, and set HF_TOKEN" in out


def test_who_asks_waits_no_longer_than_said() -> None:
    start = time.monotonic()
    done = each(lambda seconds: time.sleep(seconds) or seconds, [0.0, 0.01, 30.0], patience=0.3)
    assert time.monotonic() - start < 5
    assert sorted(done) == [(0.0, 0.0), (0.01, 0.01)]
    assert each(lambda item: item, [], 1.0) == []
