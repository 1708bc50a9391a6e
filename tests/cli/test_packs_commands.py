"""install, uninstall, update, pin, hold, why, diff, against a real registry."""

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from noderack_cli import generations
from noderack_cli.exits import Exit
from noderack_cli.main import run
from noderack_cli.pack_dev import put_in, site_packages
from noderack_host.folder import Host
from pack_wheels import wheel


def said(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*args, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_a_pack_comes_is_explained_and_goes(
    shop: Any, rack: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.sell("lib", library=True)
    shop.sell("film", types=["FilmGrain"], requires=["lib>=1"])
    assert run(["install", "film", "--yes"]) == 0
    chain = said(capsys, "why", "lib")["chains"][0]
    assert chain == ["film 1.0", "lib>=1 (1.0 is here)"]
    assert said(capsys, "why", "FilmGrain")["name"] == "film"
    assert said(capsys, "uninstall", "film", "--dry-run") == {"would_remove": ["film", "lib"]}
    changed = {c["name"] for c in said(capsys, "diff", "1")["changes"]}
    assert changed == {"film", "lib"}
    assert said(capsys, "uninstall", "film")["removed"] == ["film", "lib"]
    assert said(capsys, "diff", "1")["changes"] == []
    assert run(["rollback"]) == 0 and "film" in generations.current(rack).packs


def test_packs_that_need_each_other_go_in_any_order(shop: Any, rack: Host) -> None:
    shop.sell("base-pack", types=["Base"])
    shop.sell("upper", types=["Upper"], requires=["base-pack"])
    assert run(["install", "upper", "base-pack", "--yes"]) == 0
    assert run(["uninstall", "base-pack", "upper", "--yes"]) == 0
    assert set(generations.current(rack).packs) == {"noderack"}


def test_update_respects_pin_and_hold(shop: Any, rack: Host, capsys: pytest.CaptureFixture[str]) -> None:
    shop.sell("film", "1.0", types=["FilmGrain"])
    assert run(["install", "film", "--yes"]) == 0
    shop.sell("film", "1.1", types=["FilmGrain"])
    shop.sell("film", "2.0", types=["FilmGrain"])
    assert [p["name"] for p in said(capsys, "list", "--outdated")["packs"]] == ["film"]
    assert run(["hold", "film"]) == 0
    assert said(capsys, "list", "--outdated")["packs"] == []
    plan = said(capsys, "update", "--dry-run")["plan"]
    assert plan["packs"] == [] and plan["notes"][0].startswith("held, so left as it is: film (nodes free")
    assert run(["free", "film"]) == 0 and run(["pin", "film==1.1"]) == 0
    assert said(capsys, "update", "--dry-run")["plan"]["packs"][0]["version"] == "1.1"
    assert said(capsys, "list", "--outdated")["packs"][0]["newer"] == "1.1"
    assert run(["free", "film"]) == 0 and run(["update", "--yes"]) == 0
    assert generations.current(rack).packs["film"].version == "2.0"
    assert run(["update", "--yes"]) == 0, "nothing more to do"


def test_what_the_user_decided_is_told(shop: Any, rack: Host, capsys: pytest.CaptureFixture[str]) -> None:
    shop.sell("film", types=["FilmGrain"])
    shop.sell("sheets", types=["Sheet"])
    assert run(["install", "film", "sheets", "--yes"]) == 0
    shop.sell("film", "2.0", types=["FilmGrain"])
    for command, told in [
        (["pin", "film==2.0"], "and here is 1.0; go there with: nodes update film"),
        (["hold", "sheets"], "sheets is held; `nodes free sheets` lets it change again."),
        (["list"], "registry, pinned at 2.0"),
        (["list"], "registry, held"),
        (["list", "--outdated"], "film  1.0  →  2.0\n1 pack could be newer: nodes update"),
        (["update", "--dry-run"], "because: you pinned it there"),
        (["update", "--dry-run"], "Note: held, so left as it is: sheets (nodes free sheets lets it change)"),
        (["update", "--yes"], "Done in "),
        (["update"], "All is as new as it gets."),
        (["install", "film", "film"], "Nothing to do: film 2.0 is here already."),
    ]:
        assert run(command) == 0
        assert told in capsys.readouterr().out, command
    assert run(["free", "nobody"]) == Exit.NOT_FOUND


def test_an_update_passes_over_packs_that_the_registry_does_not_have(shop: Any, rack: Host) -> None:
    shop.sell("film", types=["FilmGrain"])
    assert run(["install", "film", "--yes"]) == 0 and run(["disable", "film"]) == 0
    shop.sell("film", "2.0", types=["FilmGrain"])
    assert run(["update", "--yes"]) == 0
    now = generations.current(rack)
    assert now.packs["film"].disabled and now.why == "disable film", "a disabled pack is not brought back"
    lost = replace(now.packs["film"], name="lost", disabled=False)
    with generations.draft(rack, now.path, now.number) as draft:
        generations.commit(rack, draft, "test", {**now.packs, "lost": lost})
    assert run(["list", "--outdated"]) == 0 and run(["update", "lost"]) == Exit.NOT_FOUND


def test_an_update_that_does_not_import_leaves_the_old_one(shop: Any, rack: Host) -> None:
    shop.sell("film", "1.0", types=["FilmGrain"])
    assert run(["install", "film", "--yes"]) == 0
    shop.sell("film", "2.0", declared=["FilmGrain"], source="raise ImportError('libfoo')")
    assert run(["update", "--yes"]) == Exit.INSTALL_FAILED
    assert generations.current(rack).packs["film"].version == "1.0"


def test_a_node_type_that_two_packs_bring_is_told(
    shop: Any, rack: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two", "three"):
        shop.sell(name, types=["Same", name])
    assert run(["install", "one", "two", "--yes"]) == 0
    assert "Note: two and one both bring Same: that of one is used" in capsys.readouterr().out
    notes = said(capsys, "install", "three", "--dry-run")["plan"]["notes"]
    assert notes == ["three and one, which is here, both bring Same: that of one is used"]


NO_WHEELS = {"strange.whl": b"x", "bad-1.0-py3-none-any.whl": b"PK no", "a-1-py3-none-any.whl": b""}


@pytest.mark.parametrize("name", NO_WHEELS)
def test_what_is_no_wheel_is_told(name: str, rack: Host, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / name).write_bytes(NO_WHEELS[name])
    assert run(["install", str(tmp_path / name), "--yes"]) == Exit.BAD_INPUT
    assert f"{tmp_path / name} is not a wheel" in capsys.readouterr().err


def test_a_wheel_and_a_folder(shop: Any, rack: Host, tmp_path: Path) -> None:
    assert run(["install", str(wheel(tmp_path, "local", types=["Local"])), "--yes"]) == 0
    source = tmp_path / "my-pack"
    source.mkdir()
    (source / "__init__.py").write_text("from .nodes import NODE_CLASS_MAPPINGS\n")
    from pack_wheels import nodes_source

    (source / "nodes.py").write_text(nodes_source(["Mine"]))
    assert run(["install", str(source), "--yes"]) == 0
    packs = generations.current(rack).packs
    assert packs["local"].node_types == ("Local",) and packs["my-pack"].node_types == ("Mine",)


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["install", "nothing-like-it"], Exit.NOT_FOUND, "nothing-like-it"),
        (["install", "/none.whl"], Exit.NOT_FOUND, "is not a file"),
        (["uninstall", "none", "--yes"], Exit.NOT_FOUND, "none is not installed"),
        (["uninstall", "noderack", "--yes"], Exit.UNRESOLVABLE, "part of the host itself"),
        (["update", "none"], Exit.NOT_FOUND, "none is not installed"),
        (["why", "none"], Exit.NOT_FOUND, "none is not installed"),
        (["diff", "9"], Exit.NOT_FOUND, "no generation 9"),
        (["pin", "none"], Exit.NOT_FOUND, "none is not installed"),
        (["pin", "none==one"], Exit.BAD_INPUT, "'one' is no version"),
        (["prune", "--keep", "-1"], Exit.USAGE, "--keep"),
    ],
)
def test_mistakes(
    shop: Any, rack: Host, capsys: pytest.CaptureFixture[str], args: list[str], code: int, text: str
) -> None:
    assert run(args) == code
    assert text in capsys.readouterr().err


