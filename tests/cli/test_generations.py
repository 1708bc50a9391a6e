"""Generations: clones that share bytes, an atomic switch, rollback, prune, what a kill leaves."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from noderack_cli import generations, links
from noderack_cli.errors import NotFound
from noderack_host.folder import Host


def grow(host: Host, why: str = "test") -> generations.Generation:
    now = generations.current(host)
    with generations.draft(host, now.path, now.number) as draft:
        return generations.commit(host, draft, why, now.packs)


def module_of(path: Path) -> Path:
    return next(path.glob("lib/python3*/site-packages/module.py"))


def test_a_clone_shares_files_and_has_its_own_paths(host: Host, bare_env: Path) -> None:
    first = generations.current(host)
    assert module_of(first.path).samefile(module_of(bare_env))
    said = subprocess.run([first.path / "bin" / "hello"], capture_output=True, text=True, check=True).stdout
    assert said.strip() == str(first.path)
    assert str(first.path) in module_of(first.path).with_name("here.pth").read_text()
    assert str(bare_env) in (bare_env / "bin" / "hello").read_text(), "the source keeps its own path"


def test_each_generation_runs_from_its_own_place(host: Host) -> None:
    second = grow(host)
    code = "import sys, module; print(sys.prefix, module.__file__)"
    said = subprocess.run([second.python, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == [str(second.path), str(module_of(second.path))]
    assert host.env.readlink() == Path("generations/2")


def test_rollback_goes_to_the_parent_and_back(host: Host) -> None:
    grow(host)
    assert generations.rollback(host).number == 1
    assert generations.rollback(host, 2).number == 2
    with pytest.raises(NotFound, match="no generation 7"):
        generations.rollback(host, 7)


def test_the_first_generation_has_none_before_it(host: Host) -> None:
    with pytest.raises(NotFound, match="is the first"):
        generations.rollback(host)


def test_a_draft_that_fails_leaves_nothing(host: Host) -> None:
    now = generations.current(host)
    with pytest.raises(OSError), generations.draft(host, now.path, 1) as draft:
        (draft.path / "half").write_text("x")
        raise OSError(28, "No space left on device")
    assert [p.name for p in host.generations.iterdir()] == ["1"]
    assert generations.current(host) == now


def test_an_unfinished_folder_is_no_generation_and_prune_removes_it(host: Host) -> None:
    (host.generations / "2").mkdir()
    (host.root / ".env.99").symlink_to("generations/2")
    assert [g.number for g in generations.every(host)] == [1]
    assert grow(host).number == 3
    generations.prune(host, keep=5)
    assert sorted(p.name for p in host.generations.iterdir()) == ["1", "3"]
    assert not list(host.root.glob(".env.*"))


@pytest.mark.parametrize(("keep", "left"), [(0, [4]), (1, [3, 4]), (9, [1, 2, 3, 4])])
def test_prune_keeps_the_newest_and_the_one_in_use(host: Host, keep: int, left: list[int]) -> None:
    for _ in range(3):
        grow(host)
    generations.prune(host, keep)
    assert [g.number for g in generations.every(host)] == left


def test_prune_never_removes_the_one_in_use(host: Host) -> None:
    grow(host)
    generations.rollback(host)
    assert generations.prune(host, keep=0) == [2]
    assert generations.current(host).number == 1


def test_the_record_reads_back(host: Host) -> None:
    first = generations.current(host)
    assert generations.read(first.path) == first
    assert json.loads(first.record())["packs"]["core"]["node_types"] == ["KSampler"]


def test_where_links_are_refused_it_copies_and_says_so(
    tmp_path: Path, bare_env: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "NO_LINK", {*links.NO_LINK, 17})
    monkeypatch.setattr(os, "link", _refuse)
    done = links.clone(bare_env, tmp_path / "copy")
    assert done.linked == 0 and done.copied > 0 and "cross-device" in done.refusal
    assert not module_of(tmp_path / "copy").samefile(module_of(bare_env))


def _refuse(*args: object) -> None:
    raise OSError(18, "Invalid cross-device link")


def test_a_long_shebang_goes_through_the_shell(tmp_path: Path, bare_env: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 60)
    links.clone(bare_env, deep)
    links.relocate(deep, bare_env)
    said = subprocess.run([deep / "bin" / "hello"], capture_output=True, text=True, check=True).stdout
    assert said.strip() == str(deep)
