"""`nodes pack check`: what of a pack would break or alarm, with file, line and how to mend it."""

from __future__ import annotations

import json
from pathlib import Path

import click
from noderack_registry.packing.check import Report, check, fix
from noderack_registry.packing.finding import Finding

from noderack_cli.errors import BadInput
from noderack_cli.exits import Exit
from noderack_cli.options import json_option

COLOURS = {"error": "red", "warning": "yellow", "note": "blue"}


@click.command(
    "check",
    epilog="Examples:\n\n  nodes pack check .\n\n"
    "  nodes pack check --fix ~/my-pack"
    "  ·  nodes pack check dist/my_pack-1.0-py3-none-any.whl",
)
@click.argument("source", default=".")
@click.option("--fix", "mend", is_flag=True, help="Make the changes that are mechanical, in the folder.")
@click.option("--strict", is_flag=True, help="Warnings fail, too.")
@click.option("--registry", metavar="URL", envvar="NODERACK_REGISTRY", help="Ask it whether types are taken.")
@json_option
@click.pass_context
def check_command(
    context: click.Context, source: str, mend: bool, strict: bool, registry: str | None, as_json: bool
) -> None:
    """Look at the pack at SOURCE without running it. Exit code 3 when something would break.

    A wheel is checked as a registry does it: first what a wheel must be, then the same rules.
    """
    if source.endswith(".whl"):
        _gate(Path(source))
    report = check(source)
    if registry:
        report = check(source, _taken(registry, report))
    mended: tuple[Finding, ...] = ()
    if mend:
        if not Path(source).is_dir():
            raise BadInput(f"{source} is no folder, and only a folder can be mended.", "Clone it first.")
        mended = fix(Path(source), report.findings)
        report = check(source)
    if as_json:
        shown = {"findings": [f.as_dict() for f in report.findings], "mended": [f.as_dict() for f in mended]}
        click.echo(
            json.dumps({**shown, "node_types": sorted(report.types.node_types), "passes": report.passes})
        )
    else:
        _show(report, mended)
    bad = not report.passes or (strict and any(f.level == "warning" for f in report.findings))
    context.exit(int(Exit.BAD_INPUT) if bad else 0)


def _gate(wheel: Path) -> None:
    """Raises BadInput for a wheel that every registry would refuse."""
    from noderack_registry.gate import BadWheel, inspect

    if not wheel.is_file():
        raise BadInput(f"There is no wheel {wheel}.", "Build it with: nodes pack build SOURCE")
    try:
        inspect(wheel)
    except BadWheel as cause:
        raise BadInput(
            f"{wheel.name} would be refused [{cause.code}]: {cause.message}", cause.hint
        ) from cause


def _taken(registry: str, report: Report) -> dict[str, str]:
    """Node types of the report that packs in the registry have."""
    from noderack_registry.client import RegistryClient

    with RegistryClient(registry) as client:
        found = client.resolve(tuple(report.types.node_types), ())
    return {name: claims[0].pack for name, claims in found.node_types.items() if claims}


def _show(report: Report, mended: tuple[Finding, ...]) -> None:
    for finding in mended:
        click.secho(f"mended: {finding.message}", fg="green")
    for finding in report.findings:
        where = f"{finding.file}:{finding.line}" if finding.line else finding.file
        click.echo(f"{where}: {click.style(finding.level, fg=COLOURS[finding.level])}: {finding.message}")
        click.echo(f"    {finding.mend} [{finding.rule}{', --fix does it' if finding.edit else ''}]")
    counts = [f"{sum(f.level == level for f in report.findings)} {level}s" for level in COLOURS]
    click.echo(f"{len(report.types.node_types)} node types; {', '.join(counts)}")
