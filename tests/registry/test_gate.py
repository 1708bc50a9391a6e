"""Every wrong wheel is refused with its own code, here as there, and leaves nothing behind."""

from __future__ import annotations

import hashlib

import pytest
from bad_wheels import CASES, NAME, NAMES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from noderack_registry.gate import FINDINGS, BadWheel, Limits, inspect
from wheels import members, wheel_bytes, with_record, write_wheel, zipped


def form(name, data):
    fields = {":action": "file_upload", "protocol_version": "1", "filetype": "bdist_wheel"}
    return {**fields, "sha256_digest": hashlib.sha256(data).hexdigest()}, {"content": (name, data)}


def refused(bench, headers, name, data):
    fields, files = form(name, data)
    answer = bench.http.post("/legacy/", data=fields, files=files, headers=headers)
    assert 400 <= answer.status_code < 500, answer.text
    return answer.json()["error"]


def test_all_of_them(bench):
    """One registry takes the whole corpus, so that nothing of one case can hide behind the next."""
    headers, found = bench.admin(), {}
    for case, (_, make) in CASES.items():
        found[case] = refused(bench, headers, NAME, make())["code"]
        assert bench.leftovers() == [], case
    assert found == {case: code for case, (code, _) in CASES.items()}
    assert len(CASES) >= 40
    assert bench.http.get("/simple/", headers={"Accept": "*/*"}).json()["projects"] == []


@pytest.mark.parametrize(("name", "code"), NAMES.items())
def test_names_that_do_not_fit(tmp_path, name, code):
    path = tmp_path / name
    path.write_bytes(wheel_bytes())
    with pytest.raises(BadWheel) as caught:
        inspect(path)
    assert caught.value.code == code
    assert caught.value.hint == FINDINGS[code]


def test_every_code_has_a_case():
    covered = {code for code, _ in CASES.values()} | set(NAMES.values())
    by_limits = {"too-large", "too-many-entries", "too-much-code", "local-version"}
    assert set(FINDINGS) == covered | by_limits


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(file=100), "too-large"),
        (Limits(entries=3), "too-many-entries"),
        (Limits(code=10), "too-much-code"),
    ],
)
def test_limits(tmp_path, limits, code):
    with pytest.raises(BadWheel) as caught:
        inspect(write_wheel(tmp_path), limits=limits)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("name", "version", "code"),
    [
        ("torch", "1.0", "foreign-module"),
        ("json", "1.0", "foreign-module"),
        ("grain", "1.0+mine", "local-version"),
    ],
)
def test_names_of_others_and_local_versions(tmp_path, name, version, code):
    with pytest.raises(BadWheel) as caught:
        inspect(write_wheel(tmp_path, name, version))
    assert caught.value.code == code


def test_a_good_wheel_passes_and_tells(tmp_path):
    code = "import requests\nimport subprocess\ndef f():\n    eval('1')\n"
    wheel = inspect(write_wheel(tmp_path, "grain", "1.0", code=code, facts={"capabilities": ["network"]}))
    assert wheel.capabilities == ("eval", "network", "subprocess")
    assert str(wheel.findings[0]) == "eval: grain/__init__.py:4: eval(…)"


def test_a_library_needs_no_entry_point(tmp_path):
    found = members("lib", types=(), facts={"library": True})
    found.pop("lib-1.0.dist-info/entry_points.txt")
    path = tmp_path / "lib-1.0-py3-none-any.whl"
    path.write_bytes(zipped(with_record(found)))
    assert inspect(path).facts.library


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 1200), byte=st.integers(0, 255), cut=st.integers(0, 40))
def test_no_damage_makes_the_gate_fall_over(tmp_path, at, byte, cut):
    """Any byte changed, any bytes lost: it passes or is refused, nothing else."""
    data = bytearray(wheel_bytes())
    data[at % len(data)] = byte
    del data[at % len(data) : at % len(data) + cut]
    path = tmp_path / NAME
    path.write_bytes(data)
    try:
        inspect(path)
    except BadWheel as refusal:
        assert refusal.code in FINDINGS
