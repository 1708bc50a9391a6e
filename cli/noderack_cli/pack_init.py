"""`nodes pack init`: a new pack that passes check, with a test and a CI file, in each of the three styles."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import click

from noderack_cli.errors import BadInput

STYLES = ("function", "v1", "v3")


@click.command(
    "init",
    epilog="Examples:\n\n  nodes pack init my-pack\n\n  nodes pack init my-pack --style v1 --author Ann",
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--style", type=click.Choice(STYLES), default="function", show_default=True)
@click.option("--description", default="What this pack does, in one line", show_default=True)
@click.option("--author", default="", help="Your name.")
def init(folder: Path, style: str, description: str, author: str) -> None:
    """Begin a pack in FOLDER: one node, its test, a README and a CI file.

    Styles: a typed function (function), the class contract (v1), the schema form (v3).
    """
    for path, text in scaffold(folder.resolve().name, style, description, author).items():
        target = folder / path
        if target.exists():
            raise BadInput(f"{target} is already there.", "Choose an empty folder.")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
        click.echo(f"  {target}")
    click.echo(f"Next: nodes pack check {folder} && nodes pack test {folder} && nodes pack build {folder}")


def scaffold(name: str, style: str, description: str, author: str = "") -> dict[str, str]:
    """The files of a new pack: path to text. Raises BadInput when no module name can be made of `name`."""
    distribution = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    module = distribution.replace("-", "_")
    if not module.isidentifier():
        raise BadInput(f"No module can be called {name!r}.", "Begin the folder's name with a letter.")
    words = {
        "NAME": distribution,
        "MODULE": module,
        "TITLE": distribution.replace("-", " ").capitalize(),
        "CAMEL": "".join(part.capitalize() for part in distribution.split("-")),
        "DESCRIPTION": description.replace('"', "'"),
        "AUTHORS": f'authors = [{{ name = "{author}" }}]\n' if author else "",
        "NODES": f"{module}.nodes" if style == "function" else module,
    }
    found: dict[str, str] = {}
    for part in ("any", style):
        for file in sorted((files("noderack_cli") / "scaffold" / part).iterdir(), key=lambda f: f.name):
            path = _filled(file.name.removesuffix(".txt").replace("+", "/"), words)
            found[path] = _filled(file.read_text("utf-8"), words)
    return found


def _filled(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text
