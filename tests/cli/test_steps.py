"""Packs that are installed together: one clone, a step for each, and every step can be gone back to."""

import json
from pathlib import Path
from typing import Any

import pytest
from noderack_cli import generations, links, steps
from noderack_cli.doctor import look
from noderack_cli.installed import installed
from noderack_cli.main import run
from noderack_cli.steps import Journal
from noderack_host.folder import Host
from pack_wheels import nodes_source, wheel

BROKEN = nodes_source(["Bad"], "raise RuntimeError('no such luck')")


def tree(root: Path) -> dict[str, int | str]:
    """Every file of an environment but byte code: by its inode, or by its text where that names the root."""
    found: dict[str, int | str] = {}
    for path in sorted(p for p in root.rglob("*") if "__pycache__" not in p.parts):
        name = str(path.relative_to(root))
        if path.is_file() and not path.is_symlink() and name != generations.RECORD:
            text = path.read_bytes()
            bears = bytes(root) in text
            found[name] = text.replace(bytes(root), b"ROOT").decode() if bears else path.stat().st_ino
        elif path.is_dir() or path.is_symlink():
            found[name] = "folder" if path.is_dir() else str(path.readlink())
    return {name: what for name, what in found.items() if not name.startswith(".")}


@pytest.fixture
def versions(shop: Any, rack: Host) -> Host:
    """A host with pack one 1.0; the registry has one 2.0, and two and three that bring lib."""
    shop.sell("one", types=["One"], files={"old.py": b"x = 1\n", "sub/gone.py": b"y = 1\n"})
    assert run(["install", "one", "--yes"]) == 0
    shop.sell("one", "2.0", types=["One"], files={"new.py": b"x = 2\n"})
    shop.sell("lib", library=True, files={"deep/a.py": b"a = 1\n"})
    shop.sell("two", types=["Two"], requires=["lib"])
    shop.sell("three", types=["Three"], requires=["lib"])
    return rack


def test_each_pack_is_a_generation_and_only_the_last_has_files(versions: Host) -> None:
    assert run(["install", "one==2.0", "two", "three", "--yes"]) == 0
    assert [(g.number, g.parent, bool(g.held)) for g in generations.every(versions)] == [
        (1, None, False),
        (2, 1, False),
        (3, 2, True),
        (4, 3, True),
        (5, 2, False),
    ]
    packs = [set(g.packs) - {"noderack"} for g in generations.every(versions)]
    assert packs == [set(), {"one"}, {"one"}, {"one", "two"}, {"one", "two", "three"}]
    assert sorted(p.name for p in versions.generations.iterdir()) == ["1", "2", "5"]
    assert generations.numbered(versions, 3).packs["one"].version == "2.0"


