"""Records survive the wire, and what does not fit is named by its path."""

import json
import subprocess
import sys

import pytest
from noderack_registry.errors import Malformed
from noderack_registry.schema import (
    ModelManifest,
    Pack,
    PackFile,
    PackVersion,
    Resolution,
    Source,
    TypeClaim,
)

SHA = "ab" * 32
MODEL = ModelManifest(
    "a.safetensors", "loras", SHA, 3, (Source("url", "https://x/a"),), trigger_words=("zig",)
)
RECORDS = [
    PackFile("a-1-py3-none-any.whl", "/files/a", SHA, 3),
    MODEL,
    Pack("a", latest="1", versions=("1",), urls={"Home": "https://x"}),
    PackVersion(
        "a", "1", node_types={"Grain": {"input": {}}}, files=(PackFile("f", "u", SHA, 1),), models=(MODEL,)
    ),
    TypeClaim("Grain", "a", None, "catalogue", 1, "only claimant"),
    Resolution({"Grain": (TypeClaim("Grain", "a", "1", "declared", 1, "only claimant"),)}, {"a": (MODEL,)}),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_round_trip(record):
    assert type(record).from_json(json.loads(json.dumps(record.to_json()))) == record


@pytest.mark.parametrize(
    ("cls", "data", "where"),
    [
        (PackFile, [], ""),
        (PackFile, {"filename": "f", "url": "u", "sha256": SHA}, "size"),
        (PackFile, {"filename": "f", "url": "u", "sha256": SHA, "size": True}, "size"),
        (PackVersion, {"pack": "a", "version": "1", "files": [{"filename": 3}]}, "files[0].filename"),
        (PackVersion, {"pack": "a", "version": "1", "node_types": []}, "node_types"),
        (TypeClaim, {"type": "T", "pack": "a", "version": None, "origin": "rumour"}, "origin"),
        (ModelManifest, {"name": "a", "folder": "b", "sha256": "XY"}, ""),
        (Resolution, {"node_types": {"A": [3]}}, "node_types.A[0]"),
    ],
)
def test_what_does_not_fit_is_named(cls, data, where):
    with pytest.raises(Malformed) as caught:
        cls.from_json(data)
    assert caught.value.where == where


def test_unknown_keys_are_ignored():
    assert TypeClaim.from_json({**RECORDS[4].to_json(), "new": 1}) == RECORDS[4]


def test_autov2_is_the_short_hash():
    assert MODEL.autov2 == SHA[:10]


def test_client_and_schema_need_no_server():
    names = "{'fastapi', 'sqlmodel', 'git', 'sqlalchemy'}"
    code = (
        f"import sys, noderack_registry.schema, noderack_registry.client; print({names} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
