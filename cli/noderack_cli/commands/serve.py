"""`nodes serve`: runs the server in the host's own environment, and again when it asks for that."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from noderack_host.folder import Host

from noderack_cli.errors import BadInput, ServerEnded
from noderack_cli.exits import Exit
from noderack_cli.options import host_option, json_option, memory_option, placing, weights_option
from noderack_cli.revocation_watch import Watch
from noderack_cli.where import open_host

RESTART = 75  # what the server exits with when it wants to be started anew
TOKEN_VARIABLE = "NODERACK_SERVE_TOKEN"
SUPERVISED = "NODERACK_SUPERVISED"


@click.command()
@host_option
@click.option(
    "--listen",
    default="127.0.0.1",
    show_default=True,
    help="Address; anything but this machine wants a token.",
)
@click.option("--port", default=8188, show_default=True, help="Port; 0 takes a free one.")
@click.option("--token", envvar=TOKEN_VARIABLE, help="What every request must carry.")
@click.option("--origin", multiple=True, help="Let pages of this origin call, e.g. https://app.example.")
@click.option("--name", multiple=True, help="Answer to this host name as well.")
@click.option(
    "--lost",
    type=click.Choice(["again", "failed"]),
    default="again",
    show_default=True,
    help="What to do with a prompt that ran when the server died.",
)
@click.option("--waiting", type=click.IntRange(1), help="How many prompts may wait (10000).")
@click.option("--waiting-of-client", type=click.IntRange(1), help="How many prompts of one client may wait.")
@click.option("--history", type=click.IntRange(0), help="How many prompts that are over are kept (10000).")
@click.option("--max-body", type=click.IntRange(1), help="MiB that one request may bring (100).")
@click.option("--webhook", multiple=True, metavar="URL", help="Call this address when a prompt is over.")
@click.option("--webhook-origin", multiple=True, help="Let prompts name webhooks of this origin.")
@click.option("--fair", is_flag=True, help="Let clients take turns.")
@click.option(
    "--engine", metavar="local|ray[=ADDRESS]", help="What runs prompts: this process, or a Ray cluster."
)
@click.option("--workers", type=click.IntRange(1), help="How many workers on the cluster (one for each GPU).")
@click.option(
    "--worker-root", metavar="FOLDER", help="Where workers keep hosts of their own, on each machine."
)
@click.option(
    "--outputs", metavar="s3://BUCKET/PREFIX", help="Where workers put outputs (this host's folder)."
)
@click.option("--cache", metavar="POLICY", help="Results to keep: classic (default), none, lru:N, bytes:2G.")
@click.option("--keep", metavar="BYTES", help="Keep results on disk for the next start, up to so much: 2G.")
@click.option("--manager", is_flag=True, help="Let packs be installed from the editor, by the address told.")
@click.option("--certificate", type=click.Path(path_type=Path, exists=True), help="TLS certificate (PEM).")
@click.option("--key", type=click.Path(path_type=Path, exists=True), help="TLS key (PEM).")
@memory_option
@weights_option
@json_option
def serve(
    folder: Path | None,
    token: str | None,
    memory: str | None,
    weights: str | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Serve the host to editors, programs and scripts.

    \b
    nodes serve
    nodes serve --port 9000 --lost failed
    nodes serve --cache bytes:8G --keep 20G
    nodes serve --manager
    nodes serve --memory 10GB --weights int8
    nodes serve --engine ray=10.0.0.5:6379 --workers 4
    nodes serve --fair --waiting-of-client 20 --webhook https://bot.example/done
    nodes serve --listen 0.0.0.0 --token "$TOKEN" --certificate cert.pem --key key.pem
    """
    host = open_host(folder)
    if not host.python.exists():
        raise BadInput(f"{host.root} has no environment yet", f"Finish it with: nodes init {host.root}")
    secret = {TOKEN_VARIABLE: token} if token else {}
    environment = {**os.environ, SUPERVISED: "1", **secret, **placing(memory, weights)}
    watch = Watch(host, lambda told: click.echo(told, err=True))
    while True:
        code, port = run_once(command(host, options), environment, as_json, watch.start)
        if code != RESTART:
            return code
        click.echo("The server starts again.", err=True)
        options["port"] = port or options["port"]  # where clients look for it


