"""Options that many commands share, so that they are spelled and explained alike."""

from __future__ import annotations

from pathlib import Path

import click

FOLDER = click.Path(path_type=Path)

host_option = click.option(
    "--host",
    "folder",
    type=FOLDER,
    envvar="NODERACK_HOST",
    help="The host's folder; else the nearest one from here upwards.",
)
registry_option = click.option(
    "--registry", "registry", metavar="URL", envvar="NODERACK_REGISTRY", help="The registry to ask."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
yes_option = click.option("--yes", "-y", is_flag=True, help="Do it without asking.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Print the plan and change nothing.")
wait_option = click.option(
    "--no-wait", is_flag=True, help="Fail at once (exit 10) when another process holds the host."
)
