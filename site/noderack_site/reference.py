"""Reference pages that are made from what the programs say of themselves: commands, exit codes, the HTTP API.

The command line hands its own description over as a file; the registry is asked for its OpenAPI description.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from noderack_site.data import SiteDataError

Pages: TypeAlias = dict[str, tuple[str, str]]
"""{page: (title, HTML)}."""
_METHODS = ("get", "put", "post", "patch", "delete", "head")


def command_pages(description: Path) -> Pages:
    """Commands and exit codes, from the file in which the command line describes itself."""
    try:
        told: dict[str, Any] = json.loads(description.read_bytes())
        return {
            "commands": ("Commands", _commands(told["commands"])),
            "exit-codes": ("Exit codes", _exits(told["exits"])),
        }
    except (OSError, ValueError, KeyError) as cause:
        raise SiteDataError(f"{description} does not describe the commands: {cause!r}") from cause


def registry_pages(kept: Path | None = None) -> Pages:
    """The registry's settings and HTTP API, from the registry that is installed; nothing without one.

    Asking it takes a second, so the answer is kept in the file `kept` until a line of the registry changes.
    """
    key = _sources_digest()
    if kept and kept.exists():
        before = json.loads(kept.read_bytes())
        if before["of"] == key:
            return {name: (title, html) for name, (title, html) in before["pages"].items()}
    try:
        pages = _ask_registry()
    except ModuleNotFoundError:
        return {}
    if kept and kept.parent.is_dir():
        kept.write_text(json.dumps({"of": key, "pages": pages}), encoding="utf-8")
    return pages


def _sources_digest() -> str:
    """Changes with any line of the registry."""
    import noderack_registry

    files = sorted(path for root in noderack_registry.__path__ for path in Path(root).rglob("*.py"))
    return hashlib.blake2b(b"".join(path.read_bytes() for path in files), digest_size=12).hexdigest()


def _ask_registry() -> Pages:
    from noderack_registry.server import Settings, app

    with TemporaryDirectory() as folder:  # the app opens a registry; an empty one says the same of its routes
        service = app(Settings(data=Path(folder)))
        description = service.openapi()
        service.state.registry.database.close()
    rows = list(_settings(Settings(data=Path("registry-data"))))
    about = f"<h1>Registry settings</h1><p>{escape((Settings.__doc__ or '').replace('`', ''))}</p>"
    return {
        "registry-settings": ("Registry settings", about + _table(("Setting", "Type", "Default"), rows)),
        "http-api": ("HTTP API", _api(description)),
    }


def _settings(value: Any, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """(setting, type, default), those of a group under the group's name; the clock is for tests alone."""
    for one in fields(value):
        default = getattr(value, one.name)
        if is_dataclass(default):
            yield from _settings(default, f"{prefix}{one.name}.")
        elif not callable(default):
            shown = "" if default is None or default == () else str(default)
            yield f"{prefix}{one.name}", str(one.type), shown


def _commands(commands: Iterable[Mapping[str, Any]]) -> str:
    about = "Made from the command line itself: <code>nodes COMMAND --help</code> says the same."
    parts = [f"<h1>Commands</h1><p>{about}</p>"]
    section = ""
    for command in commands:
        if command["section"] != section:
            section = command["section"]
            parts.append(f"<h2>{escape(section)}</h2>")
        parts.append(_command(command))
    return "".join(parts)


def _command(command: Mapping[str, Any]) -> str:
    options = [(option["names"], option["help"], option["default"]) for option in command["options"]]
    examples = "\n".join(command["examples"])
    return (
        f"<h3><code>{escape(command['usage'])}</code></h3><p>{_prose(command['help'])}</p>"
        + (_table(("Option", "Meaning", "Default"), options) if options else "")
        + (f'<pre tabindex="0"><code>{escape(examples)}</code></pre>' if examples else "")
    )


def _prose(text: str) -> str:
    """Escaped, with `code` as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(" ".join(text.split())))


def _exits(exits: Iterable[Mapping[str, Any]]) -> str:
    rows = [(str(row["code"]), str(row["meaning"]), "") for row in exits]
    return "<h1>Exit codes</h1>" + _table(("Code", "Meaning", ""), rows)


def _api(description: Mapping[str, Any]) -> str:
    rows = [
        (f"{method.upper()} {path}", _summary(route[method]), ", ".join(route[method].get("responses", ())))
        for path, route in sorted(description.get("paths", {}).items())
        for method in _METHODS
        if method in route
    ]
    return "<h1>HTTP API</h1>" + _table(("Route", "What it does", "Answers"), rows)


def _summary(operation: Mapping[str, Any]) -> str:
    return str(operation.get("description") or operation.get("summary") or "").split("\n\n")[0]


def _table(head: tuple[str, str, str], rows: Iterable[tuple[str, str, str]]) -> str:
    titles = "".join(f'<th scope="col">{escape(title)}</th>' for title in head)
    body = "".join(
        f'<tr><th scope="row"><code>{escape(a)}</code></th><td>{escape(b)}</td><td>{escape(c)}</td></tr>'
        for a, b, c in rows
    )
    return (
        '<div class="table" tabindex="0" role="region" aria-label="Table"><table><thead><tr>'
        f"{titles}</tr></thead><tbody>{body}</tbody></table></div>"
    )
