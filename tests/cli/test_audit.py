"""What was revoked is not installed and is found; the list is believed only with the registry's own key."""

import base64
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from noderack_cli import generations
from noderack_cli.exits import Exit
from noderack_cli.main import run
from noderack_cli.osv import vulnerabilities
from noderack_host.folder import Host


def revoke(shop: Any, sha256: str, name: str, reason: str = "steals tokens") -> None:
    body = {"sha256": sha256, "name": name, "reason": reason}
    headers = {"Authorization": f"Bearer {shop.token}"}
    httpx.post(f"{shop.url}/api/v1/revocations", json=body, headers=headers).raise_for_status()


def sha_of(shop: Any, name: str, version: str = "1.0") -> str:
    with shop.client as client:
        return str(client.version(name, version).files[0].sha256)


def trust(host: Host) -> dict[str, Any]:
    found: dict[str, Any] = dict(Host.open(host.root).config.other["trust"])
    return found


def test_a_revoked_pack_is_found_and_not_installed_again(
    shop: Any, rack: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.sell("film", types=["FilmGrain"])
    assert run(["install", "film", "--yes"]) == 0 and run(["audit"]) == 0
    revoke(shop, sha_of(shop, "film"), "film")
    assert run(["audit"]) == Exit.UNRESOLVABLE
    out = capsys.readouterr().out
    assert "film 1.0: revoked: steals tokens" in out and "nodes uninstall film" in out
    assert run(["uninstall", "film", "--yes"]) == 0 and run(["audit"]) == 0
    assert run(["install", "film==1.0", "--yes"]) != 0
    assert "film" not in generations.current(rack).packs


def test_a_revoked_model_is_not_downloaded(
    shop: Any, rack: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = b"weights" * 100
    shop.sell("film", types=["FilmGrain"])
    shop.sell_model("m.safetensors", body)
    revoke(shop, hashlib.sha256(body).hexdigest(), "m.safetensors", "holds code")
    flow = tmp_path / "f.json"
    loader = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "m.safetensors"}}
    flow.write_text(json.dumps({"1": {"class_type": "FilmGrain", "inputs": {}}, "2": loader}))
    assert run(["install-missing", str(flow), "--yes"]) == Exit.UNRESOLVABLE
    assert "m.safetensors was revoked by the registry" in capsys.readouterr().err
    assert not (rack.models / "checkpoints/m.safetensors").exists()


def test_what_was_revoked_stays_refused_where_no_registry_is(shop: Any, rack: Host) -> None:
    from noderack_cli.errors import Unresolvable
    from noderack_cli.plan import PackChoice, Plan
    from noderack_cli.trust import refreshed, refuse_killed, remembered

    shop.sell("film", types=["FilmGrain"])
    sha256 = sha_of(shop, "film")
    revoke(shop, sha256, "film")
    with shop.client as client:
        refreshed(rack, client, keep=True)
    plan = Plan((PackChoice("film", "1.0", (), "", sha256=sha256),))
    with pytest.raises(Unresolvable, match="revoked"):
        refuse_killed(plan, remembered(rack))


def test_the_key_is_kept_when_first_met_and_another_is_refused(
    shop: Any, rack: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["audit"]) == 0
    kept = trust(rack)[shop.url]["key"]
    assert len(base64.b64decode(kept)) == 32
    other = base64.b64encode(bytes(32)).decode()
    rack.with_config(other={"trust": {shop.url: other}})  # as a person writes it: the key alone
    shop.sell("film", types=["FilmGrain"])
    for command in (["audit"], ["install", "film", "--yes"]):
        assert run(command) == Exit.REGISTRY
        err = capsys.readouterr().err
        assert "not signed by this registry's key" in err and "out of [trust]" in err
    assert generations.current(rack).number == 1


def test_an_older_list_than_one_seen_is_refused(shop: Any, rack: Host) -> None:
    assert run(["audit"]) == 0
    row = trust(rack)[shop.url]
    rack.with_config(other={"trust": {shop.url: {**row, "serial": 10_000}}})
    assert run(["audit"]) == Exit.REGISTRY


