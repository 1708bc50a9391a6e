"""Options that many commands share, so that they are spelled and explained alike."""

from __future__ import annotations

import re
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

MEMORY, WEIGHTS = "NODERACK_MEMORY", "NODERACK_WEIGHTS"
"""Environment variables that the diffusion core reads."""
FORMATS = ("default", "fp8_e4m3fn", "fp8_e5m2", "int8")


def _is_size(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if value is not None and re.fullmatch(r"\d+(\.\d+)?\s*([kmgt]?b)?", value.strip(), re.IGNORECASE) is None:
        raise click.BadParameter(f"{value!r} is no size; say one as 10GB or 800MB")
    return value


memory_option = click.option(
    "--memory",
    metavar="SIZE",
    envvar=MEMORY,
    callback=_is_size,
    help="How much memory of each device models may use, as 10GB.",
)
weights_option = click.option(
    "--weights",
    type=click.Choice(FORMATS),
    help="Keep the weights of denoising models in eight bits: half the memory, less precision.",
)


def placing(memory: str | None, weights: str | None) -> dict[str, str]:
    """What a process that computes is told of these two, in its environment."""
    return {name: said for name, said in ((MEMORY, memory), (WEIGHTS, weights)) if said}


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
