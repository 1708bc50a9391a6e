"""How long the site takes to write and to search.

Without arguments: a made-up registry of 600 packs. SITE_CATALOGUE names a folder with a published catalogue
or an export instead; SITE_BROWSER=0 leaves out the search (it needs Debian's chromium),
SITE_GROWTH=0 the growth.

Figures: build_s, build_cpu_s and build_mb of a full build (seconds, processor seconds, megabytes of memory);
incremental_s and incremental_cpu_s after one publish; growth_10x, the processor time for ten times the packs
over ten times the time (1 is linear); search_p95_ms and search_first_ms over 200 questions in the browser;
home_kb, what the first page loads without fonts and pictures; total_mb, largest_page_kb.
"""

import copy
import functools
import http.server
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WORDS = [
    "image",
    "mask",
    "latent",
    "prompt",
    "video",
    "sampler",
    "loader",
    "text",
    "face",
    "depth",
    "pose",
    "colour",
    "grain",
    "noise",
    "upscale",
    "batch",
]
VERBS = [
    "Load",
    "Save",
    "Mix",
    "Scale",
    "Crop",
    "Blend",
    "Detect",
    "Apply",
    "Encode",
    "Decode",
    "Combine",
    "Preview",
]
QUESTIONS = 200
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def made_up(packs: int) -> dict[str, Any]:
    """An export of so many packs with seven node types each, as the public catalogue has on average."""
    rows = []
    for n in range(packs):
        word, other = WORDS[n % len(WORDS)], WORDS[n // len(WORDS) % len(WORDS)]
        types = [f"{VERBS[(n + i) % len(VERBS)]}{word.title()}{other.title()}{n}_{i}" for i in range(7)]
        rows.append(
            {
                "name": f"{word}-{other}-{n}",
                "title": f"{word.title()} {other} {n}",
                "description": f"Nodes for {word} and {other}.",
                "author": f"author-{n % (packs // 3 + 1)}",
                "stars": n * 7919 % 1000,
                "updated": f"2026-{n % 12 + 1:02}-{n % 28 + 1:02}",
                "node_types": types,
                "tags": [word],
            }
        )
    return {"schema": 1, "exported": "2026-11-01", "packs": rows}


def build(source: Path, out: Path) -> tuple[float, float, float]:
    """(wall seconds, processor seconds, megabytes) of `python -m noderack_site`."""
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "noderack_site", str(out), "--from", str(source), "--json"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - started, cpu, after.ru_maxrss / 1024


def as_export(source: Path, out: Path) -> dict[str, Any]:
    """The data as an export file at `out`, so that one publish can be made in it."""
    from noderack_site.data import read

    data = read(source)
    export = {
        "schema": 1,
        "exported": data.exported,
        "packs": list(data.packs.values()),
        "claims": data.claims,
        "schemas": data.schemas,
        "models": list(data.models.values()),
    }
    out.write_text(json.dumps(export))
    return export


LAST = "2099-12-31T00:00:00Z"
"""Later than whatever the catalogue has: a publish is the newest thing in a registry."""


def publish(export: dict[str, Any]) -> dict[str, Any]:
    """The same registry after one pack got its first version."""
    after = copy.deepcopy(export)
    pack = after["packs"][len(after["packs"]) // 2]
    release = {"version": "1.0.1", "uploaded": "2026-11-02T00:00:00Z", "changelog": "Mended.", "files": []}
    pack.update(latest="1.0.1", releases=[release], updated=LAST)
    return {**after, "exported": LAST}


@contextmanager
def served(folder: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        protocol_version = (
            "HTTP/1.1"  # connections stay open and answers leave at once, as any host of files does
        )
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()


def questions(export: dict[str, Any]) -> list[str]:
    """What people type: names of node types and packs, parts of them, words together, a letter wrong."""
    packs = sorted(export["packs"], key=lambda pack: -int(pack.get("stars") or 0))
    names = [name for pack in packs[:400] for name in (pack["title"], *pack["node_types"][:2])]
    asked = []
    for n, name in enumerate(names[:: max(1, len(names) // QUESTIONS)][:QUESTIONS]):
        typo = name[:3] + name[4:] if len(name) > 6 else name
        asked.append((name, name[: max(3, len(name) * 2 // 3)], typo, name.lower().replace(" ", ""))[n % 4])
    return asked


MEASURE = """
async ([root, asked]) => {
  const module = await import(root + [...document.scripts].map((s) => s.src).find((s) => s.includes('/site.'))
    .split('/').slice(-2).join('/').replace(/site[.].*/, SEARCH));
  const at = await module.index(root);
  const took = [];
  let found = 0;
  for (const text of asked) {
    const start = performance.now();
    const rows = await module.find(at, text);
    took.push(performance.now() - start);
    found += rows.length > 0;
  }
  return [took, found];
}
"""


def search(site: Path, asked: list[str]) -> dict[str, float]:
    """Milliseconds from a question to its rows, the words being there; parts load as they are needed."""
    from playwright.sync_api import sync_playwright

    name = next(site.glob("static/search.*.js")).name
    with served(site) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.goto(address)
        took, found = page.evaluate(MEASURE.replace("SEARCH", f"'{name}'"), [address, asked])
        browser.close()
    ordered = sorted(took)
    return {
        "search_first_ms": round(took[0], 1),
        "search_p50_ms": round(ordered[len(ordered) // 2], 1),
        "search_p95_ms": round(ordered[int(len(ordered) * 0.95)], 1),
        "search_found": found,
        "search_asked": len(asked),
    }


def home_kb(site: Path) -> float:
    files = [site / "index.html", *site.glob("static/site.*")]
    return sum(path.stat().st_size for path in files) / 1000


def given(source: Path) -> dict[str, Any]:
    """The registry to measure, written to `source` as an export."""
    catalogue = os.environ.get("SITE_CATALOGUE")
    if catalogue:
        return as_export(Path(catalogue), source)
    export = made_up(600)
    source.write_text(json.dumps(export))
    return export


def builds(export: dict[str, Any], source: Path, site: Path) -> dict[str, float]:
    """A full build, then one after one publish."""
    wall, cpu, memory = build(source, site)
    source.write_text(json.dumps(publish(export)))
    step, step_cpu, _ = build(source, site)
    figures = {"build_s": wall, "build_cpu_s": cpu, "build_mb": memory}
    return {**figures, "incremental_s": step, "incremental_cpu_s": step_cpu}


def weights(site: Path) -> dict[str, float]:
    """Files, megabytes of all, kilobytes of the largest page and of what the first page loads."""
    files = [path for path in site.rglob("*") if path.is_file()]
    largest = max(path.stat().st_size for path in files if path.suffix == ".html")
    total = sum(path.stat().st_size for path in files)
    figures = {"files": len(files), "total_mb": total / 1e6, "largest_page_kb": largest / 1e3}
    return {**figures, "home_kb": home_kb(site)}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        export = given(root / "export.json")
        figures: dict[str, float] = {"packs": len(export["packs"])}
        figures |= builds(export, root / "export.json", root / "site")
        figures |= weights(root / "site")
        if os.environ.get("SITE_BROWSER", "1") != "0" and Path(CHROMIUM).exists():
            figures |= search(root / "site", questions(export))
        if os.environ.get("SITE_GROWTH", "1") != "0":
            figures["growth_10x"] = growth(root)
        shown = {key: round(value, 2) for key, value in figures.items()}
        for key, value in shown.items():
            print(f"{key:18} {value}", flush=True)
    print(json.dumps({"bench": "site", "figures": shown}))


def growth(root: Path) -> float:
    """Processor time for 2,000 packs over ten times that for 200, starting Python taken away."""
    times = []
    for packs in (0, 200, 2000):
        source = root / f"export-{packs}.json"
        source.write_text(json.dumps(made_up(packs)))
        times.append(build(source, root / f"site-{packs}")[1])
    return (times[2] - times[0]) / (10 * max(0.05, times[1] - times[0]))


if __name__ == "__main__":
    main()
