"""What the host has: node types, models, packs' web files, templates."""

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import web

from noderack_host.contract import ContractError
from noderack_host.replace import by_old_type
from noderack_host.running import use
from noderack_host.server import pack_files, pack_routes
from noderack_host.server.places import inside
from noderack_host.server.state import SERVER, Server

OWN_NAME, OWN_FOLDER = "noderack", Path(__file__).parent / "editor"
_LIST = re.compile(r"index(?:\.[a-z]{2}(?:-[A-Z]{2})?)?\.json")


async def object_info(request: web.Request) -> web.Response:
    """Every node type, read anew: the choices of a combo are those of now."""
    server = request.app[SERVER]
    return web.json_response(await asyncio.to_thread(_described, server, tuple(server.packs.nodes)))


async def object_info_of(request: web.Request) -> web.Response:
    """One node type, or nothing if it is unknown."""
    server, name = request.app[SERVER], request.match_info["type"]
    names = (name,) if name in server.packs.nodes else ()
    return web.json_response(await asyncio.to_thread(_described, server, names))


def _described(server: Server, names: tuple[str, ...]) -> dict[str, Any]:
    told = {}
    with use(server.running):
        for name in names:
            with suppress(
                ContractError
            ):  # a node that cannot say what it takes is left out, as clients expect
                told[name] = server.packs.schema(name).to_object_info()
    return told


async def model_folders(request: web.Request) -> web.Response:
    """The categories of models."""
    return web.json_response(sorted(request.app[SERVER].folders.categories))


async def models(request: web.Request) -> web.Response:
    """The files of one category; 404 for an unknown one."""
    folders, category = request.app[SERVER].folders, request.match_info["folder"]
    if category not in folders.categories:
        raise web.HTTPNotFound(text=f"there is no model folder {category!r}")
    return web.json_response(list(folders.files(category)))


async def embeddings(request: web.Request) -> web.Response:
    """Names of embeddings, without extension, as they are written in prompts."""
    files = request.app[SERVER].folders.files("embeddings")
    return web.json_response([str(Path(name).with_suffix("")) for name in files])


async def model_library(request: web.Request) -> web.Response:
    """Categories with their folders."""
    folders = request.app[SERVER].folders
    told = {name: [str(path) for path in category.folders] for name, category in folders.categories.items()}
    return web.json_response([{"name": name, "folders": paths} for name, paths in told.items()])


async def model_library_of(request: web.Request) -> web.Response:
    """The files of one category with size and times (ms)."""
    folders, category = request.app[SERVER].folders, request.match_info["folder"]
    if category not in folders.categories:
        raise web.HTTPNotFound(text=f"there is no model folder {category!r}")
    roots = folders.categories[category].folders
    found = [_about(folders.find(category, name), name, roots) for name in folders.files(category)]
    return web.json_response([one for one in found if one])


def _about(path: Path | None, name: str, roots: Sequence[Path]) -> dict[str, Any] | None:
    if path is None:
        return None
    stat = path.stat()
    index = next((i for i, folder in enumerate(roots) if path.is_relative_to(folder)), 0)
    times = {"modified": stat.st_mtime * 1000, "created": stat.st_ctime * 1000}
    return {"name": name, "pathIndex": index, "size": stat.st_size, **times}


async def extensions(request: web.Request) -> web.Response:
    """The scripts that packs bring to the editor."""
    return web.json_response(
        [url for name, root in web_folders(request.app[SERVER]) for url in _scripts(name, root)]
    )


def _scripts(name: str, root: Path) -> list[str]:
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.js"))
    return [f"/extensions/{quote(name)}/{quote(path)}" for path in files]


def _same_name(name: str) -> str:
    """Scripts call their pack by its folder's name, we by its distribution's: alike but for signs."""
    return re.sub(r"[-_. ]+", "-", name).lower()


