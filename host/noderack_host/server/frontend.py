"""The page: the published editor where it is installed (`noderack[ui]`), else a small one of our own."""

import importlib.util
from pathlib import Path

from aiohttp import web

from noderack_host.server.pack_routes import PackRoutes, answered

EDITOR = "comfyui_frontend_package"
PAGE = Path(__file__).parent / "page"


def editor_folder() -> Path | None:
    """Where the published editor's files are, if it is installed."""
    found = importlib.util.find_spec(EDITOR)
    folder = Path(found.origin).parent / "static" if found and found.origin else None
    return folder if folder and (folder / "index.html").is_file() else None


def add_pages(app: web.Application, editor: Path | None, packs: PackRoutes) -> None:
    """Adds the start page, then packs' routes, then everything that stands beside the page."""
    root = editor or PAGE
    files = web.UrlDispatcher()
    files.add_static("/", root, follow_symlinks=False)

    async def start(_: web.Request) -> web.FileResponse:
        """The page itself is never cached: a new version of the editor is seen at once."""
        return web.FileResponse(root / "index.html", headers={"Cache-Control": "no-cache"})

    async def rest(request: web.Request) -> web.StreamResponse:
        """What no route of ours answers: a pack's route, or a file of the page."""
        for dispatcher in (*packs.dispatchers(), files):
            try:
                answer = await answered(request, dispatcher)
            except OSError as cause:  # a name that no file can have
                raise web.HTTPNotFound(text=f"there is nothing at {request.path[:200]}") from cause
            if answer is not None:
                return answer
        raise web.HTTPNotFound(text=f"there is nothing at {request.path}")

    app.router.add_get("/", start)
    app.router.add_route("*", "/{path:.*}", rest)
