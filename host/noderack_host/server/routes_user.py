"""What a user keeps on the server: settings, saved workflows and other small files."""

import json
from pathlib import Path
from typing import Any

from aiohttp import web

from noderack_host.server.places import inside, write_whole
from noderack_host.server.state import SERVER, json_body

USER = "default"
SETTINGS = "comfy.settings.json"


def user_folder(request: web.Request) -> Path:
    """The folder of this server's one user."""
    return request.app[SERVER].host.user / USER


async def users(_: web.Request) -> web.Response:
    """One user, kept on the server."""
    return web.json_response({"storage": "server", "migrated": True})


async def settings(request: web.Request) -> web.Response:
    """All settings."""
    return web.json_response(_settings(request))


async def setting(request: web.Request) -> web.Response:
    """One setting, null if it was never set."""
    return web.json_response(_settings(request).get(request.match_info["id"]))


async def save_settings(request: web.Request) -> web.Response:
    """Sets some settings."""
    body = await json_body(request)
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="settings must be an object")
    return _save(request, body)


async def save_setting(request: web.Request) -> web.Response:
    """Sets one setting."""
    return _save(request, {request.match_info["id"]: await json_body(request)})


def _save(request: web.Request, changes: dict[str, Any]) -> web.Response:
    whole = json.dumps({**_settings(request), **changes}, indent=2)
    write_whole(user_folder(request) / SETTINGS, whole.encode())
    return web.Response()


def _settings(request: web.Request) -> dict[str, Any]:
    try:
        found = json.loads((user_folder(request) / SETTINGS).read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as cause:
        raise web.HTTPInternalServerError(
            text=f"{SETTINGS} is not JSON: {cause}; mend or delete it"
        ) from cause
    return found if isinstance(found, dict) else {}


async def userdata(request: web.Request) -> web.Response:
    """The files below a folder: paths, or with `full_info` their size and times (ms)."""
    query = request.query
    if not query.get("dir"):
        raise web.HTTPBadRequest(text="the folder is missing: say ?dir=")
    folder = inside(user_folder(request), query["dir"])
    if not folder.is_dir():
        raise web.HTTPNotFound(text=f"there is no folder {query['dir']!r}")
    paths = folder.rglob("*") if _is_true(query.get("recurse")) else folder.glob("*")
    files = sorted(path for path in paths if path.is_file())
    if _is_true(query.get("full_info")):
        return web.json_response([_info(path, folder) for path in files])
    names = [path.relative_to(folder).as_posix() for path in files]
    return web.json_response(
        [[name, *name.split("/")] for name in names] if _is_true(query.get("split")) else names
    )


async def userdata_listed(request: web.Request) -> web.Response:
    """Folders, then files, of one folder."""
    root = user_folder(request)
    folder = inside(root, request.query.get("path", ""))
    if not folder.is_dir():
        raise web.HTTPNotFound(text=f"there is no folder {request.query.get('path')!r}")
    found = sorted(folder.iterdir(), key=lambda path: (path.is_file(), path.name))
    return web.json_response([_listed(path, root) for path in found])


def _listed(path: Path, root: Path) -> dict[str, Any]:
    if path.is_dir():
        return {"name": path.name, "path": path.relative_to(root).as_posix(), "type": "directory"}
    return {"name": path.name, "type": "file", **_info(path, root)}


async def read_userdata(request: web.Request) -> web.StreamResponse:
    """One file."""
    path = _file(request)
    if not path.is_file():
        raise web.HTTPNotFound(text=f"there is no file {path.name!r}")
    headers = {} if path.name == "user.css" else {"Content-Disposition": "attachment"}
    return web.FileResponse(path, headers=headers)


async def user_style(request: web.Request) -> web.StreamResponse:
    """The user's own style sheet; an empty one if there is none."""
    path = user_folder(request) / "user.css"
    return web.FileResponse(path) if path.is_file() else web.Response(content_type="text/css")


async def write_userdata(request: web.Request) -> web.Response:
    """Writes one file; 409 if it is there and `overwrite` is false."""
    path = _file(request)
    if path.exists() and request.query.get("overwrite") == "false":
        raise web.HTTPConflict(text=f"{path.name} is there already")
    write_whole(path, await request.read())
    return _told(request, path)


async def delete_userdata(request: web.Request) -> web.Response:
    """Removes one file."""
    path = _file(request)
    if not path.is_file():
        raise web.HTTPNotFound(text=f"there is no file {path.name!r}")
    path.unlink()
    return web.Response(status=204)


async def move_userdata(request: web.Request) -> web.Response:
    """Renames one file; 409 if the new name is taken and `overwrite` is false."""
    path, target = _file(request), inside(user_folder(request), request.match_info["dest"])
    if not path.is_file():
        raise web.HTTPNotFound(text=f"there is no file {path.name!r}")
    if target.exists() and request.query.get("overwrite") == "false":
        raise web.HTTPConflict(text=f"{target.name} is there already")
    target.parent.mkdir(parents=True, exist_ok=True)
    path.replace(target)
    return _told(request, target)


def _file(request: web.Request) -> Path:
    return inside(user_folder(request), request.match_info["file"])


def _told(request: web.Request, path: Path) -> web.Response:
    root = user_folder(request)
    info = _is_true(request.query.get("full_info"))
    return web.json_response(_info(path, root) if info else path.relative_to(root).as_posix())


def _info(path: Path, root: Path) -> dict[str, Any]:
    stat = path.stat()
    times = {"modified": int(stat.st_mtime * 1000), "created": int(stat.st_ctime * 1000)}
    return {"path": path.relative_to(root).as_posix(), "size": stat.st_size, **times}


def _is_true(text: str | None) -> bool:
    return (text or "").lower() in ("true", "1", "yes")


# `{file}` is one segment: clients send workflows%2Fa.json, and aiohttp matches the raw path.
ROUTES = (
    web.get("/users", users),
    web.get("/settings", settings),
    web.post("/settings", save_settings),
    web.get("/settings/{id}", setting),
    web.post("/settings/{id}", save_setting),
    web.get("/userdata", userdata),
    web.get("/v2/userdata", userdata_listed),
    web.get("/user.css", user_style),
    web.get("/userdata/user.css", user_style),
    web.get("/userdata/{file}", read_userdata),
    web.post("/userdata/{file}", write_userdata),
    web.delete("/userdata/{file}", delete_userdata),
    web.post("/userdata/{file}/move/{dest}", move_userdata),
)
