"""Reference pages that are made from what the programs say of themselves: commands, exit codes, the HTTP API.

The command line hands its own description over as a file; the registry is asked for its OpenAPI description.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from noderack_site.data import SiteDataError

Pages: TypeAlias = dict[str, tuple[str, str]]
"""{page: (title, HTML)}."""
_REGISTRY_PAGES = ("registry-settings", "http-api")
_METHODS = ("get", "put", "post", "patch", "delete", "head")


def command_pages(description: Path) -> Pages:
    """Commands and exit codes, from the file in which the command line describes itself."""
    try:
        told: dict[str, Any] = json.loads(description.read_bytes())
        return {
            "commands": ("Commands", _commands(told["commands"])),
            "exit-codes": ("Exit codes", _exits(told["exits"])),
            "error-codes": ("Error codes", _errors(told)),
        }
    except (OSError, ValueError, KeyError) as cause:
        raise SiteDataError(f"{description} does not describe the commands: {cause!r}") from cause


def registry_pages(kept: Path | None = None) -> Pages:
    """The registry's settings and HTTP API, from the registry that is installed; nothing without one.

    Asking it takes a second, so an answer that `keep` left in the file `kept` is taken, until a line of
    the registry changes.
    """
    if kept and kept.exists():
        before = json.loads(kept.read_bytes())
        if before["of"] == _sources_digest():
            return {name: (title, html) for name, (title, html) in before["pages"].items()}
    try:
        return _ask_registry()
    except ModuleNotFoundError:
        return {}


def keep(pages: Pages, kept: Path) -> None:
    """Keep the registry's pages among these in a file, if it does not have them yet."""
    own = {name: pages[name] for name in _REGISTRY_PAGES if name in pages}
    content = json.dumps({"of": _sources_digest(), "pages": own}).encode()
    if own and not (kept.exists() and kept.read_bytes() == content):
        kept.write_bytes(content)


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
    rows = [(str(row["code"]), str(row["meaning"])) for row in exits]
    return "<h1>Exit codes</h1>" + _table(("Code", "Meaning"), rows)


def _errors(told: Mapping[str, Any]) -> str:
    """Codes of the command line, and of the registry's refusals where that is installed."""
    meaning = {row["code"]: str(row["meaning"]) for row in told["exits"]}
    rows = [(row["code"], str(row["exit"]), meaning.get(row["exit"], "")) for row in told["errors"]]
    about = "What <code>--json</code> shows as <code>error.code</code>, and how the command then exits."
    own = f"<h1>Error codes</h1><p>{about}</p><h2>Of commands</h2>"
    own += _table(("Code", "Exit", "Meaning"), rows)
    try:
        from noderack_registry.server.refusals import REFUSALS
    except ModuleNotFoundError:
        return own
    from noderack_registry.gate import FINDINGS

    told_by = "Each answer that is no carries its code, what is wrong, and this hint."
    refusals = [(code, str(status), hint) for code, (status, hint) in REFUSALS.items()]
    faults = [(code, "422", hint) for code, hint in FINDINGS.items()]
    return (
        f"{own}<h2>Of a registry</h2><p>{told_by}</p>{_table(('Code', 'Status', 'What to do'), refusals)}"
        f"<h2>Of a wheel that is refused</h2>{_table(('Code', 'Status', 'What to do'), faults)}"
    )


def _api(description: Mapping[str, Any]) -> str:
    """The routes under headings: by their tag, in the order of the description."""
    by_tag: dict[str, list[str]] = defaultdict(list)
    for path, route in description.get("paths", {}).items():
        for method in (m for m in _METHODS if m in route):
            tag = (route[method].get("tags") or ["Other"])[0]
            by_tag[str(tag).capitalize()].append(_operation(description, method, path, route[method]))
    about = "The registry tells the same, for programs, at <code>/openapi.json</code>."
    parts = [f"<h2>{escape(tag)}</h2>{''.join(found)}" for tag, found in by_tag.items()]
    return f"<h1>HTTP API</h1><p>{about}</p>" + "".join(parts)


def _operation(description: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]) -> str:
    told = str(operation.get("description") or operation.get("summary") or "")
    asked = [_parameter(one) for one in operation.get("parameters", ())]
    asked += _body(description, operation.get("requestBody") or {})
    answers = ", ".join(code for code in operation.get("responses", ()))
    return (
        f"<h3><code>{method.upper()} {escape(path)}</code></h3>"
        + "".join(f"<p>{_prose(part)}</p>" for part in told.split("\n\n") if part.strip())
        + (_table(("Parameter", "Where", "Type"), asked) if asked else "")
        + f"<p>Answers: {escape(answers)}</p>"
    )


def _parameter(one: Mapping[str, Any]) -> tuple[str, ...]:
    needed = "" if one.get("required") else ", optional"
    return str(one.get("name")), f"{one.get('in')}{needed}", _type(one.get("schema") or {})


def _body(description: Mapping[str, Any], body: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The fields of a body, or the body as one where it has none."""
    rows: list[tuple[str, ...]] = []
    for media, content in (body.get("content") or {}).items():
        schema = _resolved(description, content.get("schema") or {})
        needed = schema.get("required") or ()
        fields_of = (schema.get("properties") or {}).items()
        rows += [
            (name, f"body{'' if name in needed else ', optional'}", _type(_resolved(description, one)))
            for name, one in fields_of
        ] or [(str(media), "body", _type(schema))]
    return rows


def _resolved(description: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    found: Mapping[str, Any] = description.get("components", {}).get("schemas", {}).get(name, schema)
    return found


def _type(schema: Mapping[str, Any]) -> str:
    """A JSON schema in a word or two."""
    either = schema.get("anyOf") or schema.get("oneOf")
    if either:
        return " or ".join(dict.fromkeys(_type(one) for one in either))
    if "enum" in schema:
        return ", ".join(str(value) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items') or {})}"
    return str(schema.get("format") or schema.get("type") or schema.get("title") or "any")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column names things; columns without a word are left out."""
    used = [at for at in range(len(head)) if any(row[at] for row in rows)]
    titles = "".join(f'<th scope="col">{escape(head[at])}</th>' for at in used)
    body = "".join(f"<tr>{''.join(_cell(row[at], at) for at in used)}</tr>" for row in rows)
    return (
        '<div class="table" tabindex="0" role="region" aria-label="Table"><table><thead><tr>'
        f"{titles}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(text: str, at: int) -> str:
    if at == 0:
        return f'<th scope="row"><code>{escape(text)}</code></th>'
    return f"<td>{_prose(text)}</td>"
