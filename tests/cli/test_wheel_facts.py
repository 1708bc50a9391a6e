"""What a plan knows of wheels before they come, by a look at their end: size unpacked, licence."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from noderack_cli import wheel_facts
from noderack_cli.main import run
from noderack_cli.wheel_facts import Ending, facts_of, licence_of
from noderack_cli.wheels import Wheel
from noderack_host.folder import Host
from pack_wheels import wheel

ZEROS = bytes(300_000)

LICENCES = [
    ("License-Expression: MIT OR Apache-2.0\nLicense: x\n", "MIT OR Apache-2.0"),
    ("License: BSD 3-Clause\n", "BSD 3-Clause"),
    ("License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License\n", "MIT License"),
    (f"License: {'all of the text ' * 20}\nClassifier: License :: OSI Approved :: ISC\n", "ISC"),
    ("Name: x\n", ""),
    ("", ""),
]


@pytest.mark.parametrize(("metadata", "licence"), LICENCES)
def test_a_licence_is_one_line(metadata: str, licence: str) -> None:
    assert licence_of(metadata) == licence


def test_a_look_at_the_end_is_enough(shelf: Any, tmp_path: Path) -> None:
    file = wheel(tmp_path, "zeros", files={f"{n}.bin": ZEROS for n in range(3)})
    shelf.files["/w.whl"] = file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        size = sum(one.file_size for one in archive.infolist())
    known = Wheel(file.name, f"{shelf.url}/w.whl", "0" * 64, file.stat().st_size)
    (facts,) = facts_of([known], None).values()
    assert (facts.unpacked, facts.cached, len(shelf.seen)) == (size, False, 1)
    assert facts.disk == size + facts.sources
    here = Wheel(file.name, file.as_uri(), "1" * 64, 0)
    assert facts_of([here], None)["1" * 64] == facts


def test_a_long_list_of_files_is_asked_for_where_it_is(
    shelf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheel_facts, "TAIL", 1000)
    shelf.files["/w.whl"] = wheel(tmp_path, "many", files={f"m{n}.py": b"x" for n in range(200)}).read_bytes()
    with httpx.Client() as client, zipfile.ZipFile(Ending(f"{shelf.url}/w.whl", client)) as archive:
        assert len(archive.infolist()) > 200 and archive.testzip() is None
    assert 1 < len(shelf.seen) < 250


@pytest.mark.parametrize("ill", ["no ranges", "gone", "no wheel", "endless"])
def test_what_cannot_be_read_stays_unknown(
    shelf: Any, tmp_path: Path, ill: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.files["/w.whl"] = wheel(tmp_path, "one", files={"zeros": ZEROS}).read_bytes()
    if ill == "no ranges":
        shelf.ranges = False
    elif ill == "gone":
        del shelf.files["/w.whl"]
    elif ill == "no wheel":
        shelf.files["/w.whl"] = bytes(100_000)
    else:
        monkeypatch.setattr(wheel_facts, "PATIENCE", 0.2)
        shelf.rate = 10.0
    assert facts_of([Wheel("one-1.0-py3-none-any.whl", f"{shelf.url}/w.whl", "0" * 64, 9)], None) == {}


def planned(flow: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert run(["install-missing", str(flow), "--dry-run", "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out.splitlines()[0])["plan"])


def test_a_plan_tells_what_comes_and_counts_nothing_twice(
    shop: Any, rack: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.sell("lib", library=True, files={"zeros.bin": ZEROS})
    shop.sell("film", types=["FilmGrain"], requires=["lib"])
    flow = tmp_path / "f.json"
    flow.write_text(json.dumps({"1": {"class_type": "FilmGrain", "inputs": {}}}))
    plan = planned(flow, capsys)
    lib = next(one for one in plan["distributions"] if one["name"] == "lib")
    assert not lib["cached"] and len(ZEROS) < lib["disk"] < 1.1 * len(ZEROS)
    assert lib["size"] < plan["download"] < lib["disk"] < plan["disk"]
    assert run(["install-missing", str(flow), "--yes"]) == 0
    assert run(["rollback", "1"]) == 0
    again = planned(flow, capsys)
    assert all(one["cached"] for one in again["distributions"])
    assert again["download"] == 0 and again["disk"] < 5000