def test_going_back_to_a_step_makes_exactly_what_it_was(
    versions: Host, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    two = str(wheel(tmp_path, "two", types=["Two"], requires=["lib"], scripts={"due": "two:__name__.strip"}))
    before = tree(generations.current(versions).path)
    assert run(["install", "one==2.0", "--yes"]) == 0  # the same steps, a generation each
    alone = {3: tree(generations.current(versions).path)}
    assert run(["install", two, "--yes"]) == 0
    alone[4] = tree(generations.current(versions).path)
    generations.rollback(versions, 2)
    generations.prune(versions, 0)
    assert run(["install", "one==2.0", two, "three", "--yes"]) == 0
    for number in (4, 3):
        assert run(["rollback", str(number)]) == 0, capsys.readouterr().err
        now = generations.current(versions)
        assert (now.number, now.held) == (number, None) and look(versions) == []
        assert set(tree(now.path)) == set(alone[number])
        script = now.path / links.SCRIPTS / "due"
        assert script.exists() == (number == 4)
        assert number == 3 or script.read_text().startswith(f"#!{now.python}"), "it starts its own Python"
    assert run(["rollback", "2"]) == 0 and tree(generations.current(versions).path) == before
    assert run(["rollback", "5"]) == 0 and look(versions) == []


def test_a_pack_that_fails_is_taken_out_again_to_the_last_file(shop: Any, versions: Host) -> None:
    shop.sell("lib", "2.0", library=True, files={"other.py": b"b = 2\n"})
    shop.sell("bad", source=BROKEN, types=["Bad"], requires=["lib>=2"])
    assert run(["install", "one==2.0", "--yes"]) == 0
    wanted = tree(generations.current(versions).path)
    assert run(["install", "bad", "--yes"]) == 6
    assert generations.current(versions).number == 3 and not generations.unfinished(versions)
    generations.rollback(versions, 2)
    generations.prune(versions, 0)
    assert run(["install", "bad", "one==2.0", "bad", "--yes"]) == 6
    now = generations.current(versions)
    assert now.number == 3, "the number of a step that failed is the next one's"
    assert set(tree(now.path)) == set(wanted)
    assert look(versions) == [] and "bad" not in now.packs


def test_what_two_packs_share_stays_for_the_second_when_the_first_fails(
    shop: Any, versions: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.sell("bad", source=BROKEN, types=["Bad"], requires=["lib"])
    assert run(["install", "bad", "two", "--yes"]) == 6
    assert "It was left out; 1 other pack went in." in capsys.readouterr().err
    now = generations.current(versions)
    assert {"two", "lib"} <= set(installed(now.path)) and look(versions) == []
    assert (installed(now.path)["lib"].info.parent / "lib/deep/a.py").is_file()


def test_rollback_without_a_number_takes_back_the_whole_command(versions: Host) -> None:
    assert run(["install", "two", "three", "--yes"]) == 0
    assert run(["rollback"]) == 0
    assert generations.current(versions).number == 2


def test_many_steps_do_not_drive_out_what_rollback_goes_to(versions: Host) -> None:
    versions.with_config(other={"policy": {"keep": 1}})
    assert run(["install", "one==2.0", "two", "three", "--yes"]) == 0
    assert [g.number for g in generations.every(versions)] == [1, 2, 4, 5]
    assert generations.rollback(versions).number == 2


def test_steps_are_listed_and_compared_without_being_made(
    versions: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["install", "two", "three", "--yes"]) == 0
    capsys.readouterr()
    assert run(["generations"]) == 0 and "install two 1.0 (a step of 4)" in capsys.readouterr().out
    assert run(["generations", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["generations"]
    assert [(g["number"], g["step_of"]) for g in listed] == [(1, None), (2, None), (3, 4), (4, None)]
    assert run(["diff", "3"]) == 0
    assert capsys.readouterr().out.split() == ["three", "-", "→", "1.0"]
    assert not (versions.generations / "3").exists()


@pytest.mark.parametrize(("keep", "left"), [(0, [5]), (1, [4, 5]), (2, [3, 4, 5])])
def test_prune_removes_steps_too(versions: Host, keep: int, left: list[int]) -> None:
    assert run(["install", "one==2.0", "two", "three", "--yes"]) == 0
    generations.prune(versions, keep)
    assert [g.number for g in generations.every(versions)] == left
    assert [p.name for p in versions.generations.iterdir()] == ["5"]
    first = left[0]
    assert generations.rollback(versions, first).number == first and look(versions) == []
    assert (versions.generations / "5" / steps.FOLDER).exists() == (keep > 0)


def test_a_step_goes_with_the_generation_that_holds_it(versions: Host) -> None:
    assert run(["install", "one==2.0", "two", "three", "--yes"]) == 0
    assert run(["rollback", "4"]) == 0
    assert generations.prune(versions, 0) == [1, 2, 3, 5]
    assert [g.number for g in generations.every(versions)] == [4] and look(versions) == []


def test_a_step_that_was_cut_off_while_it_was_made_is_made_anew(versions: Host) -> None:
    assert run(["install", "two", "three", "--yes"]) == 0
    half = versions.generations / "3"
    half.mkdir()
    (half / "rubbish").write_text("x")
    assert run(["rollback", "3"]) == 0
    assert not (generations.current(versions).path / "rubbish").exists() and look(versions) == []


def test_what_cannot_be_taken_back_makes_no_generation(tmp_path: Path) -> None:
    draft, aside = tmp_path / "draft", tmp_path / "stage"
    for folder in (draft, aside):
        folder.mkdir()
    (aside / "file").write_text("x")
    journal = Journal(draft, 2)
    with pytest.raises(OSError), journal:
        journal.bring(f"{aside}/file", f"{draft}/file")
        (draft / "file").unlink()
        raise RuntimeError
    assert not journal.closed