def test_yanked_and_quarantined_versions_are_told(
    shop: Any, rack: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.sell("film", types=["FilmGrain"])
    shop.sell("sheet", types=["Sheet"])
    assert run(["install", "film", "sheet", "--yes"]) == 0
    headers = {"Authorization": f"Bearer {shop.token}"}
    place = f"{shop.url}/api/v1/packs/film/versions/1.0/yank"
    httpx.post(place, json={"reason": "broken colours"}, headers=headers).raise_for_status()
    assert run(["audit", "--json"]) == Exit.UNRESOLVABLE
    lines = capsys.readouterr().out.strip().splitlines()
    (one,) = json.loads(lines[-1])["findings"]
    assert (one["kind"], one["name"], one["what"]) == ("yanked", "film", "yanked: broken colours")


def advisory(**ranges: Any) -> dict[str, Any]:
    package = {"ecosystem": "PyPI", "name": "Pillow"}
    affected = [{"package": package, **ranges}]
    return {"id": "GHSA-1", "aliases": ["CVE-1"], "summary": "Overflow", "affected": affected}


def spans(*events: dict[str, str]) -> dict[str, Any]:
    return {"ranges": [{"type": "ECOSYSTEM", "events": list(events)}]}


AFFECTED = [
    (spans({"introduced": "0"}, {"fixed": "10.3"}), "10.2", True),
    (spans({"introduced": "0"}, {"fixed": "10.3"}), "10.3", False),
    (spans({"introduced": "10"}), "9.5", False),
    (spans({"introduced": "9"}, {"last_affected": "10.2"}), "10.2", True),
    (spans({"introduced": "9"}, {"last_affected": "10.2"}), "10.2.1", False),
    (spans({"fixed": "8"}, {"introduced": "9"}, {"introduced": "0"}, {"fixed": "9.9"}), "9.1", True),
    (spans({"fixed": "8"}, {"introduced": "9"}, {"introduced": "0"}, {"fixed": "9.9"}), "8.5", False),
    ({"versions": ["10.2"]}, "10.2", True),
    ({"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}, "10.2", False),
]


@pytest.mark.parametrize(("ranges", "version", "hit"), AFFECTED)
def test_an_advisory_concerns_the_versions_that_it_says(
    tmp_path: Path, ranges: dict[str, Any], version: str, hit: bool
) -> None:
    (tmp_path / "one.json").write_text(json.dumps(advisory(**ranges)))
    found = vulnerabilities(tmp_path, {"pillow": version, "numpy": "1"})
    assert [one.id for one in found] == (["GHSA-1"] if hit else [])


def test_advisories_are_read_from_a_zip_and_told_with_their_cure(
    shop: Any, rack: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = json.dumps(advisory(**spans({"introduced": "0"}, {"fixed": "99"}))).replace("Pillow", "torch")
    withdrawn = {**json.loads(torch), "id": "GHSA-2", "withdrawn": "2026-01-01T00:00:00Z"}
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("GHSA-1.json", torch)
        archive.writestr("GHSA-2.json", json.dumps(withdrawn))
    assert run(["audit", "--osv", str(tmp_path / "all.zip")]) == Exit.UNRESOLVABLE
    out = capsys.readouterr().out
    assert "torch 2.13.0: GHSA-1, CVE-1: Overflow; fixed in 99" in out and "nodes why torch" in out
    assert "GHSA-2" not in out


@pytest.mark.parametrize("text", ["{", None, "{}", "[1]", "[" * 100_000, '{"affected": "all"}'])
def test_osv_data_that_cannot_be_read_is_told(
    shop: Any, rack: Host, tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "osv.json"
    if text is not None:
        file.write_text(text)
    assert run(["audit", "--osv", str(file)]) == Exit.BAD_INPUT


def test_an_audit_without_the_registry_goes_by_the_list_that_is_here(
    shop: Any, rack: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.sell("film", types=["FilmGrain"])
    assert run(["install", "film", "--yes"]) == 0
    Host.open(rack.root).with_config(registry="http://127.0.0.1:9")
    capsys.readouterr()
    assert run(["audit"]) == Exit.REGISTRY
    err = capsys.readouterr().err
    assert "only the list of revoked files was" in err and "the one here is 0 hours old" in err
    Host.open(rack.root).with_config(registry=shop.url)
    revoke(shop, sha_of(shop, "film"), "film")
    assert run(["audit"]) == Exit.UNRESOLVABLE
    Host.open(rack.root).with_config(registry="http://127.0.0.1:9")
    assert run(["audit"]) == Exit.UNRESOLVABLE
    capsys.readouterr()
    assert run(["doctor"]) != 0
    out = capsys.readouterr().out
    assert "film was revoked by its registry and is not loaded: steals tokens" in out
    Host.open(rack.root).with_config(registry=None)
    osv = tmp_path / "osv.json"
    osv.write_text("[]")
    assert run(["uninstall", "film", "--yes"]) == 0
    assert run(["audit", "--osv", str(osv)]) == 0