async def extension_file(request: web.Request) -> web.StreamResponse:
    """One web file of a pack."""
    wanted = _same_name(request.match_info["pack"])
    folders = {_same_name(name): root for name, root in web_folders(request.app[SERVER])}
    folder = folders.get(wanted)
    path = inside(folder, request.match_info["path"]) if folder else None
    if path is None or not path.is_file():
        raise web.HTTPNotFound(text="no pack brings this file")
    return web.FileResponse(path, headers={"Cache-Control": "no-cache"})


def web_folders(server: Server) -> list[tuple[str, Path]]:
    """(pack, folder) of every pack with web files, and our own."""
    own = [(OWN_NAME, OWN_FOLDER)]
    return own + [
        (pack.name, pack.web_directory) for pack in server.packs.packs if pack.web_directory is not None
    ]


async def workflow_templates(request: web.Request) -> web.Response:
    """{pack: names of its example workflows}."""
    told = {}
    for pack, folder in pack_files.example_folders(request.app[SERVER].packs.packs):
        names = sorted(path.stem for path in folder.glob("*.json"))
        if names:
            told[pack] = names
    return web.json_response(told)


async def workflow_template(request: web.Request) -> web.StreamResponse:
    """One example workflow, or its picture."""
    wanted = request.match_info["name"]
    for pack, folder in pack_files.example_folders(request.app[SERVER].packs.packs):
        path = inside(folder, wanted)
        if pack == request.match_info["pack"] and path.parent == folder and path.is_file():
            return web.FileResponse(path)
    raise web.HTTPNotFound(text=f"there is no example workflow {wanted!r}")


async def template(request: web.Request) -> web.StreamResponse:
    """One file of the templates; a list that is not there is an empty one, and a picture is drawn."""
    name, server = request.match_info["name"], request.app[SERVER]
    if _LIST.fullmatch(name):
        return web.json_response(await asyncio.to_thread(server.templates.listed, name, server.packs.nodes))
    path = server.templates.find(name)
    if path is not None:
        return web.FileResponse(path)
    drawn = await asyncio.to_thread(server.templates.drawn, name)
    if drawn is not None:
        return web.Response(
            text=drawn, content_type="image/svg+xml", headers={"Cache-Control": "max-age=3600"}
        )
    if name == "index_logo.json":
        return web.json_response({})
    raise web.HTTPNotFound(text=f"there is no template file {name!r}")


async def node_replacements(_: web.Request) -> web.Response:
    """The node types that take another's place, by the old one."""
    return web.json_response(by_old_type(pack_routes.replacements()))


async def translations(request: web.Request) -> web.Response:
    """{language: words} that packs bring."""
    packs = request.app[SERVER].packs.packs
    return web.json_response(await asyncio.to_thread(pack_files.translations, packs))


async def subgraphs(request: web.Request) -> web.Response:
    """The sub-graphs that packs offer, without their content."""
    found = pack_files.subgraphs(request.app[SERVER].packs.packs)
    return web.json_response({key: told for key, (told, _) in found.items()})


async def subgraph(request: web.Request) -> web.Response:
    """One of them, with its content as text; null if it is unknown."""
    told, file = pack_files.subgraphs(request.app[SERVER].packs.packs).get(
        request.match_info["id"], (None, None)
    )
    return web.json_response(told and file and {**told, "data": file.read_text("utf-8", "replace")})


ROUTES = (
    web.get("/object_info", object_info),
    web.get("/object_info/{type}", object_info_of),
    web.get("/models", model_folders),
    web.get("/models/{folder}", models),
    web.get("/embeddings", embeddings),
    web.get("/experiment/models", model_library),
    web.get("/experiment/models/{folder}", model_library_of),
    web.get("/extensions", extensions),
    web.get("/extensions/{pack}/{path:.+}", extension_file),
    web.get("/workflow_templates", workflow_templates),
    web.get("/workflow_templates/{pack}/{name}", workflow_template),
    web.get("/templates/{name}", template),
    web.get("/i18n", translations),
    web.get("/node_replacements", node_replacements),
    web.get("/global_subgraphs", subgraphs),
    web.get("/global_subgraphs/{id}", subgraph),
)
