"""`nodes install-missing` against a real registry: packs into generations, models into folders."""

import hashlib
import json
import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flows import seed, workflow
from noderack_cli import generations
from noderack_cli.exits import Exit
from noderack_cli.main import run
from noderack_host.folder import Host
from pack_wheels import nodes_source, wheel

BODY = os.urandom(100_000)


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]


def files(host: Host) -> list[Path]:
    """All of a host but uv's lock in an environment it looked at, and the wheel made of what came with us."""
    own = host.root / "wheels"
    return sorted(p for p in host.root.rglob("*") if p.name != ".lock" and own not in (p, *p.parents))


def at_terminal(words: list[str], answers: str) -> str:
    """What a command prints at a terminal where these answers are typed."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(words, stdin=theirs, stdout=subprocess.PIPE, stderr=-2, text=True) as child:
        os.write(ours, answers.encode())
        said, _ = child.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    return said


def test_packs_and_models_come(
    shop: Any, rack: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.sell("lettering", library=True)
    shop.sell("film-grain", types=["FilmGrain"], requires=["lettering>=1"])
    shop.sell("sheets", types=["ContactSheet", "Label"])
    shop.sell_model("shapes.safetensors", BODY)
    flow = workflow(tmp_path, ["FilmGrain", "ContactSheet", "KSampler"], {"shapes.safetensors": ""})
    assert run(["missing", flow]) == Exit.NOT_FOUND
    assert run(["install-missing", flow, "--yes"]) == 0
    out = capsys.readouterr().out
    assert "film-grain 1.0" in out and "+  lettering" in out and "because:" in out
    now = generations.current(rack)
    assert now.number == 3 and set(now.packs) == {"noderack", "film-grain", "sheets"}
    assert now.packs["sheets"].node_types == ("ContactSheet", "Label")
    model = rack.models / "checkpoints/shapes.safetensors"
    assert hashlib.sha256(model.read_bytes()).hexdigest() == hashlib.sha256(BODY).hexdigest()
    assert run(["missing", flow]) == 0
    assert run(["install-missing", flow]) == 0, "nothing to do, nothing to agree to"
    assert set(generations.rollback(rack, 2).packs) == {"noderack", "film-grain"}
    assert generations.rollback(rack).number == 1, "and to before the first of them"


def test_a_dry_run_changes_nothing(
    shop: Any, rack: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.sell("film-grain", types=["FilmGrain"])
    flow = workflow(tmp_path, ["FilmGrain"])
    before = files(rack)
    assert run(["install-missing", flow, "--dry-run", "--json"]) == 0
    plan = events(capsys)[0]["plan"]
    assert plan["packs"][0]["pack"] == "film-grain" and plan["solved"] and plan["download"] > 0
    assert files(rack) == before


def test_nobody_is_asked_behind_a_pipe(shop: Any, rack: Host, tmp_path: Path) -> None:
    shop.sell("film-grain", types=["FilmGrain"])
    assert run(["install-missing", workflow(tmp_path, ["FilmGrain"])]) == Exit.BAD_INPUT
    assert generations.current(rack).number == 1


BROKEN = {
    "raises": ("raise RuntimeError('no such device')", "no such device"),
    "exits": ("import os; os._exit(3)", "ended the process with code 3"),
    "crashes": ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    "hangs": ("import time; time.sleep(600)", "did not end within"),
    "eats memory": ("x = bytearray(1 << 40)", "MemoryError"),
    "writes outside": ("open('/tmp/noderack-was-here', 'w').write('x')", "may not write here"),
    "changes what is there": ("open(__file__, 'a').write('#')", "may not write here"),
    "runs pip": ("import subprocess; subprocess.run(['pip', 'install', 'x'])", "may not run pip"),
    "lacks the type": ("", "has no Wanted"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_pack_that_does_not_import_is_left_out(
    name: str,
    shop: Any,
    rack: Host,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rack.with_config(other={"verify": {"seconds": 4 if name == "hangs" else 60, "memory": 4}})
    extra, said = BROKEN[name]
    types = ["Other"] if name == "lacks the type" else ["Wanted"]
    shop.sell("bad", declared=["Wanted"], types=types, source=nodes_source(types, extra))
    shop.sell("good", types=["Fine"])
    flow = workflow(tmp_path, ["Wanted", "Fine"])
    assert run(["install-missing", flow, "--yes"]) == Exit.INSTALL_FAILED
    assert said in capsys.readouterr().err
    assert set(generations.current(rack).packs) == {"noderack", "good"}, (
        "the good one is in, the bad one is not"
    )
    assert not Path("/tmp/noderack-was-here").exists()
    assert not generations.unfinished(rack)


def test_a_pack_may_add_what_is_not_there_yet(shop: Any, rack: Host, tmp_path: Path) -> None:
    extra = (
        "import os, sys\nbase = os.path.dirname(__file__)\n"
        "os.makedirs(os.path.join(base, 'styles', 'own'), exist_ok=True)\n"
        "file = os.path.join(base, 'styles', 'config.ini')\n"
        "for mode in 'wa':\n    with open(file, mode) as out: out.write('x')\n"
        f"os.makedirs({str(rack.root / 'models' / 'LLM')!r}, exist_ok=True)\n"
    )
    shop.sell("adds", types=["Wanted"], source=nodes_source(["Wanted"], extra))
    assert run(["install-missing", workflow(tmp_path, ["Wanted"]), "--yes"]) == 0
    assert (rack.root / "models" / "LLM").is_dir()


def test_all_or_nothing_goes_back(
    shop: Any, rack: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.sell("good", types=["Fine"])
    shop.sell("bad", types=["Wanted"], source="raise RuntimeError('x')", declared=["Wanted"])
    flow = workflow(tmp_path, ["Fine", "Wanted"])
    assert run(["install-missing", flow, "--yes", "--all-or-nothing"]) == Exit.INSTALL_FAILED
    assert generations.current(rack).number == 1
    said = capsys.readouterr()
    assert "left out good, bad: " in said.out and "more, above" not in said.err
    assert "All or nothing was asked for, so none of the 2 packs went in." in said.err


def test_a_conflict_is_told_as_a_chain(
    shop: Any, rack: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.sell("old-style", types=["Old"], requires=["torch<2"])
    assert run(["install-missing", workflow(tmp_path, ["Old"]), "--yes"]) == Exit.UNRESOLVABLE
    err = capsys.readouterr().err
    assert "Old (node 1 of flow.json) → old-style 1.0 → needs torch<2; this host has torch 2.13.0" in err
    assert "--without old-style" in err and generations.current(rack).number == 1


def test_two_packs_that_disagree_are_both_named(
    shop: Any, rack: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.sell("lib", "1.0", library=True)
    shop.sell("lib", "2.0", library=True)
    shop.sell("one", types=["One"], requires=["lib<2"])
    shop.sell("two", types=["Two"], requires=["lib>=2"])
    assert run(["install-missing", workflow(tmp_path, ["One", "Two"]), "--yes"]) == Exit.UNRESOLVABLE
    err = capsys.readouterr().err
    assert "One (node 1 of flow.json) → one 1.0" in err and "Two (node 2 of flow.json) → two 1.0" in err
    assert "lib" in err and "--without one" in err and "--without two" in err


def test_an_older_version_that_fits_is_found_and_its_command_works(
    shop: Any, rack: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for version, needs in (("1.0", "lib"), ("2.0", "lib<2"), ("3.0", "lib<2"), ("4.0", "deeper")):
        shop.sell("one", version, types=["One"], requires=[needs])
    for version in ("1.0", "2.0"):
        shop.sell("lib", version, library=True)
    shop.sell("deeper", "1.0", library=True, requires=["lib==1.0"])
    shop.sell("two", types=["Two"], requires=["lib>=2"])
    flow = workflow(tmp_path, ["One", "Two"])
    assert run(["install-missing", flow, "--yes"]) == Exit.UNRESOLVABLE
    err = capsys.readouterr().err
    command = next(line.strip() for line in err.splitlines() if "--choose" in line)
    assert "one 1.0 instead of 4.0" in err and command.endswith("--choose One=one@1.0")
    assert run(shlex.split(command)[1:]) == 0
    assert generations.current(rack).packs["one"].version == "1.0"


def test_a_pack_that_is_here_and_stands_against_it_is_named(
    shop: Any, rack: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for version in ("1.0", "2.0"):
        shop.sell("lib", version, library=True)
    shop.sell("here", types=["Here"], requires=["lib<2"])
    shop.sell("two", types=["Two"], requires=["lib>=2"])
    assert run(["install", "here", "--yes"]) == 0
    shop.sell("here", "1.1", types=["Here"], requires=["lib"])
    assert run(["install-missing", workflow(tmp_path, ["Two"]), "--yes"]) == Exit.UNRESOLVABLE
    err = capsys.readouterr().err
    assert "nodes uninstall here --yes && nodes install-missing" in err
    assert "nodes update here --yes && nodes install-missing" in err


def test_a_newer_host_is_offered_where_one_would_do(
    shop: Any, rack: Host, shelf: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = wheel(tmp_path / "index", "torch", "2.14.0", library=True)
    shelf.kind = "text/html"
    shelf.files["/simple/torch/"] = f'<a href="/{newer.name}">{newer.name}</a>'.encode()
    shelf.files[f"/{newer.name}"] = newer.read_bytes()
    rack.with_config(python_index=f"{shelf.url}/simple")
    shop.sell("modern", types=["Modern"], requires=["torch>=2.14"])
    flow = workflow(tmp_path, ["Modern"])
    assert run(["install-missing", flow, "--yes"]) == Exit.UNRESOLVABLE
    err = capsys.readouterr().err
    assert "modern 1.0 → needs torch>=2.14; this host has torch 2.13.0" in err
    made = f"nodes init FOLDER --new --torch auto --registry {shop.url} --python-index {shelf.url}/simple"
    command = f"{made} && nodes install-missing {flow} --yes --host FOLDER"
    assert f"a newer host, made beside this one, with newer torch and core:\n      {command}" in err
    shop.sell("modern", "1.1", types=["Modern"], requires=["torch>=3"])
    assert run(["install-missing", flow, "--yes"]) == Exit.UNRESOLVABLE
    assert "newer host" not in capsys.readouterr().err


def test_of_two_opencvs_one_is_left_out(
    shop: Any, rack: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.sell("opencv-python", library=True)
    shop.sell("opencv-python-headless", library=True)
    shop.sell("one", types=["One"], requires=["opencv-python"])
    shop.sell("two", types=["Two"], requires=["opencv-python-headless"])
    assert run(["install-missing", workflow(tmp_path, ["One", "Two"]), "--yes"]) == 0
    assert "opencv-python-headless is left out" in capsys.readouterr().out
    names = {p.name for p in (generations.current(rack).path).rglob("opencv*.dist-info")}
    assert names == {"opencv_python-1.0.dist-info"}


def test_a_later_pack_does_not_break_an_earlier_one(shop: Any, rack: Host, tmp_path: Path) -> None:
    shop.sell("lib", "1.0", library=True)
    shop.sell("one", types=["One"], requires=["lib<2"])
    assert run(["install-missing", workflow(tmp_path, ["One"]), "--yes"]) == 0
    shop.sell("lib", "2.0", library=True)
    shop.sell("two", types=["Two"], requires=["lib>=2"])
    assert run(["install-missing", workflow(tmp_path, ["Two"], name="b.json"), "--yes"]) == Exit.UNRESOLVABLE
    assert "two" not in generations.current(rack).packs


BAD_INPUT = {
    "a file that is not there": (None, Exit.BAD_INPUT, "cannot be opened"),
    "not JSON": ("{nonsense", Exit.BAD_INPUT, ""),
    "a list of numbers": ("[1, 2]", Exit.BAD_INPUT, ""),
    "another tool's settings": ('{"invokeai_version": "5", "nodes": {"a": 1}}', Exit.BAD_INPUT, ""),
    "an unknown node type": (
        '{"1": {"class_type": "NoSuchNode", "inputs": {}}}',
        Exit.NOT_FOUND,
        "NoSuchNode",
    ),
    "an unknown model": (
        '{"1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "none.safetensors"}}}',
        Exit.NOT_FOUND,
        "none.safetensors",
    ),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_gets_one_sentence(
    name: str, shop: Any, rack: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, code, said = BAD_INPUT[name]
    file = tmp_path / "flow.json"
    if text is not None:
        file.write_text(text)
    assert run(["install-missing", str(file), "--yes"]) == code
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err and err.startswith("nodes: ")
    assert generations.current(rack).number == 1


def test_a_type_in_a_sub_graph_is_found_too(shop: Any, rack: Host, tmp_path: Path) -> None:
    sub = {"id": "aaaa-bbbb", "name": "S", "nodes": [{"id": 1, "type": "Deep", "mode": 0}], "links": []}
    flow = {
        "version": 0.4,
        "nodes": [{"id": 9, "type": "aaaa-bbbb", "mode": 0}],
        "links": [],
        "definitions": {"subgraphs": [sub]},
    }
    file = tmp_path / "flow.json"
    file.write_text(json.dumps(flow))
    shop.sell("deep", types=["Deep"])
    assert run(["install-missing", str(file), "--yes"]) == 0
    assert "deep" in generations.current(rack).packs


def test_the_registry_is_down(rack: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flow = workflow(tmp_path, ["X"])
    assert run(["install-missing", flow, "--yes", "--registry", "http://127.0.0.1:9"]) == Exit.REGISTRY
    assert "no answer from the registry" in capsys.readouterr().err


def test_a_model_that_is_not_what_it_says_is_left_out(
    shop: Any, rack: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.sell_model("shapes.safetensors", BODY)
    for blob in (shop.folder / "data").rglob(hashlib.sha256(BODY).hexdigest() + "*"):
        blob.chmod(0o644)
        blob.write_bytes(BODY[:-1] + bytes([BODY[-1] ^ 1]))
    flow = workflow(tmp_path, [], {"shapes.safetensors": ""})
    assert run(["install-missing", flow, "--yes"]) == Exit.INSTALL_FAILED
    assert "its content is not shapes.safetensors" in capsys.readouterr().err
    assert not list((rack.models / "checkpoints").iterdir())


def test_a_workflow_at_an_address(
    rack: Host, shelf: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shelf.files["/flow.json"] = Path(workflow(tmp_path, ["KSampler", "Rare"])).read_bytes()
    assert run(["missing", f"{shelf.url}/flow.json", "--json"]) == Exit.NOT_FOUND
    assert [t["type"] for t in events(capsys)[0]["types"]] == ["Rare"]
    assert run(["missing", f"{shelf.url}/none.json"]) == Exit.NOT_FOUND
    assert "404" in capsys.readouterr().err


def test_an_address_that_leads_to_no_workflow_is_told_with_the_address(
    shelf: Any, rack: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    shelf.files["/page.json"] = b'{"status": "ok"}'
    assert run(["missing", f"{shelf.url}/gone.json"]) == Exit.NOT_FOUND
    assert f"The workflow at {shelf.url}/gone.json cannot be had: HTTP 404" in capsys.readouterr().err
    assert run(["missing", f"{shelf.url}/page.json"]) == Exit.BAD_INPUT
    assert f"{shelf.url}/page.json: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--choose", "Grainy=film"], Exit.BAD_INPUT, ("Grainy, which is not missing", "mean Grain?")),
        (["--choose", "Grain=nonesuch"], Exit.NOT_FOUND, ("not have", "These have it: other, film.")),
        ([], Exit.UNRESOLVABLE, ("only you can choose for Grain", "--choose Grain=")),
    ],
)
def test_a_choice_that_leads_nowhere_is_told(
    words: list[str],
    code: Exit,
    told: tuple[str, ...],
    shop: Any,
    rack: Host,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seed(shop, "other", "Grain")
    shop.sell("film", types=["Grain"])
    flow = workflow(tmp_path, ["Grain"])
    assert run(["install-missing", flow, "--yes", *words]) == code
    said = "".join(capsys.readouterr())
    assert all(part in said for part in told), said


def test_at_a_terminal_the_user_is_asked(
    shop: Any, rack: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(shop, "other", "Grain")
    shop.sell("film", types=["Grain"])
    flow = workflow(tmp_path, ["Grain"])
    words = [sys.executable, "-m", "noderack_cli", "install-missing", flow, "--host", str(rack.root)]
    for answers, packs in (("0\n", ["noderack"]), ("2\ny\n", ["film", "noderack"])):
        ran = at_terminal(words, answers)
        assert "node type Grain: several have it, and none is clearly meant." in ran
        assert sorted(generations.current(rack).packs) == packs, ran


def test_a_misspelt_pack_has_near_names(shop: Any, rack: Host, capsys: pytest.CaptureFixture[str]) -> None:
    shop.sell("film-grain", types=["Grain"])
    for command in (["install", "film-grian"], ["show", "film-grian"]):
        assert run(command) == Exit.NOT_FOUND
        err = capsys.readouterr().err
        assert f"There is no pack film-grian at {shop.url}" in err and "Near names: film-grain." in err


def test_missing_says_what_would_bring_it(
    shop: Any, rack: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.sell("film", types=["Grain"])
    flow = workflow(tmp_path, ["Grain"], name="my flow.json")
    before = files(rack)
    assert run(["missing", flow]) == Exit.NOT_FOUND
    out = capsys.readouterr().out
    assert "film 1.0" in out and "because: declared by the pack" in out
    assert f'nodes install-missing "{flow}"' in out and files(rack) == before
    assert run(["missing", flow, "--json"]) == Exit.NOT_FOUND
    assert events(capsys)[0]["plan"]["packs"][0]["pack"] == "film"
    assert run(["missing", flow, "--offline"]) == Exit.NOT_FOUND
    assert "film" not in capsys.readouterr().out
    assert run(["missing", flow, "--registry", "http://127.0.0.1:1"]) == Exit.NOT_FOUND
    said = capsys.readouterr()
    assert "Grain" in said.out and "What would bring it is not known now: " in said.err


def test_what_is_left_out_is_told_and_a_slip_is_an_error(
    shop: Any, rack: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.sell("film", types=["Grain"])
    flow = workflow(tmp_path, ["Grain"])
    assert run(["install-missing", flow, "--without", "Film", "--yes"]) == 0
    out = capsys.readouterr().out
    assert "film is left out, as you said: Grain will still be missing" in out
    assert "Nothing is missing" not in out
    assert run(["install-missing", flow, "--without", "fim", "--yes"]) == Exit.BAD_INPUT
    assert "Did you mean film?" in capsys.readouterr().err


def test_packs_come_in_the_versions_that_a_workflow_was_saved_with(
    shop: Any, rack: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for version in ("1.0", "2.0"):
        shop.sell("film", version, types=["Grain"])
        shop.sell("tone", version, types=["Tone"] if version == "2.0" else ["Other"])
    nodes = [
        {"id": n, "type": type_, "properties": {"cnr_id": pack, "ver": "1.0"}, "widgets_values": [1]}
        for n, (type_, pack) in enumerate([("Grain", "film"), ("Tone", "tone")], 1)
    ]
    (tmp_path / "ui.json").write_text(json.dumps({"nodes": nodes, "links": [], "version": 0.4}))
    words = ["install-missing", str(tmp_path / "ui.json"), "--dry-run", "--json"]
    for more, versions in (([], ["2.0", "2.0"]), (["--saved-versions"], ["1.0", "2.0"])):
        assert run([*words, *more]) == 0
        assert [pack["version"] for pack in events(capsys)[0]["plan"]["packs"]] == versions


def test_several_workflows_make_one_plan(
    shop: Any, rack: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.sell("one", types=["One", "Two"])
    flows = [workflow(tmp_path, ["One"], name="a.json"), workflow(tmp_path, ["Two"], name="b.json")]
    assert run(["install-missing", *flows, "--dry-run", "--json"]) == 0
    assert events(capsys)[0]["plan"]["packs"][0]["node_types"] == ["One", "Two"]


def test_a_plan_is_solved_again_when_the_host_changed_meanwhile(shop: Any, rack: Host) -> None:
    from noderack_cli.carry import carry_out
    from noderack_cli.installed import installed
    from noderack_cli.plan import PackChoice, Plan
    from noderack_cli.planning import solved
    from noderack_cli.progress import Progress

    for version in ("1.0", "2.0"):
        shop.sell("lib", version, library=True)
    shop.sell("film", types=["FilmGrain"], requires=["lib"])
    shop.sell("old", types=["Old"], requires=["lib<2"])
    with shop.client as client:
        plan = solved(rack, client, Plan((PackChoice("film", "1.0", (), "test"),), generation=1))
        assert [d.new for d in plan.distributions if d.name == "lib"] == ["2.0"]
        assert run(["install", "old", "--yes"]) == 0
        assert carry_out(rack, client, plan, Progress(), wait=True) == 0
    now = generations.current(rack)
    assert installed(now.path)["lib"].version == "1.0" and {"film", "old"} <= set(now.packs)
