"""The stage: what a plan brings, unpacked once; steps take their part, and nothing is ever half replaced."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from noderack_cli import generations, stage
from noderack_cli.errors import InstallError
from noderack_cli.exits import Exit
from noderack_cli.installed import installed
from noderack_cli.main import run
from noderack_cli.plan import PackChoice
from noderack_cli.steps import Journal
from noderack_cli.warm import FORKS, Verifier
from noderack_cli.wheels import Wheel, fitting
from noderack_host.folder import Host
from pack_wheels import nodes_source, wheel


def row(file: Path) -> stage.Row:
    body = file.read_bytes()
    name, version = file.name.split("-")[:2]
    found = Wheel(file.name, str(file), hashlib.sha256(body).hexdigest(), len(body))
    return name.replace("_", "-"), version, (found,)


def choice(name: str) -> PackChoice:
    return PackChoice(name, "1.0", (), "test")


def test_each_pack_gets_itself_and_what_it_needs(host: Host, tmp_path: Path) -> None:
    rows = [
        row(wheel(tmp_path, "lib", library=True)),
        row(wheel(tmp_path, "extra-lib", library=True)),
        row(wheel(tmp_path, "one", types=["A"], requires=["lib"])),
        row(wheel(tmp_path, "two", types=["B"], requires=["one"])),
    ]
    now = generations.current(host)
    with stage.staged(host, None, now, rows, [choice("one"), choice("two")]) as made:
        assert made.groups["one"] == {"one", "lib", "extra-lib"}, "what nobody asks for goes with each"
        assert made.groups["two"] == {"two", "one", "lib", "extra-lib"}
        with generations.draft(host, now.path, 1) as draft:
            with Journal(draft.path, 2) as journal:
                assert made.place(made.groups["one"], draft, journal, {}) == set()
            file = Path(installed(draft.path)["lib"].info.parent, "lib/__init__.py")
            assert file.stat().st_mode & 0o222 == 0 and file.stat().st_nlink > 1, "shared, so read-only"
    assert not list(host.generations.glob(f"{stage.NAME}*"))


def test_another_version_takes_the_place_whole(host: Host, tmp_path: Path) -> None:
    now = generations.current(host)
    old = row(wheel(tmp_path, "lib", files={"sub/gone.py": b"x = 1\n"}, library=True))
    new = row(wheel(tmp_path, "lib", "2.0", files={"come.py": b"x = 2\n"}, library=True))
    with generations.draft(host, now.path, 1) as draft:
        for number, (rows, replaced) in enumerate((([old], set()), ([old], set()), ([new], {"lib"}))):
            with stage.staged(host, None, now, rows, []) as made, Journal(draft.path, number) as journal:
                assert made.place(made.have, draft, journal, installed(draft.path)) == replaced
            subprocess.run([draft.python, "-c", "import lib"], check=True)
        folder = installed(draft.path)["lib"].info.parent / "lib"
        assert not (folder / "sub").exists() and (folder / "come.py").exists()
        assert [d.name for d in folder.parent.glob("lib-*")] == ["lib-2.0.dist-info"]
        with Journal(draft.path, 9) as journal:
            have = installed(draft.path)
            assert stage.take_out(["lib", "nobody"], draft, journal, have) == {"lib"} and not folder.exists()


def test_a_record_never_leads_out(host: Host, tmp_path: Path) -> None:
    packages = tmp_path / "lib/python3.11/site-packages"
    assert stage.inside(packages, "../../../bin/x", tmp_path) == str(tmp_path / "bin/x")
    for bad in ("../../../../x", "a/../../../../../x"):
        with pytest.raises(InstallError):
            stage.inside(packages, bad, tmp_path)


def test_the_wheel_of_this_platform_is_taken() -> None:
    names = ["a-1-cp27-cp27m-win32.whl", "a-1-py3-none-any.whl", "nonsense.whl"]
    found = fitting([Wheel(name, f"https://example.org/{name}", "0" * 64, 1) for name in names])
    assert found is not None and found.name == "a-1-py3-none-any.whl" and fitting([]) is None


def test_scripts_start_the_python_of_their_generation(rack: Host, tmp_path: Path) -> None:
    file = wheel(tmp_path, "film", types=["FilmGrain"], scripts={"grain": "film:__name__.strip"})
    assert run(["install", str(file), "--yes"]) == 0
    now = generations.current(rack)
    assert (now.path / "bin/grain").read_text().startswith(f"#!{now.python}")


def test_a_pack_that_would_break_another_is_left_out(
    shop: Any, rack: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.sell("lib", source="def old():\n    return 1\n", library=True)
    shop.sell("user", types=["User"], requires=["lib"], source=nodes_source(["User"], "from lib import old"))
    assert run(["install", "user", "--yes"]) == 0
    shop.sell("lib", "2.0", source="def new():\n    return 2\n", library=True)
    shop.sell("newer", types=["Newer"], requires=["lib>=2"])
    assert run(["install", "newer", "--yes"]) == 6
    assert "would break user" in capsys.readouterr().err
    assert set(generations.current(rack).packs) == {"noderack", "user"}


@pytest.mark.skipif(not FORKS, reason="only Linux verifies in forks")
def test_what_a_fork_cannot_show_is_checked_in_a_fresh_process(rack: Host) -> None:
    with Verifier(rack, generations.current(rack)) as warm:
        assert warm.fits({"film", "film-1.0.dist-info"})
        assert not warm.fits({"film", "json"}), "loaded already"
        assert not warm.fits({"film", "start.pth"}), "runs with every Python"


@pytest.mark.skipif(not FORKS, reason="only Linux verifies in forks")
def test_a_pack_that_ends_its_verifier_is_left_out(shop: Any, rack: Host) -> None:
    shop.sell("killer", types=["K"], source=nodes_source(["K"], "import os; os.kill(os.getppid(), 9)"))
    shop.sell("film", types=["FilmGrain"])
    done = subprocess.run(
        [sys.executable, "-m", "noderack_cli", "install", "killer", "film", "--yes"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == Exit.INSTALL_FAILED and "ended the process that checks packs" in done.stderr
    assert set(generations.current(rack).packs) == {"noderack", "film"}
