"""The page: the published editor where it is installed (`noderack[ui]`), else a small one of our own."""

import importlib.util
from pathlib import Path

from aiohttp import web

EDITOR = "comfyui_frontend_package"


def editor_folder() -> Path | None:
    """Where the published editor's files are, if it is installed."""
    found = importlib.util.find_spec(EDITOR)
    folder = Path(found.origin).parent / "static" if found and found.origin else None
    return folder if folder and (folder / "index.html").is_file() else None


def add_pages(app: web.Application, editor: Path | None) -> None:
    """Adds the start page and everything that stands beside it."""
    root = editor or Path(__file__).parent / "page"

    async def start(_: web.Request) -> web.FileResponse:
        """The page itself is never cached: a new version of the editor is seen at once."""
        return web.FileResponse(root / "index.html", headers={"Cache-Control": "no-cache"})

    app.router.add_get("/", start)
    app.router.add_static("/", root, follow_symlinks=False)
