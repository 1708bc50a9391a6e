"""The simple index: one description of a project, sent as JSON or as the HTML made from it."""

from __future__ import annotations

import html
import json
from typing import Any

from sqlmodel import Session, col, select

from noderack_registry.server.packs import newest_first
from noderack_registry.server.tables import File, Pack, Version

API_VERSION = "1.4"
JSON_TYPE = "application/vnd.pypi.simple.v1+json"
HTML_TYPE = "application/vnd.pypi.simple.v1+html"

# what a client may write in Accept → what it gets
OFFERS = {
    JSON_TYPE: JSON_TYPE,
    "application/vnd.pypi.simple.latest+json": JSON_TYPE,
    "application/json": JSON_TYPE,
    HTML_TYPE: HTML_TYPE,
    "application/vnd.pypi.simple.latest+html": HTML_TYPE,
    "text/html": "text/html",
    "application/*": JSON_TYPE,
    "text/*": "text/html",
    "*/*": JSON_TYPE,
}


def choose(accept: str) -> str | None:
    """The content type for an Accept header, None if nothing that it accepts can be sent."""
    best: tuple[float, str | None] = (0.0, None)
    for part in (accept or "*/*").split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        weight = _weight(parameters)
        if kind.lower() in OFFERS and weight > best[0]:
            best = (weight, OFFERS[kind.lower()])
    return best[1]


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


def names_with_files(session: Session) -> list[str]:
    """The names of all packs of which something can be installed."""
    query = select(Pack.key).where(
        Pack.status != "quarantined", col(Pack.id).in_(select(Version.pack_id).distinct())
    )
    return list(session.exec(query.order_by(Pack.key)).all())


def project(session: Session, pack: Pack) -> dict[str, Any] | None:
    """The project page of a pack, in the JSON form; None when it has no file to show."""
    rows = session.exec(
        select(Version, File).join(File, File.version_id == Version.id).where(Version.pack_id == pack.id)  # type: ignore[arg-type]
    ).all()
    hidden = pack.status == "quarantined"
    visible = [] if hidden else [(version, file) for version, file in rows if version.status != "quarantined"]
    if not rows:
        return None
    visible.sort(key=lambda row: row[1].filename)
    order = newest_first(list({version.version: version for version, _ in visible}.values()))
    return {
        "meta": {"api-version": API_VERSION},
        "name": pack.key,
        "project-status": _status(pack),
        "versions": [version.version for version in reversed(order)],
        "files": [_file(version, file) for version, file in visible],
    }


def _status(pack: Pack) -> dict[str, str]:
    reason = {"reason": pack.status_reason} if pack.status_reason else {}
    return {"status": pack.status, **reason}


def _file(version: Version, file: File) -> dict[str, Any]:
    metadata = {"sha256": file.metadata_sha256}
    entry: dict[str, Any] = {
        "filename": file.filename,
        "url": f"../../files/{file.sha256}/{file.filename}",
        "hashes": {"sha256": file.sha256},
        "size": file.size,
        "upload-time": file.uploaded,
        "yanked": (version.yanked_reason or True) if version.yanked else False,
        "core-metadata": metadata,
        "data-dist-info-metadata": metadata,
    }
    if version.requires_python:
        entry["requires-python"] = version.requires_python
    return entry


def render(page: dict[str, Any], content_type: str) -> bytes:
    """A project page or the list of projects in the content type chosen."""
    if content_type == JSON_TYPE:
        return json.dumps(page, separators=(",", ":")).encode()
    lines = (
        [_anchor(entry) for entry in page["files"]]
        if "files" in page
        else [f'<a href="{item["name"]}/">{item["name"]}</a><br>' for item in page["projects"]]
    )
    status = page.get("project-status", {})
    marks = f'<meta name="pypi:repository-version" content="{API_VERSION}">'
    for mark, value in (("project-status", "status"), ("project-status-reason", "reason")):
        if value in status:
            marks += f'<meta name="pypi:{mark}" content="{html.escape(status[value])}">'
    title = html.escape(page.get("name", "Simple index"))
    head = f"<!DOCTYPE html><html><head>{marks}<title>{title}</title></head>"
    return f"{head}<body>{''.join(lines)}</body></html>".encode()


def _anchor(entry: dict[str, Any]) -> str:
    sha256 = entry["hashes"]["sha256"]
    attributes = {"data-core-metadata": f"sha256={entry['core-metadata']['sha256']}"}
    attributes["data-dist-info-metadata"] = attributes["data-core-metadata"]
    if "requires-python" in entry:
        attributes["data-requires-python"] = entry["requires-python"]
    if entry["yanked"]:
        attributes["data-yanked"] = entry["yanked"] if isinstance(entry["yanked"], str) else ""
    extra = "".join(f' {name}="{html.escape(value)}"' for name, value in attributes.items())
    return f'<a href="{entry["url"]}#sha256={sha256}"{extra}>{entry["filename"]}</a><br>'


def root(names: list[str]) -> dict[str, Any]:
    """The list of projects."""
    return {"meta": {"api-version": API_VERSION}, "projects": [{"name": name} for name in names]}
