"""Figures of the manager: choosing, planning, cloning, going back, installing, downloading.

    make bench-manager                 small inputs of its own, and the catalogue beside the repository
    make bench-manager CORPUS=DIR      workflows that name their packs (else tests/cases/manager/pairs.json)
    make bench-manager INDEX=URL       where real libraries are had, if not where uv looks by itself

`type_…`: how often a node type alone leads to the right pack, see type_pairs.py.
`plan_s`, `plan_solved_s`: a plan for 40 types, without and with Python solving. `clone_s`: 40,000 files.
`rollback_ms`, `help_ms`: as they say. `ten_packs_vs_uv`, `…_pip`: ten packs with a library of 200 files each,
as ten verified generations, in times of what uv and pip take for the same into one environment, unchecked;
`ten_packs_large_s` the seconds in an environment of 40,000 files more. `ten_packs_real_…` the same for packs
that need and import what the field's packs need most: numpy, pillow, OpenCV, scipy and their like; beside it
`…_vs_uv_and_import`: uv, and one Python that imports the ten packs, as ours does before it uses them.
`download_vs_curl`: throughput from a loopback server, in parts of curl's (1.0 is the same), hash included;
`download_memory_mb`: what the process grew by meanwhile. `slow_link_vs_curl`, `…_aria2`: a server that gives
each connection 1 MB/s, against one curl, and against aria2 with as many connections as we take.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "cli"))  # for pack_wheels.py and shelf.py

from noderack_cli import generations, links
from noderack_cli.fetch import fetch
from noderack_cli.generations import InstalledPack
from noderack_cli.host_init import FOLDERS
from noderack_cli.missing import Missing, MissingType
from noderack_cli.planning import Wishes, make_plan
from noderack_cli.sources import Access
from noderack_cli.streaming import Manner
from noderack_cli.uv_tool import find_uv
from noderack_host.folder import Host, HostConfig
from noderack_registry.client import RegistryClient
from noderack_registry.schema import ModelManifest, Source
from noderack_registry.server import Settings, open_registry, serving
from noderack_registry.server.accounts import create_token
from pack_wheels import nodes_source, wheel
from type_pairs import said, type_figures

ROOT = Path(__file__).parents[2]
SHELF = str(ROOT / "tests/cli")
# What ten packs of the field need, and how they import it.
REAL = {
    "numpy": "numpy",
    "pillow": "PIL.Image",
    "scipy": "scipy.ndimage",
    "opencv-python-headless": "cv2",
    "pandas": "pandas",
    "scikit-image": "skimage.filters",
    "matplotlib": "matplotlib.pyplot",
    "imageio": "imageio",
    "requests": "requests",
    "ftfy": "ftfy",
}
LONG = 10.0  # seconds: of what takes pip longer, one round from caches is enough
LIBRARY_FILES, SOURCE = 200, b"def double(value: int) -> int:\n    return 2 * value\n\n\n" * 20
Figures = dict[str, float]


def seconds(work: Callable[[], object], rounds: int = 3) -> float:
    """The best of some runs: a busy machine only ever adds time."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


# -- hosts and a registry to measure on


def thin(folder: Path) -> Path:
    """A small virtualenv that borrows what this one has."""
    root = folder / "thin"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root)], check=True)
    packages = links.site_packages(root)[0]
    rooms = [str(ROOT / room) for room in ("host", "registry", "cli", "plugins/nodes")]
    here = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "borrowed.pth").write_text("\n".join([*rooms, *here]) + "\n")
    return root


def host_at(root: Path, source: Path, registry: str) -> Host:
    host = Host(root, HostConfig(registry=registry, python_index="none"))
    for name in FOLDERS:
        (root / name).mkdir(parents=True)
    host.save()
    with generations.draft(host, source, None) as draft:
        generations.commit(host, draft, "init", {"core": InstalledPack("core", "1", ("KSampler",), "host")})
    return host


