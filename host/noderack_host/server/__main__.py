"""`python -m noderack_host.server ROOT`: serves a host; `nodes serve` starts it in the host's environment."""

import argparse
import asyncio
import base64
import contextlib
import gc
import json
import logging
import os
import secrets
import signal
import ssl
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from noderack_host.cluster.joining import ClusterError
from noderack_host.folder import Host, HostError
from noderack_host.isolate import for_host
from noderack_host.packs import Packs, load_packs
from noderack_host.renewal import in_use
from noderack_host.server import presence
from noderack_host.server.app import make_app
from noderack_host.server.frontend import editor_folder
from noderack_host.server.guard import OPEN
from noderack_host.server.logs import Tee
from noderack_host.server.queue import Limits
from noderack_host.server.settings import MEBIBYTE, ServerSettings
from noderack_host.server.state import RESTART, SERVER, Ending, Server

TOKEN_VARIABLE = "NODERACK_SERVE_TOKEN"
WEBHOOK_VARIABLE = "NODERACK_WEBHOOK_SECRET"
PATIENCE = 10.0  # seconds that answers under way have when the server ends
SUPERVISED = "NODERACK_SUPERVISED"  # set by who starts the server again when it exits with RESTART


def main(args: Sequence[str] | None = None) -> int:
    """Serves until it is stopped; gives the exit code."""
    asked = _parser().parse_args(args)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    settings = _settings(asked)
    if not settings.is_loopback and settings.token is None:
        sys.stderr.write(
            f"{asked.listen} can be reached by others: set a token with --token, or {TOKEN_VARIABLE}\n"
        )
        return 2
    try:
        host = Host.open(asked.root)
        if settings.webhooks or settings.webhook_origins:
            settings = replace(settings, webhook_secret=webhook_secret(host))
        _warn_of_plain(settings, asked.certificate)
        with presence.alone(host):
            code, port = asyncio.run(_serve(host, settings, asked.certificate, asked.key))
    except (HostError, ClusterError, presence.AnotherServes, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        kinds = {HostError: 4, ClusterError: 4, ValueError: 3, presence.AnotherServes: 10}
        return next((code for kind, code in kinds.items() if isinstance(error, kind)), 11)
    if code == RESTART and SUPERVISED not in os.environ:
        again(host, list(sys.argv[1:] if args is None else args), port)
    return code


def _warn_of_plain(settings: ServerSettings, certificate: Path | None) -> None:
    if not settings.is_loopback and certificate is None:
        sys.stderr.write(
            "the token and all pictures travel unencrypted: say --certificate and --key, or put a server in"
            " front that speaks TLS\n"
        )


def again(host: Host, args: list[str], port: int) -> None:
    """Becomes a new server at the same port, in the generation that is in use now."""
    root = in_use(host)[1]
    python = root / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    words = [str(python), "-m", "noderack_host.server", *args, "--port", str(port)]
    os.execv(words[0], words)


def _settings(asked: argparse.Namespace) -> ServerSettings:
    limits = Limits(asked.waiting, asked.waiting_of_client or asked.waiting, asked.history)
    return ServerSettings(
        listen=asked.listen,
        port=asked.port,
        token=asked.token,
        origins=tuple(asked.origin),
        names=tuple(asked.name),
        max_body=asked.max_body * MEBIBYTE,
        limits=limits,
        lost=asked.lost,
        webhooks=tuple(asked.webhook),
        webhook_origins=tuple(asked.webhook_origin),
        fair=asked.fair,
        engine=asked.engine,
        workers=asked.workers,
        worker_root=asked.worker_root,
        outputs=asked.outputs,
        cache=asked.cache,
        keep=asked.keep,
        manager=asked.manager,
    )


def webhook_secret(host: Host) -> str:
    """What webhooks are signed with: the variable's, else the host's own, made at the first need."""
    if given := os.environ.get(WEBHOOK_VARIABLE):
        return given
    file = host.user / "webhook-secret"
    try:
        return file.read_text("utf-8").strip()
    except FileNotFoundError:
        file.parent.mkdir(parents=True, exist_ok=True)
        made = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(made)
        return made


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
    parser.add_argument("--waiting", type=int, default=10_000, help="how many prompts may wait")
    parser.add_argument("--waiting-of-client", type=int, help="how many prompts of one client may wait")
    parser.add_argument("--history", type=int, default=10_000, help="how many prompts that are over are kept")
    parser.add_argument("--max-body", type=int, default=100, help="MiB that one request may bring")
    parser.add_argument(
        "--webhook", action="append", default=[], help="address to call when a prompt is over"
    )
    parser.add_argument(
        "--webhook-origin", action="append", default=[], help="origin that a prompt's webhook may be of"
    )
    parser.add_argument("--fair", action="store_true", help="clients take turns")
    parser.add_argument("--manager", action="store_true", help="packs may be installed from the editor")
    parser.add_argument("--engine", default="local", help="local, ray or ray=ADDRESS")
    parser.add_argument("--workers", type=int, help="how many workers on the cluster (all it has room for)")
    parser.add_argument("--worker-root", help="where workers keep hosts of their own, even on this machine")
    parser.add_argument("--outputs", metavar="s3://BUCKET/PREFIX", help="where workers put outputs")
    parser.add_argument("--cache", default="classic", help="classic, none, lru:N or bytes:2G")
    parser.add_argument("--keep", metavar="BYTES", help="keep results on disk for the next start: 2G")
    parser.add_argument("--certificate", type=Path, help="TLS certificate (PEM)")
    parser.add_argument("--key", type=Path, help="TLS key (PEM)")
    return parser


async def _serve(
    host: Host, settings: ServerSettings, certificate: Path | None, key: Path | None
) -> tuple[int, int]:
    """Serves until it is to end; gives the exit code and the port."""
    with contextlib.redirect_stdout(sys.stderr):  # packs print as they load; the first line is the address
        packs = load_packs(load=for_host(host))
    app = make_app(host, packs, settings, editor_folder())
    server = app[SERVER]
    _end_when_told(server.ending)  # before anybody is told that it listens, and may stop it
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=PATIENCE)
    await runner.setup()
    secure = _secure(certificate, key)
    site = web.TCPSite(runner, settings.listen, settings.port, ssl_context=secure)
    await site.start()
    port = int(runner.addresses[0][1])
    address = f"[{settings.listen}]" if ":" in settings.listen else settings.listen
    server.address.append(f"{'https' if secure else 'http'}://{address}:{port}")
    server.announce()
    gc.freeze()  # packs and modules stay: no look for garbage goes through them again
    try:
        _tell_ready(server, packs)
        with (
            contextlib.redirect_stdout(Tee(sys.stdout, server.logs)),
            contextlib.redirect_stderr(Tee(sys.stderr, server.logs)),
        ):
            await server.ending.asked.wait()
    finally:
        presence.withdraw(host)
        await runner.cleanup()
    return server.ending.code, port


def _tell_ready(server: Server, packs: Packs) -> None:
    failed = [failure.as_dict() for failure in packs.failures]
    told = {"url": server.address[0], "node_types": len(packs.nodes), "failed": failed}
    if server.settings.manager:
        told["open"] = f"{server.address[0]}{OPEN}#manager={server.settings.start_token}"
    sys.stdout.write(json.dumps({"event": "ready", **told}) + "\n")
    sys.stdout.flush()


def _secure(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


def _end_when_told(ending: Ending) -> None:
    for name in ("SIGINT", "SIGTERM"):
        with contextlib.suppress(NotImplementedError):  # Windows has no signals in its loop
            asyncio.get_running_loop().add_signal_handler(getattr(signal, name), ending.ask)


if __name__ == "__main__":
    sys.exit(main())
