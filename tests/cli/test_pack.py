"""`nodes pack …` as an author meets it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from noderack_cli import pack_test
from noderack_cli.pack import build
from noderack_cli.pack_check import check_command
from noderack_cli.pack_dev import changes, put_in, stamps, take_out
from noderack_cli.pack_init import STYLES, init

CASES = Path(__file__).parents[1] / "cases" / "packs"


def invoke(command: object, *args: object) -> Result:
    return CliRunner().invoke(command, [str(a) for a in args], catch_exceptions=False)  # type: ignore[arg-type]


def test_build_tells_what_it_made(tmp_path: Path) -> None:
    result = invoke(build, CASES / "Comfy-Odd Pack", "-o", tmp_path)
    assert "2 node types: Odd Invert, OddBlur" in result.output and "requires einops>=0.7" in result.output
    told = json.loads(invoke(build, CASES / "single_node.py", "-o", tmp_path, "--json").output)
    assert told["node_types"] == ["SingleNode"] and Path(told["wheel"]).is_file()


@pytest.mark.parametrize("style", STYLES)
def test_init_makes_a_pack_that_passes_check_and_builds(style: str, tmp_path: Path) -> None:
    folder = tmp_path / "My First-Pack"
    assert invoke(init, folder, "--style", style, "--author", "Ann").exit_code == 0
    checked = invoke(check_command, folder, "--strict", "--json")
    assert checked.exit_code == 0, checked.output
    assert json.loads(checked.output)["node_types"] == ["MyFirstPackBrighten"]
    built = json.loads(invoke(build, folder, "-o", tmp_path / "out", "--json").output)
    assert built["node_types"] == ["MyFirstPackBrighten"] and built["name"] == "my-first-pack"
    assert {"README.md", ".github"} <= {p.name for p in folder.iterdir()}


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "README.md").write_text("mine")
    with pytest.raises(Exception, match="already there"):
        invoke(init, tmp_path / "pack")
    assert (tmp_path / "pack" / "README.md").read_text() == "mine"


def test_test_runs_nodes_on_generated_inputs(tmp_path: Path) -> None:
    invoke(init, tmp_path / "bright", "--style", "v1")
    result = invoke(pack_test.test, tmp_path / "bright", "--json")
    node = json.loads(result.output)["nodes"]["BrightBrighten"]
    assert node["state"] == "ran" and node["result"][0]["tensor"] == [2, 64, 48, 3]


def test_a_node_that_fails_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    code = (
        (CASES / "single_node.py").read_text().replace("return (value + 1,)", "raise ValueError('no luck')")
    )
    (tmp_path / "bad" / "__init__.py").write_text(code)
    result = invoke(pack_test.test, tmp_path / "bad")
    assert result.exit_code == 7 and "no luck" in result.output


def test_check_exits_with_3_on_errors(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "__init__.py").write_text("def broken(:")
    result = invoke(check_command, tmp_path / "bad")
    assert result.exit_code == 3 and "cannot be parsed" in result.output


def test_dev_links_and_unlinks(tmp_path: Path) -> None:
    packages, links = tmp_path / "env" / "site-packages", tmp_path / "user" / "linked"
    packages.mkdir(parents=True)
    info = put_in(packages, CASES / "Comfy-Odd Pack", links)
    assert "custom_nodes.Comfy_Odd_Pack" in (info / "entry_points.txt").read_text()
    assert (links / "Comfy_Odd_Pack" / "custom_nodes" / "Comfy_Odd_Pack" / "nodes" / "blur.py").is_file()
    assert list(take_out(packages, CASES / "Comfy-Odd Pack", links))
    assert not any(packages.iterdir()) and not any(links.iterdir())


def test_a_linked_pack_stands_in_for_the_installed_one(tmp_path: Path) -> None:
    packages, working = tmp_path / "env" / "site-packages", tmp_path / "copy" / "grain"
    installed = packages / "custom_nodes" / "grain"
    for folder, word in ((installed, "installed"), (working, "working copy")):
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(f"NODE_CLASS_MAPPINGS = {{{word!r}: object}}")
    info = packages / "grain-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: grain\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[noderack.packs]\ngrain = custom_nodes.grain\n")
    put_in(packages, working, tmp_path / "linked")
    code = f"import site; site.addsitedir({str(packages)!r})\n" + (
        "from noderack_host.packs import load_packs\n"
        "print(*[t for p in load_packs().packs if 'grain' in p.module for t in p.node_types])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "working copy"


def test_dev_sees_each_change(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        (tmp_path / f"{len(naps)}.py").write_text("new")

    seen = changes(tmp_path, sleep)
    assert next(seen) == {"1.py"} and next(seen) == {"2.py"}
    assert sum(naps) < 1.0 and "a.py" in stamps(tmp_path)


def test_an_old_answer_never_passes_for_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "answer.json").write_text('{"loaded": true}')
    told = pack_test.run_job({"modules": [], "host": "/nowhere/at/all"}, Path(sys.executable), tmp_path)
    assert not told["loaded"] and "died" in told["error"]