@contextmanager
def shop(folder: Path, packs: int, types_each: int) -> Iterator[RegistryClient]:
    """A registry with packs p0…, each with its types and a library of its own."""
    settings = Settings(data=folder / "registry")
    registry = open_registry(settings)
    scopes = ("publish", "models", "admin")
    minted = registry.database.writing(create_token, "a", settings.now(), scopes=scopes, days=1, admin=True)
    registry.database.close()
    with serving(settings) as url, RegistryClient(url, minted.text) as client:
        for n, (needs, module) in enumerate(REAL.items()):
            source = nodes_source([f"R{n}"], f"import {module}")
            facts = {"types": [f"R{n}"], "requires": [needs], "source": source}
            client.upload_wheel(wheel(folder / "wheels", f"real-{n}", **facts))
        for n in range(packs):
            library = {"files": {f"m{k}.py": SOURCE for k in range(LIBRARY_FILES)}, "library": True}
            client.upload_wheel(wheel(folder / "wheels", f"lib-{n}", **library))
            types = [f"P{n}T{k}" for k in range(types_each)]
            client.upload_wheel(wheel(folder / "wheels", f"pack-{n}", types=types, requires=[f"lib-{n}"]))
        yield client


def plan_figures(client: RegistryClient, host: Host) -> Figures:
    lacking = Missing(tuple(MissingType(f"P{n}T{k}") for n in range(10) for k in range(4)))
    make_plan(host, client, lacking, Wishes({}))  # warm: uv has read the metadata once
    return {
        "plan_s": round(seconds(lambda: make_plan(host, client, lacking, Wishes({}, solve=False))), 3),
        "plan_solved_s": round(seconds(lambda: make_plan(host, client, lacking, Wishes({}))), 3),
    }


def ten_packs(client: RegistryClient, folder: Path, source: Path, files: int) -> Figures:
    """Ten packs through `nodes install`, and the same by uv and by pip into a copy of the environment.

    All from caches of their own, filled by a first round; the best of the others.
    """
    env = _own_caches(folder)
    figures = _ten(client, folder, source, env, "pack", "none", 6)
    return figures | _ten_in_a_large_one(client, folder, source, env, files)


def real_packs(client: RegistryClient, folder: Path, source: Path, index: str) -> Figures:
    """The same for packs that need real libraries of the Python package `index` ("default": uv's own)."""
    try:
        return _ten(client, folder, source, _own_caches(folder), "real", index, 4)
    except subprocess.CalledProcessError:
        said("no Python package index: ten_packs_real_… are left out")
        return {}


def _own_caches(folder: Path) -> dict[str, str]:
    caches = {"UV_CACHE_DIR": str(folder / "uv-cache"), "PIP_CACHE_DIR": str(folder / "pip-cache")}
    return {**os.environ, **caches, "UV_LINK_MODE": "hardlink"}


def _ten(
    client: RegistryClient,
    folder: Path,
    source: Path,
    env: dict[str, str],
    kind: str,
    index: str,
    rounds: int,
) -> Figures:
    names = [f"{kind}-{n}" for n in range(10)]
    modules = ", ".join(name.replace("-", "_") for name in names)
    times: dict[str, list[float]] = {"nodes": [], "uv": [], "uv_and_import": [], "pip": []}
    for n in range(rounds):
        host = host_at(folder / f"{kind}{n}", source, client.url).with_config(python_index=index)
        nodes = [sys.executable, "-m", "noderack_cli", "install", *names, "--yes", "--host", str(host.root)]
        times["nodes"].append(timed(nodes, env))
        for tool in ("uv", "pip"):
            if tool == "pip" and n > 1 and times["pip"][-1] > LONG:
                continue
            place = folder / f"{kind}-{tool}{n}"
            links.clone(source, place)
            links.relocate(place, source)
            times[tool].append(timed(_peer(tool, place, client.simple_index, index, names), env))
            if tool == "uv":
                seen = timed([str(place / "bin/python"), "-c", f"import {modules}"], env)
                times["uv_and_import"].append(times["uv"][-1] + seen)
            shutil.rmtree(place)
        generations.remove(host.root)
    best = {tool: min(taken[1:] or taken) for tool, taken in times.items()}
    said(f"ten packs ({kind}): " + ", ".join(f"{tool} {taken:.2f} s" for tool, taken in best.items()))
    prefix = "ten_packs" if kind == "pack" else f"ten_packs_{kind}"
    tools = ("uv", "pip") if kind == "pack" else ("uv", "uv_and_import", "pip")
    return {f"{prefix}_vs_{tool}": round(best["nodes"] / best[tool], 2) for tool in tools}


