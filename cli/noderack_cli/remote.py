"""What Hugging Face, Civitai or a plain server say of a file before its download: size, hash, gate, kind."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

from noderack_registry.schema import ModelManifest, Source

from noderack_cli.errors import FetchError
from noderack_cli.refusals import not_a_file, refusal
from noderack_cli.sources import CIVITAI_HOSTS, Access, check_address, name_of, plain_address
from noderack_cli.web import Cut, request

# Civitai's model types → folders, as the field uses them.
FOLDER_OF_TYPE = {
    "Checkpoint": "checkpoints",
    "LORA": "loras",
    "LoCon": "loras",
    "DoRA": "loras",
    "TextualInversion": "embeddings",
    "Hypernetwork": "hypernetworks",
    "Controlnet": "controlnet",
    "VAE": "vae",
    "Upscaler": "upscale_models",
}
LARGEST_ANSWER = 8 << 20


def look_up(url: str, access: Access, *, name: str = "", folder: str = "") -> ModelManifest:
    """A manifest for the file at `url`, with hash and size where its host tells them; raises FetchError."""
    place = plain_address(url, access)
    version = civitai_version(url, access)
    if version is not None:
        return _civitai(version, access, name, folder)
    size, sha256 = _head(place, access)
    found = name or name_of(place)
    if not found:
        raise FetchError(f"{url} ends in no file name", "Give the file a name with --name.")
    return ModelManifest(found, folder, sha256, size, (Source("url", place),), page=_page(url))


def civitai_version(url: str, access: Access) -> int | None:
    """The version id in a Civitai address (page or download), None for other addresses."""
    place = urlsplit(url)
    at = {urlsplit(access.civitai_endpoint).netloc, *CIVITAI_HOSTS}
    if place.netloc not in at:
        return None
    match = re.search(r"/(?:api/download/models|api/v1/model-versions)/(\d+)", place.path)
    said = match[1] if match else parse_qs(place.query).get("modelVersionId", [""])[0]
    return int(said) if said.isdigit() else None


def _civitai(version: int, access: Access, name: str, folder: str) -> ModelManifest:
    data = _json(f"{access.civitai_endpoint}/api/v1/model-versions/{version}", access)
    files = data.get("files") or []
    primary = next((f for f in files if f.get("primary")), files[0] if files else {})
    model = data.get("model") or {}
    sha256 = str((primary.get("hashes") or {}).get("SHA256", "")).lower() or None
    download = f"{access.civitai_endpoint}/api/download/models/{version}"
    return ModelManifest(
        name or str(primary.get("name") or f"civitai-{version}.safetensors"),
        folder or FOLDER_OF_TYPE.get(str(model.get("type")), "checkpoints"),
        sha256,
        None,  # its sizeKB is rounded; the answer to the download says the bytes
        (Source("civitai", download),),
        base=data.get("baseModel"),
        trigger_words=tuple(map(str, data.get("trainedWords") or ())),
        gated="early-access" if data.get("availability") == "EarlyAccess" else "none",
        title=" ".join(str(x) for x in (model.get("name"), data.get("name")) if x),
        nsfw=bool(model.get("nsfw")),
        page=f"{access.civitai_endpoint}/models/{data.get('modelId')}?modelVersionId={version}",
    )


def _json(url: str, access: Access) -> Mapping[str, Any]:
    check_address(url, access)
    try:
        answer = request(url, access.token_for(url))
    except Cut as cause:
        raise FetchError(f"{url}: no answer ({cause})") from cause
    with closing(answer):
        if answer.status != 200:
            raise refusal(url, answer.status, "", ModelManifest(url, ""), access)
        try:
            data = json.loads(answer.read(LARGEST_ANSWER))
        except ValueError as cause:
            raise FetchError(f"{url} does not answer with JSON") from cause
    return data if isinstance(data, dict) else {}


def _head(url: str, access: Access) -> tuple[int | None, str | None]:
    """Size and sha256 that the first answers to a HEAD name; the hash only from a content-addressed host."""
    token, sha256, size = access.token_for(url), None, None
    for _ in range(6):
        check_address(url, access)
        try:
            answer = request(url, token, method="HEAD")
        except Cut as cause:
            raise FetchError(f"{url}: no answer ({cause})") from cause
        headers, status = answer.headers, answer.status
        answer.close()
        tag = (headers.get("X-Linked-Etag") or "").strip('W/"')
        sha256 = sha256 or (tag if re.fullmatch(r"[0-9a-f]{64}", tag) else None)
        size = size or _number(headers.get("X-Linked-Size"))
        if status in (301, 302, 303, 307, 308):
            if sha256 and size:
                break
            target = urljoin(url, headers.get("Location", ""))
            token = token if urlsplit(target).netloc == urlsplit(url).netloc else None
            url = target
            continue
        if status == 200:
            if (headers.get("Content-Type") or "").lower().startswith("text/html"):
                raise not_a_file(url, ModelManifest(name_of(url) or "a file", ""))
            size = size or _number(headers.get("Content-Length"))
        elif status not in (405, 501):
            raise refusal(
                url, status, headers.get("X-Error-Code", ""), ModelManifest(name_of(url), ""), access
            )
        break
    return size, sha256


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _page(url: str) -> str:
    return re.sub(r"/(?:resolve|blob)/.*", "", url.partition("?")[0])


def completed(manifest: ModelManifest, access: Access) -> ModelManifest:
    """The manifest with the hash and size that its first address tells, when it lacks its hash."""
    if manifest.sha256 or not manifest.sources:
        return manifest
    try:
        found = look_up(manifest.sources[0].url, access, name=manifest.name, folder=manifest.folder)
    except FetchError:
        return manifest  # the download itself will say what is wrong
    return replace(
        manifest,
        sha256=found.sha256,
        size=found.size or manifest.size,
        sources=found.sources,
        page=found.page,
    )
