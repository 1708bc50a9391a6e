"""The door of `nodes`: the table of commands, and how an error becomes one sentence and an exit code."""

import click


@click.group()
def main() -> None:
    """Install what a workflow needs, and run it."""