def _ten_in_a_large_one(
    client: RegistryClient, folder: Path, source: Path, env: dict[str, str], files: int
) -> Figures:
    """The ten packs into an environment with so many files more, where each clone counts."""
    large = folder / "large-env"
    links.clone(source, large)
    links.relocate(large, source)
    grow(links.site_packages(large)[0] / "filler", files)
    taken = []
    for n in range(2):
        host = host_at(folder / f"large-host{n}", large, client.url)
        names = [f"pack-{n}" for n in range(10)]
        nodes = [sys.executable, "-m", "noderack_cli", "install", *names, "--yes", "--host", str(host.root)]
        taken.append(timed(nodes, env))
    return {"ten_packs_large_s": round(min(taken), 2)}


def _peer(tool: str, place: Path, simple: str, index: str, names: list[str]) -> list[str]:
    python = str(place / "bin/python")
    if tool == "uv":
        from_where = ["--default-index" if index == "none" else "--index", simple]
        from_where += ["--default-index", index] if "://" in index else []
        return [find_uv(), "pip", "install", "-q", "--python", python, *from_where, *names]
    pip = [sys.executable, "-m", "pip", "-q", "--isolated", "--python", python, "install"]
    if index == "none":
        return [*pip, "--index-url", simple, *names]
    return [*pip, *(["--index-url", index] if "://" in index else []), "--extra-index-url", simple, *names]


def timed(command: list[str], env: dict[str, str] | None = None) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=env)
    return time.perf_counter() - start


def grow(place: Path, files: int) -> None:
    """A tree shaped like an environment: many small files, about ten in a folder."""
    for n in range(files // 10):
        leaf = place / f"p{n % 50}" / f"d{n}"
        leaf.mkdir(parents=True)
        for k in range(10):
            (leaf / f"f{k}.py").write_bytes(b"x")


def clone_figures(folder: Path, files: int) -> Figures:
    """How long the clone of a tree of that many files takes."""
    source = folder / "large"
    grow(source, files)
    taken = []
    for n in range(3):
        start = time.perf_counter()
        links.clone(source, folder / f"clone{n}")
        taken.append(time.perf_counter() - start)
        shutil.rmtree(folder / f"clone{n}")
    return {"clone_s": round(min(taken) * 40_000 / files, 2)}


def rollback_figure(host: Host) -> Figures:
    now = generations.current(host)
    with generations.draft(host, now.path, now.number) as draft:
        generations.commit(host, draft, "second", now.packs)
    taken = []
    for n in range(9):
        start = time.perf_counter()
        generations.rollback(host, 1 + n % 2)
        taken.append(1000 * (time.perf_counter() - start))
    return {"rollback_ms": round(statistics.median(taken), 2)}


def help_figure() -> Figures:
    command = [str(Path(sys.executable).with_name("nodes")), "--help"]
    return {"help_ms": round(1000 * seconds(lambda: timed(command), 7), 1)}


SERVE = """
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
server = ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


SERVE_SLOWLY = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from shelf import serving_shelf
with serving_shelf() as shelf:
    shelf.files["/model"], shelf.rate = Path(sys.argv[1]).read_bytes(), float(sys.argv[2])
    print(shelf.url.rpartition(":")[2], flush=True)
    time.sleep(600)
"""


@contextmanager
def served(command: list[str], folder: Path) -> Iterator[int]:
    """The port of a server in a process of its own, which says it on its first line."""
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=-3, text=True)
    assert server.stdout is not None
    try:
        yield int(server.stdout.readline())
    finally:
        server.kill()
        server.wait()


