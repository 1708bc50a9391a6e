"""`python -m noderack_site OUT --from FILE`: what `nodes registry site` runs."""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from noderack_site.build import build
from noderack_site.data import (
    SiteData,
    SiteDataError,
    SiteError,
    from_export,
    read,
    with_built_in,
    write_export,
)
from noderack_site.docs import DOCS
from noderack_site.reference import Pages, command_pages, keep, registry_pages

KEPT = ".noderack-reference"
EXIT_BAD_INPUT, EXIT_UNWRITABLE = 3, 11


def main(arguments: list[str] | None = None) -> int:
    """Write the site and say what was done; an error is one sentence on stderr and an exit code."""
    options = _parser().parse_args(arguments)
    try:
        with TemporaryDirectory() as copies, _uncollected():
            data = read(options.source) if options.source else _registry(options, Path(copies))
            if options.built_in:
                data = with_built_in(data, _entries(options.built_in))
            data = replace(data, url=(options.url or data.url).rstrip("/"), name=options.name or data.name)
            reference = _reference(options)
            report = build(data, options.out, options.docs, reference, _collect)
            keep(reference, options.out / KEPT)
    except SiteError as error:
        return _fail(str(error), EXIT_BAD_INPUT)
    except OSError as error:
        return _fail(f"cannot write {error.filename or options.out}: {error.strerror}", EXIT_UNWRITABLE)
    if options.json:
        sys.stdout.write(json.dumps(asdict(report)) + "\n")
    else:
        counts = f"{report.written} of {report.pages} files written, {report.removed} removed"
        sys.stdout.write(f"{options.out}: {counts}, {report.seconds:.1f} s\n")
    return 0


@contextmanager
def _uncollected() -> Iterator[None]:
    """No search for cycles of its own accord: it would look through a million records that have none."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _collect(_written: int) -> None:
    """What rendering leaves behind does have cycles; it is young."""
    gc.collect(1)
    gc.freeze()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nodes registry site", description="Write the static site of a registry's data into a folder."
    )
    parser.add_argument("out", type=Path, help="folder to write; only files whose data changed are written")
    source = "a registry's export (.json, .json.gz) or a folder with a published catalogue, instead of --data"
    parser.add_argument("--from", dest="source", type=Path, help=source)
    parser.add_argument("--data", type=Path, default=Path("registry-data"), help="the registry's folder")
    parser.add_argument("--database", help="postgresql://… instead of a file in --data")
    parser.add_argument(
        "--export", type=Path, help="also keep the registry's data in this file (.json, .json.gz)"
    )
    parser.add_argument("--built-in", type=Path, help="/object_info JSON of the nodes that every host has")
    parser.add_argument("--commands", type=Path, help="the command line's description of itself, as JSON")
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder of Markdown pages")
    parser.add_argument("--url", default="", help="where the site will be; feeds and sitemap need it")
    parser.add_argument("--name", default="", help="the site's name")
    parser.add_argument("--json", action="store_true", help="print the report as one line of JSON")
    return parser


def _registry(options: argparse.Namespace, copies: Path) -> SiteData:
    from noderack_site.from_registry import export

    exported, pictures = export(options.data, options.database, options.url.rstrip("/"), copies=copies)
    if options.export:
        write_export(exported, options.export)
    return from_export(exported, str(options.data), pictures)


def _reference(options: argparse.Namespace) -> Pages:
    """Commands if they were described to us; the registry's own pages if its service is installed."""
    pages = command_pages(options.commands) if options.commands else {}
    return {**pages, **registry_pages(options.out / KEPT)}


def _entries(path: Path) -> dict[str, dict[str, object]]:
    try:
        entries = json.loads(path.read_bytes())
    except (OSError, ValueError) as cause:
        raise SiteDataError(f"{path} is not an /object_info file: {cause}") from cause
    if not isinstance(entries, dict):
        raise SiteDataError(f"{path} is not an /object_info file: expected an object of node types")
    return entries


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"{message}\n")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
