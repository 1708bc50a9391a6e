"""Pictures and other files: shown, uploaded, and what a model file says of itself."""

import asyncio
import hashlib
import json
import struct
from io import BytesIO
from pathlib import Path
from typing import Any

from aiohttp import web
from PIL import Image, PngImagePlugin

from noderack_host.cluster.files import Made
from noderack_host.server.places import annotated, folder_of, inside, write_whole
from noderack_host.server.state import SERVER, Server

# What a browser would run if it were shown as a page of this server.
ACTIVE = frozenset({".html", ".htm", ".xhtml", ".js", ".mjs", ".css", ".svg", ".xml", ".xsl"})
CHANNELS = ("rgb", "a", "rgba")
_PREVIEW_FORMATS = ("webp", "jpeg")
KEPT_OF_BUCKET = ".bucket"  # below temp/
MAX_HEADER = 100 << 20
MAX_PIXELS = 100_000_000  # larger pictures are served as they are, but not decoded here


async def view(request: web.Request) -> web.StreamResponse:
    """A file of input, output or temp: whole (with ranges), as a smaller preview, or one channel of it."""
    query = request.query
    name, kind = annotated(query.get("filename", ""), query.get("type", "output"))
    if not name or name.endswith(("/", "\\")):
        raise web.HTTPBadRequest(text="filename is missing")
    path = inside(folder_of(request.app[SERVER].host, kind), query.get("subfolder", ""), name)
    if not path.is_file():
        path = await asyncio.to_thread(_from_bucket, request.app[SERVER], path, kind)
    if "preview" in query or query.get("channel", "rgba") != "rgba":
        return await asyncio.to_thread(_picture, path, query.get("preview"), query.get("channel", "rgba"))
    disposition = "attachment" if path.suffix.lower() in ACTIVE else "inline"
    headers = {"Content-Disposition": f'{disposition}; filename="{_plain(path.name)}"'}
    if disposition == "attachment":
        headers["Content-Type"] = "application/octet-stream"
    return web.FileResponse(path, headers=headers)


def _from_bucket(server: Server, path: Path, kind: str) -> Path:
    """A file that lies in the bucket of outputs, brought here to be looked at; raises HTTPNotFound."""
    folder = folder_of(server.host, kind)
    relative = path.relative_to(folder)
    here = server.host.temp / KEPT_OF_BUCKET / kind / relative
    if server.bucket is not None and not here.is_file():
        below = relative.parent.as_posix()
        data = server.bucket.read(Made(kind, "" if below == "." else below, relative.name))
        if data is not None:
            write_whole(here, data)
    if server.bucket is None or not here.is_file():
        raise web.HTTPNotFound(text=f"there is no file {relative.as_posix()!r} in {kind}/")
    return here


def _plain(name: str) -> str:
    return "".join(c if c.isprintable() and c not in '"\\' and c.isascii() else "_" for c in name)


def _picture(path: Path, preview: str | None, channel: str) -> web.Response:
    if channel not in CHANNELS:
        raise web.HTTPBadRequest(text=f"channel is {channel!r}; use {', '.join(CHANNELS)}")
    form, quality = _preview_format(preview)
    try:
        with Image.open(path) as image:
            _refuse_huge(image)
            shown = _channel(image, channel)
            buffer = BytesIO()
            (shown.convert("RGB") if form == "jpeg" else shown).save(buffer, format=form, quality=quality)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as cause:
        raise web.HTTPBadRequest(text=f"{path.name} is not a picture that can be shown: {cause}") from cause
    headers = {"Content-Disposition": f'inline; filename="{_plain(path.name)}"'}
    return web.Response(body=buffer.getvalue(), content_type=f"image/{form}", headers=headers)


def _refuse_huge(image: Image.Image) -> None:
    """A small file may say that it is a huge picture: decoding it would take all the memory there is."""
    if image.width * image.height > MAX_PIXELS:
        raise web.HTTPRequestEntityTooLarge(MAX_PIXELS, image.width * image.height)


def _preview_format(preview: str | None) -> tuple[str, int]:
    form, _, quality = (preview or "png").partition(";")
    if preview is not None and form not in _PREVIEW_FORMATS:
        form = "webp"
    return form, int(quality) if quality.isdigit() and 1 <= int(quality) <= 100 else 90


def _channel(image: Image.Image, channel: str) -> Image.Image:
    if channel == "rgb":
        return image.convert("RGB")
    if channel == "rgba":
        return image
    alpha = image.convert("RGBA").getchannel("A")
    opaque = Image.new("RGBA", image.size)
    opaque.putalpha(alpha)
    return opaque


