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


class Rate(click.ParamType):  # type: ignore[type-arg]
    """A number of bytes a second: 500K, 10M, 1.5G (powers of 1000), or a plain number."""

    name = "rate"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The bytes a second that `value` means."""
        text = str(value).strip().upper().removesuffix("/S").removesuffix("B")
        factor = {"K": 1e3, "M": 1e6, "G": 1e9}.get(text[-1:], 1.0)
        try:
            rate = float(text.rstrip("KMG")) * factor
        except ValueError:
            rate = 0.0
        if rate <= 0:
            self.fail(f"{value!r} is no rate; say for example 500K or 10M (bytes a second)", param, ctx)
        return rate


limit_rate_option = click.option(
    "--limit-rate", type=Rate(), metavar="RATE", help="Download at most so many bytes a second: 500K, 10M."
)
connections_option = click.option(
    "--connections",
    type=click.IntRange(1, 16),
    default=8,
    show_default=True,
    help="Connections for one file, where a server gives each only a part of the line.",
)