def test_what_doctor_says_mends_it(shop: Any, rack: Host, capsys: pytest.CaptureFixture[str]) -> None:
    shop.sell("film", types=["FilmGrain"])
    shop.sell("film", "2.0", types=["FilmGrain"])
    assert run(["install", "film==1.0", "--yes"]) == 0
    (rack.models / "loras").mkdir()
    (rack.models / "loras/lost one.safetensors").symlink_to("/nowhere/lost.safetensors")
    packages = site_packages(rack)
    shutil.rmtree(packages / "film")
    shutil.rmtree(packages / "film-1.0.dist-info")
    capsys.readouterr()
    assert run(["doctor", "--json"]) == Exit.BAD_INPUT
    ills = json.loads(capsys.readouterr().out)["ills"]
    cures = {ill["code"]: ill["cure"].partition(", or ")[0] for ill in ills}
    assert cures["pack-gone"] == "nodes install film==1.0"
    assert cures["model-gone"] == 'nodes models rm "loras/lost one.safetensors"'
    for cure in cures.values():
        assert run([*shlex.split(cure)[1:], "--yes"]) == 0, cure
    assert said(capsys, "doctor") == {"ills": []}


def test_what_others_need_stays(shop: Any, rack: Host, capsys: pytest.CaptureFixture[str]) -> None:
    shop.sell("base-pack", types=["Base"])
    shop.sell("upper", types=["Upper"], requires=["base-pack"])
    assert run(["install", "base-pack", "--yes"]) == 0 and run(["install", "upper", "--yes"]) == 0
    assert run(["uninstall", "base-pack", "--yes"]) == Exit.UNRESOLVABLE
    assert "upper needs base-pack" in capsys.readouterr().err


