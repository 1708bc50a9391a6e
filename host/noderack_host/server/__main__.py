"""`python -m noderack_host.server ROOT`: serves a host; `nodes serve` starts it in the host's environment."""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from noderack_host.folder import Host, HostError
from noderack_host.isolate import for_host
from noderack_host.packs import load_packs
from noderack_host.server.app import make_app
from noderack_host.server.frontend import editor_folder
from noderack_host.server.settings import ServerSettings

TOKEN_VARIABLE = "NODERACK_SERVE_TOKEN"
RESTART = 75  # the exit code that asks the supervisor to start the server again


def main(args: Sequence[str] | None = None) -> int:
    """Serves until it is stopped; gives the exit code."""
    asked = _parser().parse_args(args)
    settings = ServerSettings(
        listen=asked.listen,
        port=asked.port,
        token=asked.token,
        origins=tuple(asked.origin),
        names=tuple(asked.name),
        lost=asked.lost,
        fair=asked.fair,
        manager=asked.manager,
    )
    if not settings.is_loopback and settings.token is None:
        sys.stderr.write(
            f"{asked.listen} can be reached by others: set a token with --token, or {TOKEN_VARIABLE}\n"
        )
        return 2
    try:
        host = Host.open(asked.root)
        asyncio.run(_serve(host, settings, asked.certificate, asked.key))
    except (HostError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 4 if isinstance(error, HostError) else 11
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="noderack_host.server", description=__doc__)
    parser.add_argument("root", type=Path, help="the host's folder")
    parser.add_argument("--listen", default="127.0.0.1", help="address (127.0.0.1: this machine only)")
    parser.add_argument("--port", type=int, default=8188, help="0 takes a free one")
    parser.add_argument(
        "--token", default=os.environ.get(TOKEN_VARIABLE), help="what every request must carry"
    )
    parser.add_argument("--origin", action="append", default=[], help="a web page's origin that may call")
    parser.add_argument("--name", action="append", default=[], help="a host name that the server answers to")
    parser.add_argument("--lost", choices=("again", "failed"), default="again", help="what ran when it died")
    parser.add_argument("--fair", action="store_true", help="clients take turns")
    parser.add_argument("--manager", action="store_true", help="packs may be installed from the editor")
    parser.add_argument("--certificate", type=Path, help="TLS certificate (PEM)")
    parser.add_argument("--key", type=Path, help="TLS key (PEM)")
    return parser


async def _serve(host: Host, settings: ServerSettings, certificate: Path | None, key: Path | None) -> None:
    packs = load_packs(load=for_host(host))
    runner = web.AppRunner(make_app(host, packs, settings, editor_folder()), access_log=None)
    await runner.setup()
    secure = _secure(certificate, key)
    site = web.TCPSite(runner, settings.listen, settings.port, ssl_context=secure)
    await site.start()
    port = runner.addresses[0][1]
    address = f"[{settings.listen}]" if ":" in settings.listen else settings.listen
    url = f"{'https' if secure else 'http'}://{address}:{port}"
    failed = [failure.as_dict() for failure in packs.failures]
    sys.stdout.write(
        json.dumps({"event": "ready", "url": url, "node_types": len(packs.nodes), "failed": failed}) + "\n"
    )
    sys.stdout.flush()
    await _until_stopped()
    await runner.cleanup()


def _secure(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


async def _until_stopped() -> None:
    stopped = asyncio.Event()
    for name in ("SIGINT", "SIGTERM"):
        with contextlib.suppress(NotImplementedError):  # Windows has no signals in its loop
            asyncio.get_running_loop().add_signal_handler(getattr(signal, name), stopped.set)
    await stopped.wait()


if __name__ == "__main__":
    sys.exit(main())
