"""A repository's tags become versions; nothing of it runs, and what was built stays."""

from __future__ import annotations

import os
import subprocess

import pytest
from noderack_registry.server import gitindex
from noderack_registry.server.refusals import Refusal

CODE = "class {0}:\n    pass\nNODE_CLASS_MAPPINGS = {{'{0}': {0}}}\n"


def git(folder, *command):
    who = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b",
    }
    subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True, env={**os.environ, **who})


@pytest.fixture
def repository(tmp_path):
    """A pack with tags v0.1.0, v0.2.0 and one that is no version; hooks and filters that must not run."""
    folder = tmp_path / "ComfyUI-Grain"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / ".gitattributes").write_text("*.py filter=lfs\n")
    for tag, name in (("v0.1.0", "Grain"), ("v0.2.0", "GrainTwo"), ("nightly", "GrainThree")):
        (folder / "__init__.py").write_text(CODE.format(name))
        git(folder, "-c", "filter.lfs.clean=cat", "add", ".")
        git(folder, "commit", "-qm", tag)
        git(folder, "tag", tag)
    return folder


def test_tags_become_versions_once(bench, repository):
    url = f"file://{repository}"
    done = gitindex.index(bench.registry, url)
    assert done.published == ("0.1.0", "0.2.0")
    assert done.refused[0][0] == "nightly"
    client = bench.client()
    assert client.pack("comfyui-grain").versions == ("0.2.0", "0.1.0")
    assert client.node_type("Grain")[0].version == "0.1.0"
    assert client.node_type("GrainTwo")[0].version == "0.2.0"
    assert len(client.version("comfyui-grain", "0.2.0").commit) == 40
    again = gitindex.index(bench.registry, url)
    assert (again.published, again.known) == ((), 3)
    assert not any(bench.registry.incoming.iterdir())


def test_the_same_tag_gives_the_same_bytes(bench, make_bench, repository):
    other = make_bench()
    for one in (bench, other):
        gitindex.index(one.registry, f"file://{repository}", "v0.1*")
    hashes = [one.client().version("comfyui-grain", "0.1.0").files[0].sha256 for one in (bench, other)]
    assert hashes[0] == hashes[1]


def test_a_repository_that_went_away_keeps_what_was_built(bench, repository):
    gitindex.index(bench.registry, f"file://{repository}", "v0.1*")
    repository.rename(repository.with_name("gone"))
    with pytest.raises(Refusal, match="cannot be read"):
        gitindex.index(bench.registry, f"file://{repository}")
    assert bench.client().pack("comfyui-grain").latest == "0.1.0"
    assert not any(bench.registry.incoming.iterdir())


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% /tmp/x",
        "--upload-pack=touch x",
        "/etc",
        "ftp://x/y",
        "file://a\nb",
        "",
        "https::x://y",
    ],
)
def test_other_addresses_are_refused(bench, url):
    with pytest.raises(Refusal, match="is not an address"):
        gitindex.index(bench.registry, url)


def test_only_the_configured_schemes(bench, repository):
    with pytest.raises(Refusal, match="is not an address"):
        gitindex.index(bench.registry, f"file://{repository}", schemes=("https",))


def test_a_submodule_and_a_link_are_not_followed(bench, repository, tmp_path):
    (repository / "link.txt").symlink_to("/etc/passwd")
    git(repository, "-c", "filter.lfs.clean=cat", "add", ".")
    git(repository, "commit", "-qm", "link")
    git(repository, "tag", "v0.3.0")
    done = gitindex.index(bench.registry, f"file://{repository}", "v0.3*")
    assert "is a link" in done.refused[0][1]
