"""What a build remembers, and which files it calls gone."""

from pathlib import Path

from noderack_site.state import STATE, State, finish, put_aside, read_state

BEFORE = State(
    {"index.html": "aa"}, {"packs-1": ("b1", "c1 packs/x.html\nc2 packs/y.html\n"), "packs-2": ("b2", "")}
)


def test_what_was_remembered_is_read_back_and_counted(tmp_path: Path) -> None:
    (tmp_path / ".noderack-site-unfinished").touch()
    finish(tmp_path, BEFORE)
    assert read_state(tmp_path) == BEFORE and BEFORE.count() == 3
    assert (tmp_path / STATE).read_text() == BEFORE.text()


def test_after_a_killed_build_no_fingerprint_holds(tmp_path: Path) -> None:
    (tmp_path / STATE).write_text(BEFORE.text())
    put_aside(tmp_path)
    found = read_state(tmp_path)
    assert found.files == {"index.html": ""}
    assert found.blocks["packs-1"] == ("", " packs/x.html\n packs/y.html\n")
    assert found.gone(State()) == {"index.html", "packs/x.html", "packs/y.html"}


def test_a_file_is_gone_only_when_no_block_has_it() -> None:
    kept = State({"index.html": "aa"}, {"packs-1": ("b9", "c1 packs/x.html\n")})
    assert BEFORE.gone(kept) == {"packs/y.html"}
    moved = State({"packs/x.html": "aa"}, {"packs-3": ("b9", "c1 packs/y.html\n")})
    assert BEFORE.gone(moved) == {"index.html"}
    assert State({"packs/y.html": "cc"}, BEFORE.blocks).gone(State({}, BEFORE.blocks)) == set()