async def upload_image(request: web.Request) -> web.Response:
    """Stores a picture; the same bytes under the same name are one file, others get a number."""
    fields = await _form(request)
    kind = fields.get("type", "input") or "input"
    root = folder_of(request.app[SERVER].host, kind)
    subfolder = fields.get("subfolder", "")
    path = inside(root, subfolder, Path(fields["name"]).name)
    overwrite = fields.get("overwrite") in ("true", "1")
    data: bytes = fields["data"]
    free = path if overwrite else _free_name(path, data)
    await asyncio.to_thread(write_whole, free, data)
    return web.json_response({"name": free.name, "subfolder": subfolder, "type": kind})


async def upload_mask(request: web.Request) -> web.Response:
    """Stores the original picture with the upload's transparency; the original's texts stay."""
    server, fields = request.app[SERVER], await _form(request)
    try:
        original = json.loads(fields.get("original_ref", ""))
        name, kind = annotated(str(original["filename"]), str(original.get("type", "output")))
    except (ValueError, KeyError, TypeError) as cause:
        raise web.HTTPBadRequest(text="original_ref must be JSON with a filename") from cause
    source = inside(folder_of(server.host, kind), str(original.get("subfolder", "")), name)
    kept = fields.get("type", "input") or "input"
    subfolder = fields.get("subfolder", "")
    path = inside(folder_of(server.host, kept), subfolder, Path(fields["name"]).name)
    data = await asyncio.to_thread(_masked, source, fields["data"])
    await asyncio.to_thread(write_whole, path, data)
    return web.json_response({"name": path.name, "subfolder": subfolder, "type": kept})


def _masked(source: Path, mask: bytes) -> bytes:
    try:
        with Image.open(source) as image, Image.open(BytesIO(mask)) as upload:
            _refuse_huge(image)
            _refuse_huge(upload)
            texts = PngImagePlugin.PngInfo()
            for key, value in getattr(image, "text", {}).items():
                texts.add_text(key, value)
            whole = image.convert("RGBA")
            whole.putalpha(upload.convert("RGBA").getchannel("A").resize(whole.size))
            buffer = BytesIO()
            whole.save(buffer, format="PNG", pnginfo=texts)
            return buffer.getvalue()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as cause:
        raise web.HTTPBadRequest(text=f"the mask or its original cannot be read: {cause}") from cause


async def _form(request: web.Request) -> dict[str, Any]:
    if not request.content_type.startswith("multipart/"):
        raise web.HTTPBadRequest(text="send the file as multipart/form-data")
    post = await request.post()
    image = post.get("image")
    if not isinstance(image, web.FileField) or not image.filename:
        raise web.HTTPBadRequest(text="the field 'image' with a file is missing")
    texts = {key: value for key, value in post.items() if isinstance(value, str)}
    return {**texts, "name": image.filename, "data": image.file.read()}


def _free_name(path: Path, data: bytes) -> Path:
    wanted, number, digest = path, 1, hashlib.sha256(data).digest()
    while wanted.exists() and not wanted.is_dir():
        if hashlib.sha256(wanted.read_bytes()).digest() == digest:
            return wanted
        wanted = path.with_name(f"{path.stem} ({number}){path.suffix}")
        number += 1
    return wanted


async def view_metadata(request: web.Request) -> web.Response:
    """What a safetensors file says of itself; 404 if it says nothing."""
    name = request.query.get("filename", "")
    try:
        path = request.app[SERVER].folders.find(request.match_info["folder"], name)
    except ValueError:  # no name of a folder of models
        path = None
    if path is None or not name.endswith(".safetensors"):
        raise web.HTTPNotFound(text=f"there is no safetensors file {name!r} there")
    told = await asyncio.to_thread(_metadata, path)
    if not isinstance(told, dict):
        raise web.HTTPNotFound(text=f"{name} says nothing of itself")
    return web.json_response(told)


def _metadata(path: Path) -> Any:
    with path.open("rb") as file:
        head = file.read(8)
        size = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        if not 0 < size <= MAX_HEADER:
            return None
        try:
            return json.loads(file.read(size)).get("__metadata__")
        except ValueError:
            return None


async def files_of(request: web.Request) -> web.Response:
    """The files of input, output or temp, the newest first."""
    folder = folder_of(request.app[SERVER].host, request.match_info["kind"])
    found = [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    found.sort(key=lambda path: -path.stat().st_mtime)
    return web.json_response([path.name for path in found if not path.name.startswith(".")])


ROUTES = (
    web.get("/view", view),
    web.get("/view_metadata/{folder}", view_metadata),
    web.post("/upload/image", upload_image),
    web.post("/upload/mask", upload_mask),
)
INTERNAL_ROUTES = (web.get("/internal/files/{kind}", files_of),)
