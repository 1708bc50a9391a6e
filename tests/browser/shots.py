"""`python tests/browser/shots.py SITE OUT`: a picture of each kind of page, three widths, both schemes.

For looking at, and for site/README.md. Each picture shows the page's first screens 1440 pixels wide in light,
820 in dark and 390 in light, side by side, scaled to a third.
"""

import io
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # for watching.py beside this file

from watching import CHROMIUM, FLAGS, served

KINDS = {
    "home": "index.html",
    "packs": "packs.html",
    "pack": "packs/film-looks.html",
    "catalogue-pack": "packs/comfyui-impact-pack.html",
    "nodes": "nodes.html",
    "node": "nodes/KSampler.html",
    "socket": "sockets/IMAGE.html",
    "models": "models.html",
    "model": "models/grand-xl-safetensors.html",
    "workflows": "workflows.html",
    "workflow": "workflows/photographed-shapes.html",
    "publisher": "publishers/lumen-street.html",
    "search": "search.html?q=upscale",
    "docs": "docs/install-missing.html",
    "reference": "docs/http-api.html",
}
VIEWS = ((1440, "light"), (820, "dark"), (390, "light"))
HEIGHT, SCALE, GAP = 1500, 3, 14


def main(site: Path, out: Path) -> None:
    """Write OUT/KIND.webp for each kind of page that the site has."""
    from playwright.sync_api import sync_playwright

    out.mkdir(parents=True, exist_ok=True)
    with served(site) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        for kind, path in KINDS.items():
            if (site / path.partition("?")[0]).is_file():
                views = [taken(browser, address + path, width, scheme) for width, scheme in VIEWS]
                beside(views).save(out / f"{kind}.webp", quality=62, method=6)
        browser.close()


def taken(browser: Any, address: str, width: int, scheme: str) -> Any:
    """The top of the page as a picture."""
    from PIL import Image

    context = browser.new_context(viewport={"width": width, "height": HEIGHT}, color_scheme=scheme)
    page = context.new_page()
    page.goto(address)
    page.wait_for_timeout(500)
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    context.close()
    return shot.resize((width // SCALE, HEIGHT // SCALE), Image.Resampling.LANCZOS)


def beside(views: list[Any]) -> Any:
    """The pictures in a row."""
    from PIL import Image

    width = sum(view.width for view in views) + GAP * (len(views) - 1)
    sheet = Image.new("RGB", (width, views[0].height), (128, 128, 128))
    at = 0
    for view in views:
        sheet.paste(view, (at, 0))
        at += view.width + GAP
    return sheet


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
