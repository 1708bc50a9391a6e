"""Repositories that try to run something, to reach something, or to be too much."""

from __future__ import annotations

import os
import subprocess
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from noderack_registry.server import git_address, git_fetch, gitindex
from noderack_registry.server.refusals import Refusal

CODE = "class Grain:\n    pass\nNODE_CLASS_MAPPINGS = {'Grain': Grain}\n"
WHO = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def git(folder, *command, **more):
    done = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *command],
        cwd=folder,
        check=True,
        capture_output=True,
        env={**os.environ, **WHO, "GIT_CONFIG_GLOBAL": "/dev/null"},
        **more,
    )
    return done.stdout.decode().strip()


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "grain"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "__init__.py").write_text(CODE)
    commit(folder, "v1.0")
    return folder


def commit(folder, tag):
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", tag, "--allow-empty")
    git(folder, "tag", tag)


def index(bench, repository, **more):
    return gitindex.index(bench.registry, f"file://{repository}", **more)


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A file that none of this may make; and an operator's own settings, which would make it."""
    file = tmp_path / "canary"
    script = tmp_path / "sing"
    script.write_text(f"#!/bin/sh\ntouch {file}\ncat\n")
    script.chmod(0o755)
    template = tmp_path / "template" / "hooks"
    template.mkdir(parents=True)
    for hook in ("post-checkout", "reference-transaction", "post-index-change"):
        (template / hook).write_text(script.read_text())
        (template / hook).chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f'[init]\ntemplateDir = {template.parent}\n[filter "evil"]\nsmudge = {script}\nrequired = true\n'
        f'[filter "lfs"]\nsmudge = {script}\nprocess = {script}\n[core]\nfsmonitor = {script}\n'
        f'[credential]\nhelper = "!{script}"\n[url "ext::{script} "]\ninsteadOf = evil:\n'
    )
    monkeypatch.setenv("HOME", str(home))
    return file, script


def test_no_hook_filter_or_setting_runs(bench, repository, canary):
    file, script = canary
    (repository / ".gitattributes").write_text("*.py filter=evil\n*.bin filter=lfs\n")
    (repository / "model.bin").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    )
    (repository / ".lfsconfig").write_text("[lfs]\nurl = http://127.0.0.1:9/\n")
    for hook in (repository / ".git/hooks").iterdir():
        hook.unlink()
    for hook in ("post-checkout", "pre-receive", "post-update"):
        (repository / ".git/hooks" / hook).symlink_to(script)
    commit(repository, "v1.1")
    file.unlink(missing_ok=True)
    git(repository, "config", "uploadpack.packObjectsHook", str(script))
    assert index(bench, repository).published == ("1.0", "1.1")
    assert not file.exists()


@pytest.mark.parametrize(
    "told",
    [
        "url = ext::sh -c 'touch CANARY'",
        "url = ../other\n\tupdate = !touch CANARY",
        "url = -u./evil",
        "url = file:///etc",
    ],
)
@pytest.mark.parametrize("name", ["sub", "a/../../.git/hooks"])
def test_submodules_are_not_followed(bench, repository, canary, told, name):
    file, _ = canary
    (repository / ".gitmodules").write_text(
        f'[submodule "{name}"]\n\tpath = sub\n\t{told.replace("CANARY", str(file))}\n'
    )
    head = git(repository, "rev-parse", "HEAD")
    git(repository, "update-index", "--add", "--cacheinfo", f"160000,{head},sub")
    git(repository, "add", ".gitmodules")
    git(repository, "commit", "-qm", "sub")
    git(repository, "tag", "v1.1")
    try:
        assert index(bench, repository, pattern="v1.1").published == ("1.1",)
    except Refusal as refused:  # git itself sees through the boldest
        assert "cannot be cloned" in refused.message
    assert not file.exists()


def test_a_tree_that_holds_itself_many_times_is_refused_at_once(bench, repository):
    name = git(repository, "hash-object", "-w", "--stdin", input=b"x" * 1000)
    kind = "100644 blob"
    for _ in range(10):
        lines = "".join(f"{kind} {name}\tn{number}\n" for number in range(10))
        name = git(repository, "mktree", input=lines.encode())
        kind = "040000 tree"
    made = git(repository, "commit-tree", name, "-m", "bomb")
    git(repository, "tag", "v9.0", made)
    done = index(bench, repository)
    assert done.published == ("1.0",)
    assert "files or more" in done.refused[0][1]
    assert not any(bench.registry.incoming.iterdir())