def command(host: Host, options: Mapping[str, Any]) -> list[str]:
    """The child's command line; the token travels in the environment, where other users cannot read it.

    The interpreter is that of the generation of now, not through `env`: a switch changes nothing under the
    running server, which takes in the next generation when it can.
    """
    python = Path(os.path.realpath(host.env)) / host.python.relative_to(host.env)
    words = [str(python), "-m", "noderack_host.server", str(host.root)]
    for name, value in options.items():
        for one in value if isinstance(value, tuple) else (value,):
            if one is True:
                words.append(f"--{name.replace('_', '-')}")
            elif one is not False and one is not None:
                words += [f"--{name.replace('_', '-')}", str(one)]
    return words


def run_once(
    words: Sequence[str],
    environment: Mapping[str, str],
    as_json: bool,
    when_ready: Callable[[], None] = lambda: None,
) -> tuple[int, int | None]:
    """Runs the server until it ends; tells where it listens; passes an interrupt on and waits for the end.

    Gives the exit code, and the port if it came to listen. `when_ready` is called when it does. Raises
    ServerEnded for a server that a signal ended which nobody sent by way of this process.
    """
    port, stop = None, Stop()
    before = {name: signal.signal(name, stop) for name in (signal.SIGTERM, signal.SIGINT)}
    try:
        with subprocess.Popen(
            words,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=_deaf if os.name != "nt" else None,  # noqa: PLW1509 (sets a signal, nothing else)
        ) as child:
            stop.pass_to(child)
            for line in child.stdout or ():
                event = ready(line)
                port = urlsplit(event["url"]).port if event else port
                click.echo(told(event) if event and not as_json else line.rstrip())
                if event:
                    when_ready()
            return code_of(child.wait(), asked=stop.asked), port
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _deaf() -> None:
    """A Ctrl-C reaches the server by way of this process: while it loads it would print where it was."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Stop:
    """What SIGTERM and Ctrl-C do here: they end the server, at whatever moment they come."""

    def __init__(self) -> None:
        self.asked = False
        self._child: subprocess.Popen[str] | None = None

    def __call__(self, *_: object) -> None:
        """Somebody wants the end."""
        self.asked = True
        if self._child is not None:
            self._child.terminate()

    def pass_to(self, child: subprocess.Popen[str]) -> None:
        """This is the server; end it at once if that was asked for already."""
        self._child = child
        if self.asked:
            child.terminate()


def code_of(code: int, *, asked: bool) -> int:
    """The exit code for a server's own: a signal ended it if that is below 0; raises ServerEnded."""
    if code >= 0:
        return code
    if asked:  # it had no time yet to take the signal as a request
        return Exit.OK
    name = signal.Signals(-code).name
    hint = "Start it again; prompts that wait are kept. SIGKILL is often the system's, out of memory."
    if name == "SIGBUS":
        hint = (
            "Start it again. A file in use, such as a model, was cut short; move a new file onto the old one."
        )
    raise ServerEnded(f"The server was ended by {name}", hint)


def ready(line: str) -> dict[str, Any] | None:
    """The server's message that it listens; None for what is not its own (a pack that prints)."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and event.get("event") == "ready" else None


def told(event: Mapping[str, Any]) -> str:
    """The same as a sentence."""
    failed = [f"  {pack['pack']} did not load: {pack['cause']}" for pack in event["failed"]]
    if "open" in event:
        failed.append(f"To install from the editor, open it by {event['open']}")
    return "\n".join(
        [f"Serving {event['node_types']} node types at {event['url']} (Ctrl-C ends it)", *failed]
    )