def download_figure(folder: Path, size: int) -> Figures:
    """The same file from the same loopback server, by curl and by us (hashing as it comes)."""
    if shutil.which("curl") is None:
        said("no curl: download_vs_curl is left out")
        return {}
    (folder / "served").mkdir()
    body = os.urandom(1 << 20) * (size >> 20)
    (folder / "served/model").write_bytes(body)
    manifest = ModelManifest("model", "loras", hashlib.sha256(body).hexdigest(), len(body))
    target = folder / "mine"
    with served([sys.executable, "-c", SERVE], folder / "served") as port:
        url = f"http://127.0.0.1:{port}/model"
        manifest = replace(manifest, sources=(Source("url", url),))
        access = Access(trusted=frozenset([url.split("/")[2]]))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        curl = ours = float("inf")
        for _ in range(6):  # by turns: what slows the disk slows both
            curl = min(curl, timed(["curl", "-s", "-o", str(folder / "curls"), url]))
            ours = min(ours, seconds(lambda: _again(manifest, target, access, Manner()), 1))
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    said(f"download of {size >> 20} MiB: curl {curl:.2f} s, nodes {ours:.2f} s, memory grew by {grown} MiB")
    return {"download_vs_curl": round(curl / ours, 2), "download_memory_mb": float(grown)}


def slow_figures(folder: Path, size: int, rate: float, connections: int) -> Figures:
    """A server that gives each connection `rate` bytes a second: by one curl, by aria2, and by us."""
    body, figures = os.urandom(size), Figures()
    (folder / "slow").write_bytes(body)
    with served([sys.executable, "-c", SERVE_SLOWLY, str(folder / "slow"), str(rate), SHELF], folder) as port:
        url = f"http://127.0.0.1:{port}/model"
        sha256 = hashlib.sha256(body).hexdigest()
        manifest = ModelManifest("model", "loras", sha256, size, (Source("url", url),))
        access = Access(trusted=frozenset([url.split("/")[2]]))
        manner, target = Manner(connections=connections), folder / "slowly"
        ours = seconds(lambda: _again(manifest, target, access, manner), 2)
        if shutil.which("curl"):
            curl = timed(["curl", "-s", "-o", str(folder / "c"), url])
            figures["slow_link_vs_curl"] = round(curl / ours, 2)
        if shutil.which("aria2c"):
            many = [f"-x{connections}", f"-s{connections}", "-k1M", "--file-allocation=none"]
            check = [f"--checksum=sha-256={sha256}", "--allow-overwrite=true", "-q"]
            command = ["aria2c", *many, *check, "-d", str(folder), "-o", "arias", url]
            aria2 = seconds(lambda: timed(command), 2)
            figures["slow_link_vs_aria2"] = round(aria2 / ours, 2)
        else:
            said("no aria2c: slow_link_vs_aria2 is left out")
    said(f"slow link, {size >> 20} MiB at {rate / 1e6} MB/s a connection, {connections}: nodes {ours:.2f} s")
    return figures


def _again(manifest: ModelManifest, target: Path, access: Access, manner: Manner) -> None:
    target.unlink(missing_ok=True)
    fetch(manifest, target, access, manner=manner)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=os.environ.get("CORPUS") or None)
    parser.add_argument(
        "--index", default=os.environ.get("INDEX") or "default", help="an index with real libraries"
    )
    parser.add_argument("--files", type=int, default=40_000, help="of the tree that is cloned")
    parser.add_argument("--megabytes", type=int, default=256, help="of the download")
    parser.add_argument("--only", nargs="*", help="types plan ten real clone help download slow")
    options = parser.parse_args()
    figures: Figures = {}

    def chosen(name: str) -> bool:
        return not options.only or name in options.only

    with tempfile.TemporaryDirectory(prefix="noderack-bench-") as name:
        folder = Path(name)
        if chosen("types"):
            figures |= type_figures(Path(options.corpus) if options.corpus else None, folder)
        if chosen("plan") or chosen("ten") or chosen("real"):
            with shop(folder, 10, 4) as client:
                source = thin(folder)
                host = host_at(folder / "host", source, client.url)
                figures |= plan_figures(client, host) | rollback_figure(host)
                if chosen("ten"):
                    figures |= ten_packs(client, folder, source, options.files)
                if chosen("real"):
                    figures |= real_packs(client, folder, source, options.index)
        figures |= clone_figures(folder, options.files) if chosen("clone") else {}
        figures |= help_figure() if chosen("help") else {}
        figures |= download_figure(folder, options.megabytes << 20) if chosen("download") else {}
        figures |= slow_figures(folder, 24 << 20, 1e6, 8) if chosen("slow") else {}
    print(json.dumps({"bench": "manager", "figures": figures}))


if __name__ == "__main__":
    main()