def test_a_repository_that_is_too_large_is_cut_off(bench, repository, monkeypatch):
    (repository / "data.bin").write_bytes(os.urandom(3 << 20))
    commit(repository, "v1.1")
    monkeypatch.setattr(git_fetch, "LARGEST_REPOSITORY", 1 << 20)
    monkeypatch.setattr(git_fetch, "_LOOK_EVERY", 0.005)
    with pytest.raises(Refusal, match="takes more than 1048576 bytes"):
        index(bench, repository)
    assert not any(bench.registry.incoming.iterdir())


def test_too_many_tags_are_refused(bench, repository, monkeypatch):
    commit(repository, "v1.1")
    monkeypatch.setattr(git_fetch, "MOST_TAGS", 1)
    with pytest.raises(Refusal, match="has 2 tags"):
        index(bench, repository)


def test_links_and_odd_names_leave_nothing_outside(bench, repository, tmp_path):
    blob = git(repository, "hash-object", "-w", "--stdin", input=str(tmp_path).encode())
    tree = git(repository, "mktree", input=f"120000 blob {blob}\tlink\n".encode())
    git(repository, "tag", "v2.0", git(repository, "commit-tree", tree, "-m", "x"))
    assert "is a link" in index(bench, repository, pattern="v2*").refused[0][1]


def test_known_tags_are_not_cloned_and_refused_ones_tried_on_demand(bench, repository, monkeypatch):
    git(repository, "tag", "nightly")
    commit(repository, "later")
    first = index(bench, repository)
    assert (first.published, [tag for tag, _ in first.refused]) == (("1.0",), ["later", "nightly"])
    monkeypatch.setattr(gitindex.Git, "clone", lambda self, address: pytest.fail("cloned"))
    assert index(bench, repository) == gitindex.Indexed((), 3, ())
    monkeypatch.undo()
    again = index(bench, repository, retry=True)
    assert [tag for tag, _ in again.refused] == ["later"]  # the other's commit is published as 1.0


@pytest.fixture
def serve():
    """Serves with a handler on 127.0.0.1; gives the address."""
    servers = []

    def start(handler):
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def redirecting(target):
    class Redirects(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(302)
            self.send_header("Location", target)
            self.end_headers()

        def log_message(self, *anything):
            pass

    return Redirects


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("file:///etc", "less safe"),
        ("ext::sh", "is not an address|cannot be reached"),
        ("http://localhost:1/x", "own network"),
        ("http://[::1]/x", "own network"),
        ("ssh://git@example.org/x", "less safe"),
        ("/again", "more than 5 redirects"),
    ],
)
def test_redirects_lead_nowhere_else(bench, serve, target, said):
    with pytest.raises(Refusal, match=said):
        gitindex.index(bench.registry, f"{serve(redirecting(target))}/grain.git")


def test_http_works_and_follows_the_same_host(bench, repository, serve, tmp_path):
    bare = tmp_path / "grain.git"
    git(tmp_path, "clone", "-q", "--bare", str(repository), str(bare))
    git(bare, "update-server-info")

    class Files(SimpleHTTPRequestHandler):
        def do_GET(self):
            if self.path.startswith("/old/"):
                self.send_response(301)
                self.send_header("Location", self.path.replace("/old/", "/", 1))
                self.end_headers()
            else:
                super().do_GET()

        def log_message(self, *anything):
            pass

    url = serve(partial(Files, directory=str(tmp_path)))
    done = gitindex.index(bench.registry, f"{url}/old/grain.git")
    assert done.published == ("1.0",)


def test_a_server_that_says_nothing_is_given_up(bench, monkeypatch, serve):
    class Sleeps(BaseHTTPRequestHandler):
        def do_GET(self):
            threading.Event().wait(5)

        def log_message(self, *anything):
            pass

    monkeypatch.setattr(git_address, "SECONDS", 0.3)
    with pytest.raises(Refusal, match="cannot be reached"):
        gitindex.index(bench.registry, f"{serve(Sleeps)}/x.git")
    monkeypatch.setattr(git_address, "final", lambda url, schemes: url)
    monkeypatch.setattr(git_fetch, "SECONDS", 0.5)
    with pytest.raises(Refusal, match="takes more than"):
        gitindex.index(bench.registry, f"{serve(Sleeps)}/x.git")