def test_switches_tell_json(shop: Any, rack: Host, capsys: pytest.CaptureFixture[str]) -> None:
    shop.sell("film", types=["FilmGrain"])
    assert run(["install", "film", "--yes"]) == 0
    assert said(capsys, "pin", "film") == {"pack": "film", "pinned": "1.0"}
    assert said(capsys, "hold", "film") == {"held": "film"}
    row = said(capsys, "list")["packs"][0]
    assert (row["name"], row["pinned"], row["held"]) == ("film", "1.0", True)
    assert said(capsys, "free", "film") == {"free": "film"}
    assert said(capsys, "disable", "film")["disabled"] == "film"
    assert said(capsys, "enable", "film")["event"] == "result"


def test_disable_and_enable(shop: Any, rack: Host, tmp_path: Path) -> None:
    shop.sell("film", types=["FilmGrain"])
    assert run(["install", "film", "--yes"]) == 0 and run(["audit"]) == 0
    flow = tmp_path / "flow.json"
    flow.write_text(json.dumps({"1": {"class_type": "FilmGrain", "inputs": {}}}))
    assert run(["missing", str(flow)]) == 0
    assert run(["disable", "film"]) == 0
    assert run(["missing", str(flow)]) == Exit.NOT_FOUND
    assert generations.current(rack).packs["film"].disabled and run(["doctor"]) == 0
    assert run(["enable", "film"]) == 0
    assert run(["missing", str(flow)]) == 0 and not generations.current(rack).packs["film"].disabled
    assert run(["enable", "film"]) == Exit.NOT_FOUND


def test_list_says_which_packs_fail_why_and_how_long_the_others_take(
    shop: Any, rack: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.sell("film", types=["FilmGrain"])
    assert run(["install", "film", "--yes"]) == 0
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "__init__.py").write_text("def load():\n    import no_such_thing\nload()\n")
    put_in(site_packages(rack), broken, rack.user / "linked")
    found = said(capsys, "list", "--failed")
    assert [f["pack"] for f in found["failures"]] == ["custom_nodes-broken"]
    assert "No module named 'no_such_thing'" in found["failures"][0]["cause"]
    assert "broken/__init__.py" in found["failures"][0]["where"][-1]
    times = {pack["name"]: pack["seconds"] for pack in found["packs"]}
    assert 0 <= times["film"] < 30 and found["lacking"] == []
    assert run(["list", "--times"]) == 0
    assert "film" in (out := capsys.readouterr().out) and "s together" in out
